"""The dense linear layer."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels import products
from nerva._kernels.elementwise import bias_activation
from nerva._kernels.memory import empty_vector
from nerva.initializers import Initializer, initial_values
from nerva.layers.affine import LEAKY_SLOPE, Affine, Backward, restore_bias, same_shape
from nerva.parameters import Array, Step, as_generator, real_dtype


class Linear(Affine):
    """A dense linear layer Y = f(W X + b), its products by MKL's gemm.

    Parameters
    ----------
    in_features, out_features : D and K
    activation : "identity", "relu", "leaky_relu", "tanh" or "sigmoid"
    init : "pytorch", "xavier", "he", ..., or a callable (see nerva.initializers)
    bias : whether there is a b, which starts at zero
    rng : numpy.random.Generator, or a seed, or None for a fresh one
    dtype : float32 or float64
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "identity",
        init: str | Initializer = "pytorch",
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__(in_features, out_features, activation, bias, dtype)
        D, K = self.in_features, self.out_features
        weights = empty_vector(K * D, self.dtype)
        weights[:] = initial_values(init, as_generator(rng), D, K, K * D, self.dtype)
        self._register(weights)

    @property
    def weight(self) -> Array:
        """The weights, shape (K, D), to be read and written in place."""
        return self._parameters[0].values.reshape(self.out_features, self.in_features)

    @weight.setter
    def weight(self, weight: npt.ArrayLike) -> None:
        self.weight[:] = same_shape(weight, "weight", self.weight)

    @property
    def nnz(self) -> int:
        return self.weight.size

    def _product(self, X: Array, Y: Array) -> None:
        products.gemm(self.weight, X, Y)
        bias_activation(self.bias, self._code, LEAKY_SLOPE, Y)

    @property
    def weight_gradient(self) -> Array:
        """The gradient of each weight, shape (K, D)."""
        return self._parameters[0].gradient.reshape(self.out_features, self.in_features)

    def _backward(self, back: Backward, step: Step | None) -> None:
        X, Y, DY, DZ, DX, delta, below = back
        if not delta:
            self._through_activation(DY, Y, DZ)
        products.gemm(DZ, X, self.weight_gradient, transpose_b=True)
        if DX is not None:
            products.gemm(self.weight, DZ, DX, transpose_a=True)
            if below is not None:
                below._through_activation(DX, X, DX)
        if step is not None:
            for parameter in self._parameters:
                step(parameter)

    def astype(self, dtype: npt.DTypeLike) -> "Linear":
        """Return a copy with another number type; optimizer state is not copied."""
        dtype, bias = real_dtype(dtype), self.bias is not None
        settings: dict[str, Any] = {"activation": self.activation, "init": "zeros", "bias": bias, "dtype": dtype}
        layer = Linear(self.in_features, self.out_features, **settings)
        layer.weight = self.weight
        if self.bias is not None:
            layer.bias = self.bias
        return layer

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        restore_bias(self)
