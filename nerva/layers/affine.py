"""What the linear layers share: Y = f(W X + b) on matrices (features, batch), and the way back."""

import copy
from abc import abstractmethod
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from nerva._kernels import products, sparse_inputs
from nerva._kernels.dropout import dropout_vector
from nerva._kernels.memory import Array, Buffer, zeros
from nerva._kernels.sparse_batch import SparseBatch
from nerva.activations import Activation as Function
from nerva.activations import LeakyReLU, check_activation
from nerva.layers.activation import Activation, fused_code
from nerva.layers.dropout import Keys
from nerva.layers.layer import Layer
from nerva.parameters import Parameter, Step
from nerva.validation import as_generator, check_below_one, check_features, check_shape, real_dtype

A = TypeVar("A", bound="Affine")
LEAKY_SLOPE = LeakyReLU().slope


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
    below: Layer | None


class Affine(Layer):
    """What the dense and the sparse linear layer share: bias, activation, buffers, and the order of the products."""

    in_features: int
    out_features: int
    dtype: np.dtype[np.floating]
    activation: Function
    goes_through = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Function,
        bias: bool,
        dtype: npt.DTypeLike,
        drop_connect: float = 0.0,
    ) -> None:
        self.in_features = check_features(in_features, "in_features")
        self.out_features = check_features(out_features, "out_features")
        self.dtype = real_dtype(dtype)
        self.activation = check_activation(activation)
        self.drop_connect = check_below_one(drop_connect, "drop_connect")
        self.fused = fused_code(activation)
        # What the kernels do with a product, and what is left to be done with that, if anything.
        self._code, self._alpha = self.fused or (0, 0.0)
        self._after = None if self.fused else Activation(activation).build(self.out_features, self.dtype)
        self._bias: Array | None = zeros(self.out_features, self.dtype) if bias else None
        self._DZ: Array | None = None
        self._outputs = Buffer(self.out_features, self.dtype)
        self._deltas = Buffer(self.out_features, self.dtype)
        self._input_gradients = Buffer(self.in_features, self.dtype)
        self._parameters: list[Parameter] = []
        self._keys: Keys | None = None

    def forward(self, X: Array | SparseBatch, *, training: bool = True) -> Array:
        """Return Y = f(W X + b), shape (K, N), for X of shape (D, N), an array or a batch of sparse samples.

        With `training`, X and Y are kept for `backward`: neither may change before it. Raises TypeError or ValueError
        for an X of another dtype, shape or stride than the layer's.
        """
        (sparse_inputs if isinstance(X, SparseBatch) else products).check_batch(X, "X", self.dtype, self.in_features)
        Y = self._outputs.take(X.shape[1])
        dropping = training and self._keys is not None
        if dropping:
            assert self._keys is not None
            self._drop(self._keys.next())
        if isinstance(X, SparseBatch):
            sparse_inputs.product(self._used(dropping), X, Y, self.bias, self._code, self._alpha)
        else:
            self._product(X, Y, dropping)
        self._X, self._Y = (X, Y) if training else (None, None)
        self._DZ = None
        return Y if self._after is None else self._after.forward(Y, training=training)

    def backward(
        self,
        DY: Array,
        *,
        input_gradient: bool = True,
        step: Step | None = None,
        below: Layer | None = None,
        delta: bool = False,
        overwrite: bool = False,
    ) -> Array | None:
        """Set the gradients of weights and bias from DY, shape (K, N), and return DX, shape (D, N).

        Given the layer `below`, whose outputs were X, what is returned is the gradient before its activation instead,
        and the gradient of its bias is set: that layer's `backward` then takes it with `delta`. It saves two passes
        over the batch. Only a layer with a `fused` activation can be below so. `overwrite` allows DY to be overwritten.

        Without `input_gradient`, DX is not computed and None is returned: nobody needs it of a first layer. With a
        `step` (see SGD.at), weights and bias take it at once, which saves a pass over them; the gradient of the
        weights need not be left anywhere then. Raises RuntimeError where no `forward` in training came before, and
        ValueError where the input gradient of a sparse X is asked for: it would be dense.
        """
        if self._X is None or self._Y is None:
            raise RuntimeError("backward needs a forward pass with training=True before it")
        if below is not None:
            self.check_below(below)
        if delta and self.fused is None:
            raise RuntimeError("delta is set, but no layer above can go through this activation")
        N = self._X.shape[1]
        products.check_batch(DY, "DY", self.dtype, self.out_features, N)
        if self._after is not None:
            through = self._after.backward(DY, step=step, overwrite=overwrite, bias_gradient=self.bias_gradient)
            assert through is not None
            DY, delta = through, True
        DZ = DY if delta or self._code == 0 else self._deltas.take(N)
        if isinstance(self._X, SparseBatch):
            if input_gradient:
                raise ValueError("input_gradient is True, but X was sparse; there is no gradient for it")
            self._DZ = DZ
            self._sparse_backward(self._X, self._Y, DY, DZ, delta, step)
            return None
        DX = self._input_gradients.take(N) if input_gradient else None
        self._DZ = DZ
        self._backward(Backward(self._X, self._Y, DY, DZ, DX, delta, below), step)
        return DX

    @property
    def dense_gradient_factors(self) -> tuple[Array, Array]:
        """X (D, N) and DZ (K, N) of the last way back, whose product DZ X' would be the gradient of a dense W.

        They lie in buffers that the next pass overwrites; an X that was sparse is made dense. Raises RuntimeError where
        there was none.
        """
        if self._X is None or self._DZ is None or self._X.shape[1] != self._DZ.shape[1]:
            raise RuntimeError(
                "there are no dense_gradient_factors before a forward pass with training=True and a backward pass"
            )
        return self._X.to_dense() if isinstance(self._X, SparseBatch) else self._X, self._DZ

    def parameters(self) -> list[Parameter]:
        """Return the weights and, where there are any, the bias and an SReLU's numbers, as the optimizer sees them."""
        return self._parameters + (self._after.parameters() if self._after is not None else [])

    @property
    @abstractmethod
    def weight(self) -> Any:
        """The weights, (K, D): a nerva.CSR or an array."""

    @property
    @abstractmethod
    def weight_gradient(self) -> Array:
        """The gradient of each weight, in the order of the weights."""

    @property
    def density(self) -> float:
        """The fraction of the K x D weights that exist."""
        return self.nnz / (self.in_features * self.out_features)

    @abstractmethod
    def _product(self, X: Array, Y: Array, dropping: bool) -> None:
        """Y = f(W X + b), with the weights that stayed where some are dropped."""

    @abstractmethod
    def _drop(self, key: int) -> None:
        """Set the weights that stay, at a key."""

    @abstractmethod
    def _backward(self, back: Backward, step: Step | None) -> None: ...

    @abstractmethod
    def _used(self, dropping: bool) -> Any:
        """Return the weights, or those that stayed where some are dropped."""

    def _sparse_backward(self, X: SparseBatch, Y: Array, DY: Array, DZ: Array, delta: bool, step: Step | None) -> None:
        if not delta:
            self.through_activation(DY, Y, DZ)
        sparse_inputs.gradient(self.weight, DZ, X, self.weight_gradient)
        self._step_apart(step)

    def _step_apart(self, step: Step | None) -> None:
        """Take a step from the gradient that is there; of dropped weights there is none."""
        if self._keys is not None:
            gradient = self._parameters[0].gradient
            dropout_vector(gradient, self._keys.now, self.drop_connect, gradient)
        if step is not None:
            for parameter in self._parameters:
                step(parameter)

    def _as_copied_to(self, layer: A) -> A:
        """Give a layer, made with the same weights, all else that `astype` copies, and return it."""
        layer._keys = copy.copy(self._keys)
        if self.bias is not None:
            layer.bias = self.bias
        for to, parameter in zip(layer.parameters(), self.parameters(), strict=True):
            if parameter.name not in ("weight", "bias"):
                to.values[:] = parameter.values
        return layer

    def _start_dropping(self, rng: np.random.Generator | int | None) -> None:
        """Draw the seed of the masks; called last, so that a rate of 0 draws no other weights than before."""
        self._keys = Keys(as_generator(rng)) if self.drop_connect > 0 else None

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
        self._bias[:] = check_shape(bias, "bias", self._bias)

    @property
    def bias_gradient(self) -> Array | None:
        """The gradient of the bias, shape (K,)."""
        return None if self.bias is None else self._parameters[1].gradient

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_DZ": None}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_features}, {self.out_features}, density={self.density:.6g}, "
            f"activation={self.activation!r}, dtype={self.dtype.name!r}"
            + (f", drop_connect={self.drop_connect})" if self.drop_connect else ")")
        )


def restore_bias(layer: Affine) -> None:
    """After unpickling, let layer and parameter share one bias again."""
    if layer._bias is not None:
        layer._bias = layer._parameters[1].values
