"""What the dense and the sparse linear layer share: Y = f(W X + b) on matrices (features, batch)."""

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from nerva._kernels import products, sparse_inputs
from nerva._kernels.dropout import dropout_vector
from nerva._kernels.memory import Array, Buffer
from nerva._kernels.operations import IDENTITY, Mask, Operation, Product
from nerva._kernels.sparse_batch import SparseBatch
from nerva.activations import Activation as Function
from nerva.activations import LeakyReLU, check_activation, from_config, to_config
from nerva.layers.activation import EVERY, Activation, fused_code
from nerva.layers.arrays import ArraysMismatch, find
from nerva.layers.dropout import MaskKeys
from nerva.layers.layer import Features, Layer
from nerva.layers.weighted import Weighted
from nerva.parameters import Parameter, Step
from nerva.validation import as_generator, check_below_one

A = TypeVar("A", bound="Affine")
LEAKY_SLOPE = LeakyReLU().slope


class Backward(NamedTuple):
    """What a backward pass reads, X (D, N), Y and DY (K, N), and what it writes, DZ (K, N) and DX (D, N) or nothing.

    With `delta`, DY is DZ already. `below` is the layer whose activation is to be differentiated in this pass.
    """

    X: Array
    Y: Array
    DY: Array
    DZ: Array
    DX: Array | None
    delta: bool
    below: Layer | None


class Affine(Weighted):
    """The base of Linear and SparseLinear: activation, DropConnect, buffers, and the order of the products.

    A subclass computes the products with its weights, and their gradient.
    """

    activation: Function
    fuses_below = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Function,
        bias: bool,
        dtype: npt.DTypeLike,
        drop_connect: float = 0.0,
    ) -> None:
        super().__init__(in_features, out_features, bias, dtype)
        self.activation = check_activation(activation)
        self.drop_connect = check_below_one(drop_connect, "drop_connect")
        # Kernels compute a fused activation within the product; any other is a layer of its own behind it.
        self.fused = fused_code(activation)
        self._code, self._alpha = self.fused or IDENTITY
        self._unfused = None if self.fused else Activation(activation).build(self.out_features, self.dtype)
        self._DZ: Array | None = None
        self._outputs = Buffer(self.out_features, self.dtype)
        self._deltas = Buffer(self.out_features, self.dtype)
        self._input_gradients = Buffer(self.in_features, self.dtype)
        self._keys: MaskKeys | None = None

    def _start_dropping(self, rng: np.random.Generator | int | None) -> None:
        """Draw the seed of the DropConnect masks, if there are any."""
        # To be called last: weights drawn from the same generator must not depend on the rate.
        self._keys = MaskKeys(as_generator(rng)) if self.drop_connect > 0 else None

    # ---- passes

    def operations(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the product with these weights, and what computes an activation that is not fused with it."""
        behind = () if self._unfused is None else self._unfused.compiled(batch)
        if behind is None or not self._has_passes_of(Affine):
            return None
        drop = None if self._keys is None else self._draw_mask
        return Product(self.weight, self.bias, (self._code, self._alpha), drop), *behind

    def _draw_mask(self) -> tuple[Mask, Any]:
        """Go on to the mask of the next step; return it, and the memory for the masked weights."""
        assert self._keys is not None
        return Mask(self._keys.next(), self.drop_connect), self._masked()

    def forward(self, X: Array | SparseBatch, *, training: bool = True) -> Array:
        """Return Y = f(W X + b), shape (K, N), for X of shape (D, N), an array or a batch of sparse samples.

        With `training`, X and Y are kept for `backward`: neither may change before it. Raises TypeError or ValueError
        for an X of another dtype, shape or stride than the layer takes.
        """
        (sparse_inputs if isinstance(X, SparseBatch) else products).check_batch(X, "X", self.dtype, self.in_features)
        Y = self._outputs.take(X.shape[1])
        dropping = training and self._keys is not None
        # The backward pass uses the same masked weights, and the same key for the gradient.
        if dropping:
            assert self._keys is not None
            self._drop(self._keys.next())
        if isinstance(X, SparseBatch):
            sparse_inputs.product(self._weight_in_use(dropping), X, Y, self.bias, self._code, self._alpha)
        else:
            self._product(X, Y, dropping)
        self._X, self._Y = (X, Y) if training else (None, None)
        # The DZ of an earlier batch, with this X, would be the factors of no gradient.
        self._DZ = None
        return Y if self._unfused is None else self._unfused.forward(Y, training=training)

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
        """Compute DZ = DY f'(Z), DW = DZ X' on the pattern of W, Db = DZ 1, and return DX = W' DZ, shape (D, N).

        For the flags see Layer.backward; to take the `step` here saves a pass over the weights, to differentiate the
        activation `below` here two passes over the batch. Raises RuntimeError without a `forward` in training before
        it, and ValueError where the input gradient of a sparse X is asked for: it would be dense.
        """
        if self._X is None or self._Y is None:
            raise RuntimeError("backward needs a forward pass with training=True before it")
        if below is not None:
            self.check_below(below)
        # A layer above that differentiated another activation would have done nothing, or the wrong thing.
        if delta and self.fused is None:
            raise RuntimeError("delta is set, but this activation is not fused: no layer above can differentiate it")
        N = self._X.shape[1]
        products.check_batch(DY, "DY", self.dtype, self.out_features, N)
        if self._unfused is not None:
            DZ = self._unfused.backward(DY, step=step, overwrite=overwrite, bias_gradient=self.bias_gradient)
            assert DZ is not None
            DY, delta = DZ, True
        # DY is the caller's, so DZ needs memory of its own unless both are the same.
        DZ = DY if delta or self._code == IDENTITY[0] else self._deltas.take(N)
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

    def _sparse_backward(self, X: SparseBatch, Y: Array, DY: Array, DZ: Array, delta: bool, step: Step | None) -> None:
        """Run the backward pass for a batch of sparse samples."""
        if not delta:
            self.through_activation(DY, Y, DZ)
        # Only the pattern of the weights is read, which masking leaves as it is.
        sparse_inputs.gradient(self.weight, DZ, X, self.weight_gradient)
        self._finish_gradient(step)

    def _finish_gradient(self, step: Step | None) -> None:
        """Mask the gradient of dropped weights, and take the step with the gradients that are stored."""
        if self._keys is not None:
            gradient = self._parameters[0].gradient
            dropout_vector(gradient, self._keys.now, self.drop_connect, gradient)
        if step is not None:
            for parameter in self._parameters:
                step(parameter)

    @property
    def dense_gradient_factors(self) -> tuple[Array, Array]:
        """X (D, N) and DZ (K, N) of the last backward pass: the gradient of a dense W would be DZ X'.

        They lie in buffers that the next pass overwrites; an X that was sparse is made dense. Raises RuntimeError
        where there was no pass.
        """
        if self._X is None or self._DZ is None or self._X.shape[1] != self._DZ.shape[1]:
            raise RuntimeError(
                "there are no dense_gradient_factors before a forward pass with training=True and a backward pass"
            )
        return self._X.to_dense() if isinstance(self._X, SparseBatch) else self._X, self._DZ

    @abstractmethod
    def _product(self, X: Array, Y: Array, dropping: bool) -> None:
        """Set Y = f(W X + b), W masked where weights are being dropped, f the fused activation or the identity."""

    @abstractmethod
    def _masked(self) -> Any:
        """Return memory for the masked weights, of the weights' own kind and shape."""

    @abstractmethod
    def _drop(self, key: int) -> None:
        """Compute the masked weights for a key."""

    def _weight_in_use(self, dropping: bool) -> Any:
        """Return the weights, masked where some are being dropped."""
        return self._masked() if dropping else self.weight

    @abstractmethod
    def _backward(self, back: Backward, step: Step | None) -> None:
        """Run the backward pass for a dense batch."""

    def parameters(self) -> list[Parameter]:
        """Return the weights, the bias if there is one, and the parameters of an SReLU, with their optimizer state."""
        return self._parameters + (self._unfused.parameters() if self._unfused is not None else [])

    # ---- config, arrays and copies

    def config(self) -> dict[str, Any]:
        """Return {"in", "out", "activation", "dtype", "bias", "drop_connect"}; weights are arrays."""
        return {
            "in": self.in_features,
            "out": self.out_features,
            "activation": to_config(self.activation),
            "dtype": self.dtype.name,
            "bias": self.bias is not None,
            "drop_connect": self.drop_connect,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], prefix: str = "") -> Self:
        """Return the layer of a config and arrays; see Layer.from_config."""
        D, K, activation = int(config["in"]), int(config["out"]), from_config(config["activation"])
        settings = {"activation": activation, "drop_connect": config["drop_connect"]}
        bias = find(arrays, f"{prefix}bias") if config["bias"] else None
        layer = cls.from_weight(cls._find_weight(K, D, arrays, prefix), bias, **settings)
        if (layer.dtype.name, layer.out_features, layer.in_features) != (config["dtype"], K, D):
            raise ArraysMismatch(f"the weights are {layer.out_features} x {layer.in_features}, {layer.dtype}")
        if layer._unfused is not None:
            layer._unfused.fill_parameters(arrays, prefix)
        return layer

    @classmethod
    @abstractmethod
    def _find_weight(cls, K: int, D: int, arrays: Mapping[str, Array], prefix: str) -> Any:
        """Return the weights among arrays, as `from_weight` takes them."""

    def _copy_rest(self, to: A, kept: Features | slice = EVERY) -> A:
        """Copy all but the weights, for some of the outputs, to a layer with the settings of this one; return that."""
        to._keys = copy.copy(self._keys)
        if self.bias is not None:
            to.bias = self.bias[kept]
        if self._unfused is not None and to._unfused is not None:
            self._unfused.copy_parameters(to._unfused, kept)
        return to

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_DZ": None}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_features}, {self.out_features}, density={self.density:.6g}, "
            f"activation={self.activation!r}, dtype={self.dtype.name!r}"
            + (f", drop_connect={self.drop_connect})" if self.drop_connect else ")")
        )
