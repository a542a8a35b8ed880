"""The dense linear layer."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels import products
from nerva._kernels.activations import bias_activation
from nerva._kernels.dropout import dropout_vector
from nerva._kernels.memory import Array, empty_vector
from nerva._kernels.operations import Operation
from nerva.activations import Activation
from nerva.initializers import Initializer, initial_values
from nerva.layers.affine import Affine
from nerva.layers.arrays import check_finite, check_numbers, find
from nerva.layers.layer import Features
from nerva.layers.weighted import Entries
from nerva.validation import as_generator, check_shape, real_dtype

LARGEST_COMPILED = 1 << 16  # weights of a dense layer in a compiled network: beyond, MKL's gemm is faster


class Linear(Affine):
    """A dense linear layer Y = f(W X + b), its products by MKL's gemm.

    Parameters
    ----------
    in_features, out_features : D and K
    activation : f, a name or an object of nerva.activations
    init : initializer of W, "xavier", "he", ..., or a callable (see nerva.initializers)
    bias : whether there is a b, which starts at zero
    rng : numpy.random.Generator or seed, or None for a fresh one
    dtype : float32 or float64
    drop_connect : probability, from 0 to below 1, that a weight counts as 0 in a training step, drawn anew in each; the
        others are scaled by 1 / (1 - drop_connect). In evaluation all weights count

    >>> layer = nerva.Linear(3, 2, activation="relu", rng=0)
    >>> layer.forward(np.ones((3, 5), np.float32)).shape
    (2, 5)

    DropConnect: L. Wan et al., Regularization of neural networks using DropConnect, ICML 2013.
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
        self._masked_weight: Array | None = None  # flat, of the last training step with DropConnect

    @property
    def weight(self) -> Array:
        """The weights, shape (K, D), to be read and written in place."""
        return self._parameters[0].values.reshape(self.out_features, self.in_features)

    @weight.setter
    def weight(self, weight: npt.ArrayLike) -> None:
        self.weight[:] = check_shape(weight, "weight", self.weight)

    @property
    def weight_gradient(self) -> Array:
        """The gradient of each weight, shape (K, D)."""
        return self._parameters[0].gradient.reshape(self.out_features, self.in_features)

    @property
    def nnz(self) -> int:
        """The K x D weights, the bias not counted."""
        return self.weight.size

    @property
    def nbytes(self) -> int:
        """The bytes of parameters, gradients, optimizer state and masked weights; buffers of a batch not counted."""
        return super().nbytes + (0 if self._masked_weight is None else self._masked_weight.nbytes)

    # ---- passes

    def compiled(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the operations of a layer that is too small for gemm to pay off beside a barrier."""
        return self.operations(batch) if self.weight.size <= LARGEST_COMPILED else None

    def obstacle(self, batch: int, bfloat16: bool = False) -> str:
        """Say, after the layer's name, why `compiled` (in bfloat16 `operations`) returns None for such batches."""
        if not bfloat16 and self.weight.size > LARGEST_COMPILED:
            return f"whose {self.weight.size:,} weights gemm multiplies faster"
        return super().obstacle(batch, bfloat16)

    def _set_outputs(self, W: Array, X: Array, Y: Array) -> None:
        products.gemm(W, X, Y)
        bias_activation(self.bias, *self._code, Y)

    def _set_weight_gradient(self, DZ: Array, X: Array) -> None:
        products.gemm(DZ, X, self.weight_gradient, transpose_b=True)

    def _set_input_gradient(self, W: Array, DZ: Array, DX: Array) -> None:
        products.gemm(W, DZ, DX, transpose_a=True)

    def _masked(self) -> Array:
        if self._masked_weight is None:
            self._masked_weight = empty_vector(self.weight.size, self.dtype)
        return self._masked_weight.reshape(self.out_features, self.in_features)

    def _drop(self, key: int) -> None:
        dropout_vector(self._parameters[0].values, key, self.drop_connect, self._masked().reshape(-1))

    # ---- access to the weights, and copies

    def arrays(self) -> dict[str, Array]:
        """Return "weight", (K, D), "bias" if there is one, and the parameters of an SReLU: the memory in use."""
        return {parameter.name: parameter.values for parameter in self.parameters()} | {"weight": self.weight}

    @classmethod
    def from_weight(cls, weight: Any, bias: Array | None = None, **settings: Any) -> Self:
        """Return a layer with copies of these weights, an array (K, D), and this bias, (K,); see Weighted.from_weight.

        >>> nerva.Linear.from_weight(np.eye(2, 3), activation="relu")
        Linear(3, 2, density=1, activation='relu', dtype='float64')
        """
        if weight.ndim != 2:
            raise ValueError(f"a weight has shape {weight.shape}; it must be (K, D)")
        check_finite(weight, "a weight")
        K, D = weight.shape
        layer = cls(D, K, init="zeros", bias=bias is not None, dtype=weight.dtype, **settings)
        layer.weight = weight
        return layer._with_bias(bias)

    @classmethod
    def _find_weight(cls, K: int, D: int, arrays: Mapping[str, Array], prefix: str) -> Array:
        return find(arrays, f"{prefix}weight")

    def dense_weight(self) -> Array:
        """Return `weight`."""
        return self.weight

    def entries(self) -> Entries:
        """Return the coordinates and values, these in the memory in use, of all K x D weights."""
        row, column = np.divmod(np.arange(self.nnz), self.in_features)
        return Entries(row, column, self._parameters[0].values)

    def remove_weights(self, weights: npt.NDArray[np.int64]) -> None:
        """Set weights to 0 by number, in the order of `entries`."""
        values = self._parameters[0].values
        values[check_numbers(weights, "weights", len(values))] = 0

    def astype(self, dtype: npt.DTypeLike) -> "Linear":
        """Return a copy with another dtype; optimizer state is not copied."""
        return self._copy_rest(self._with_weight(self.weight, real_dtype(dtype)))

    def take_features(self, kept: Features, inputs: Features | None = None) -> "Linear":
        """Return a copy for some of its outputs and, unless None, some of its inputs; optimizer state is not copied."""
        kept = check_numbers(kept, "kept", self.out_features)
        if inputs is not None:
            inputs = check_numbers(inputs, "inputs", self.in_features)
        weight = self.weight[kept] if inputs is None else self.weight[np.ix_(kept, inputs)]
        return self._copy_rest(self._with_weight(weight, self.dtype), kept)

    def _with_weight(self, weight: Array, dtype: np.dtype[Any]) -> "Linear":
        """Return a layer of other weights with the settings of this one."""
        settings: dict[str, Any] = {"activation": self.activation, "bias": self.bias is not None}
        settings |= {"drop_connect": self.drop_connect, "init": "zeros", "dtype": dtype}
        layer = Linear(weight.shape[1], weight.shape[0], **settings)
        layer.weight = weight
        return layer

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share_bias()
