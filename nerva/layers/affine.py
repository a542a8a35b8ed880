"""What the linear layers share: Y = f(W X + b) on matrices (features, batch), and the way back."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels import products, sparse_inputs
from nerva._kernels.elementwise import ACTIVATIONS, activation_backward
from nerva._kernels.memory import Buffer
from nerva._kernels.sparse_inputs import SparseBatch
from nerva.parameters import Array, Parameter, Step, real_dtype, zeros

LEAKY_SLOPE = 0.01


class Backward(NamedTuple):
    """What the way back through a layer reads, X (D, N), Y and DY (K, N), and what it writes, DZ (K, N) and DX (D, N).

    With `delta`, DY is DZ already, and the gradient of the bias is taken from it. With a layer `below`, whose outputs
    are X, DX goes through its activation too.
    """

    X: Array
    Y: Array
    DY: Array
    DZ: Array
    DX: Array | None
    delta: bool
    below: "Affine | None"


def check_features(n: int, name: str) -> int:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{name} is {n!r}; it must be an integer")
    if not 1 <= n <= 2**31 - 1:
        raise ValueError(f"{name} is {n}; it must be within 1 to 2**31 - 1")
    return int(n)


class Affine(ABC):
    """What the dense and the sparse linear layer share: bias, activation, buffers, and the order of the products."""

    def __init__(self, in_features: int, out_features: int, activation: str, bias: bool, dtype: npt.DTypeLike) -> None:
        self.in_features = check_features(in_features, "in_features")
        self.out_features = check_features(out_features, "out_features")
        self.dtype = real_dtype(dtype)
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}; it must be one of {', '.join(ACTIVATIONS)}")
        self.activation = activation
        self._code: int = ACTIVATIONS[activation]
        self._bias: Array | None = zeros(self.out_features, self.dtype) if bias else None
        self._X: Array | SparseBatch | None = None
        self._Y: Array | None = None
        self._outputs = Buffer(self.out_features, self.dtype)
        self._deltas = Buffer(self.out_features, self.dtype)
        self._input_gradients = Buffer(self.in_features, self.dtype)
        self._parameters: list[Parameter] = []

    def forward(self, X: Array | SparseBatch, *, training: bool = True) -> Array:
        """Return Y = f(W X + b), shape (K, N), for X of shape (D, N), an array or a batch of sparse samples.

        With `training`, X and Y are kept for `backward`: neither may change before it. Raises TypeError or ValueError
        for an X of another dtype, shape or stride than the layer's.
        """
        if isinstance(X, SparseBatch):
            sparse_inputs.check_batch(X, "X", self.dtype, self.in_features)
            Y = self._outputs.take(X.batch)
            sparse_inputs.product(self.weight, X, Y, self.bias, self._code, LEAKY_SLOPE)
        else:
            products.check_batch(X, "X", self.dtype, self.in_features)
            Y = self._outputs.take(X.shape[1])
            self._product(X, Y)
        self._X, self._Y = (X, Y) if training else (None, None)
        return Y

    def backward(
        self,
        DY: Array,
        *,
        input_gradient: bool = True,
        step: Step | None = None,
        below: "Affine | None" = None,
        delta: bool = False,
    ) -> Array | None:
        """Set the gradients of weights and bias from DY, shape (K, N), and return DX, shape (D, N).

        Given the layer `below`, whose outputs were X, what is returned is the gradient before its activation instead,
        and the gradient of its bias is set: that layer's `backward` then takes it with `delta`. It saves two passes
        over the batch.

        Without `input_gradient`, DX is not computed and None is returned: nobody needs it of a first layer. With a
        `step` (see SGD.at), weights and bias take it at once, which saves a pass over them; the gradient of the
        weights need not be left anywhere then. Raises RuntimeError where no `forward` in training came before, and
        ValueError where the input gradient of a sparse X is asked for: it would be dense.
        """
        if self._X is None or self._Y is None:
            raise RuntimeError("backward needs a forward pass with training=True before it")
        if below is not None and below._Y is not self._X:
            raise RuntimeError("below is another layer than the one whose outputs were the last inputs")
        N = self._X.shape[1]
        products.check_batch(DY, "DY", self.dtype, self.out_features, N)
        DZ = DY if delta or self._code == 0 else self._deltas.take(N)
        if isinstance(self._X, SparseBatch):
            if input_gradient:
                raise ValueError("input_gradient is True, but X was sparse; there is no gradient for it")
            self._sparse_backward(self._X, self._Y, DY, DZ, delta, step)
            return None
        DX = self._input_gradients.take(N) if input_gradient else None
        self._backward(Backward(self._X, self._Y, DY, DZ, DX, delta, below), step)
        return DX

    def parameters(self) -> list[Parameter]:
        """Return the weights and, where there is one, the bias, as the optimizer sees them."""
        return self._parameters

    @property
    def nbytes(self) -> int:
        """The bytes held for weights, pattern, gradients and optimizer state; the buffers of a batch not counted."""
        return sum(parameter.nbytes for parameter in self._parameters)

    @property
    @abstractmethod
    def weight(self) -> Any:
        """The weights, (K, D): a nerva.CSR or an array."""

    @property
    @abstractmethod
    def weight_gradient(self) -> Array:
        """The gradient of each weight, in the order of the weights."""

    @property
    @abstractmethod
    def nnz(self) -> int:
        """The weights that exist, bias not counted."""

    @property
    def density(self) -> float:
        """The fraction of the K x D weights that exist."""
        return self.nnz / (self.in_features * self.out_features)

    @abstractmethod
    def _product(self, X: Array, Y: Array) -> None: ...

    @abstractmethod
    def _backward(self, back: Backward, step: Step | None) -> None: ...

    def _sparse_backward(self, X: SparseBatch, Y: Array, DY: Array, DZ: Array, delta: bool, step: Step | None) -> None:
        if not delta:
            self._through_activation(DY, Y, DZ)
        sparse_inputs.gradient(self.weight, DZ, X, self.weight_gradient)
        if step is not None:
            for parameter in self._parameters:
                step(parameter)

    def _through_activation(self, DY: Array, Y: Array, DZ: Array) -> None:
        """DZ = DY f'(Z) and the gradient of the bias."""
        activation_backward(DY, Y, self._code, LEAKY_SLOPE, DZ, self.bias_gradient)

    def _register(self, weights: Array) -> None:
        self._parameters = [Parameter("weight", weights)]
        if self._bias is not None:
            self._parameters.append(Parameter("bias", self._bias))

    @property
    def bias(self) -> Array | None:
        """The bias, shape (K,), to be read and written in place; None where the layer has none."""
        return self._bias

    @bias.setter
    def bias(self, bias: npt.ArrayLike) -> None:
        if self._bias is None:
            raise AttributeError("this layer was made without a bias")
        self._bias[:] = same_shape(bias, "bias", self._bias)

    @property
    def bias_gradient(self) -> Array | None:
        """The gradient of the bias, shape (K,)."""
        return None if self.bias is None else self._parameters[1].gradient

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_X": None, "_Y": None}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_features}, {self.out_features}, density={self.density:.6g}, "
            f"activation={self.activation!r}, dtype={self.dtype.name!r})"
        )


def same_shape(array: npt.ArrayLike, name: str, wanted: Array) -> Array:
    array = np.asarray(array)
    if array.shape != wanted.shape:
        raise ValueError(f"{name} has shape {array.shape}; it must be {wanted.shape}")
    if not np.can_cast(array.dtype, wanted.dtype, "same_kind"):
        raise TypeError(f"{name} has dtype {array.dtype}; it must be real numbers")
    return array


def restore_bias(layer: Affine) -> None:
    """After unpickling, let layer and parameter share one bias again."""
    if layer._bias is not None:
        layer._bias = layer._parameters[1].values
