"""The dense linear layer."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels import products
from nerva._kernels.activations import bias_activation
from nerva._kernels.dropout import dropout_vector
from nerva._kernels.memory import Array, empty_vector
from nerva.activations import Activation
from nerva.initializers import Initializer, initial_values
from nerva.layers.affine import Affine, Backward, restore_bias
from nerva.parameters import Step
from nerva.validation import as_generator, check_shape, real_dtype


class Linear(Affine):
    """A dense linear layer Y = f(W X + b), its products by MKL's gemm.

    Parameters
    ----------
    in_features, out_features : D and K
    activation : a name or an object of nerva.activations
    init : "xavier", "he", ..., or a callable (see nerva.initializers)
    bias : whether there is a b, which starts at zero
    rng : numpy.random.Generator, or a seed, or None for a fresh one
    dtype : float32 or float64
    drop_connect : rate, from 0 to below 1, at which weights count as zero in a training step, anew each time, the rest
        as larger by 1 / (1 - rate); none do in evaluation

    L. Wan et al., Regularization of neural networks using DropConnect, ICML 2013, describes the last.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: Activation = "identity",
        init: str | Initializer = "xavier",
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
        drop_connect: float = 0.0,
    ) -> None:
        super().__init__(in_features, out_features, activation, bias, dtype, drop_connect)
        D, K = self.in_features, self.out_features
        weights, rng = empty_vector(K * D, self.dtype), as_generator(rng)
        weights[:] = initial_values(init, rng, D, K, K * D, self.dtype)
        self._register(weights)
        self._start_dropping(rng)
        self._masked_weight: Array | None = None  # in training with drop_connect, the weights, some of them zero

    @property
    def weight(self) -> Array:
        """The weights, shape (K, D), to be read and written in place."""
        return self._parameters[0].values.reshape(self.out_features, self.in_features)

    @weight.setter
    def weight(self, weight: npt.ArrayLike) -> None:
        self.weight[:] = check_shape(weight, "weight", self.weight)

    @property
    def nnz(self) -> int:
        """The weights that exist, bias not counted."""
        return self.weight.size

    def _product(self, X: Array, Y: Array, dropping: bool) -> None:
        products.gemm(self._used(dropping), X, Y)
        bias_activation(self.bias, self._code, self._alpha, Y)

    def _drop(self, key: int) -> None:
        weights = self._parameters[0].values
        if self._masked_weight is None:
            self._masked_weight = empty_vector(weights.size, self.dtype)
        dropout_vector(weights, key, self.drop_connect, self._masked_weight)

    def _used(self, dropping: bool) -> Array:
        if not dropping:
            return self.weight
        assert self._masked_weight is not None
        return self._masked_weight.reshape(self.out_features, self.in_features)

    @property
    def nbytes(self) -> int:
        return super().nbytes + (0 if self._masked_weight is None else self._masked_weight.nbytes)

    @property
    def weight_gradient(self) -> Array:
        """The gradient of each weight, shape (K, D)."""
        return self._parameters[0].gradient.reshape(self.out_features, self.in_features)

    def _backward(self, back: Backward, step: Step | None) -> None:
        X, Y, DY, DZ, DX, delta, below = back
        if not delta:
            self.through_activation(DY, Y, DZ)
        products.gemm(DZ, X, self.weight_gradient, transpose_b=True)
        if DX is not None:
            products.gemm(self._used(self._keys is not None), DZ, DX, transpose_a=True)
            if below is not None:
                below.through_activation(DX, X, DX)
        self._step_apart(step)

    def astype(self, dtype: npt.DTypeLike) -> "Linear":
        """Return a copy with another number type; optimizer state is not copied."""
        settings: dict[str, Any] = {"activation": self.activation, "bias": self.bias is not None, "init": "zeros"}
        settings |= {"dtype": real_dtype(dtype), "drop_connect": self.drop_connect}
        layer = Linear(self.in_features, self.out_features, **settings)
        layer.weight = self.weight
        return self._as_copied_to(layer)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        restore_bias(self)
