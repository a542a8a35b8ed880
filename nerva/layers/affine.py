"""What the dense and the sparse linear layer share: Y = f(W X + b) on matrices (features, batch)."""

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from nerva._kernels import products, sparse_inputs
from nerva._kernels.activations import activation_backward
from nerva._kernels.dropout import dropout_vector
from nerva._kernels.memory import Array, Buffer
from nerva._kernels.operations import IDENTITY, Mask, Operation, Product
from nerva._kernels.sparse_batch import SparseBatch
from nerva.activations import Activation as Function
from nerva.activations import LeakyReLU, check_activation, from_config, to_config
from nerva.layers.activation import EVERY, Activation, fused_code
from nerva.layers.arrays import ArraysMismatch, find
from nerva.layers.dropout import MaskKeys
from nerva.layers.layer import Features
from nerva.layers.ranks import Ranks
from nerva.layers.weighted import Weighted
from nerva.parameters import Parameter
from nerva.validation import as_generator, check_below_one

A = TypeVar("A", bound="Affine")
LEAKY_SLOPE = LeakyReLU().slope


class Affine(Weighted):
    """The base of Linear and SparseLinear: activation, DropConnect, buffers, and the two passes.

    A subclass computes the products.
    """

    activation: Function

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
        fused = fused_code(activation)
        self._code = fused or IDENTITY
        self._unfused = None if fused else Activation(activation).build(self.out_features, self.dtype)
        self._DZ: Array | None = None
        self._gathered: tuple[Array, Array] | None = None  # the factors of all ranks' samples
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
        if not self._has_passes_of(Affine):
            return None
        behind = () if self._unfused is None else self._unfused.compiled(batch) or ()
        drop = None if self._keys is None else self._draw_mask
        return Product(self.weight, self.bias, self._code, drop), *behind

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
        W, Y = self.weight, self._outputs.take(X.shape[1])
        if training and self._keys is not None:
            self._drop(self._keys.next())
            W = self._masked()
        if isinstance(X, SparseBatch):
            sparse_inputs.product(W, X, Y, self.bias, *self._code)
        else:
            self._set_outputs(W, X, Y)
        self._X, self._Y = (X, Y) if training else (None, None)
        # The DZ of an earlier batch, with this X, would be the factors of no gradient.
        self._DZ = self._gathered = None
        return Y if self._unfused is None else self._unfused.forward(Y, training=training)

    def backward(self, DY: Array, *, input_gradient: bool = True) -> Array | None:
        """Set DW = DZ X' on the pattern of W and Db = DZ 1, where DZ = DY f'(Z), and return DX = W' DZ, shape (D, N).

        Raises RuntimeError without a `forward` in training before it, and ValueError where the input gradient of a
        sparse X is asked for: it would be dense.
        """
        X, Y = self.saved_for_backward(DY)
        if input_gradient and isinstance(X, SparseBatch):
            raise ValueError("input_gradient is True, but X was sparse; there is no gradient for it")
        DZ = self._activation_gradient(DY, Y)
        if isinstance(X, SparseBatch):
            sparse_inputs.gradient(self.weight, DZ, X, self.weight_gradient)
        else:
            self._set_weight_gradient(DZ, X)
        if self._keys is not None:
            # The key of the forward pass: dropped weights have no gradient.
            gradient = self._parameters[0].gradient
            dropout_vector(gradient, self._keys.now, self.drop_connect, gradient)
        self._DZ = DZ
        if not input_gradient:
            return None
        DX = self._input_gradients.take(X.shape[1])
        self._set_input_gradient(self.weight if self._keys is None else self._masked(), DZ, DX)
        return DX

    def _activation_gradient(self, DY: Array, Y: Array) -> Array:
        """Return DZ = DY f'(Z), and set the gradient of the bias."""
        if self._unfused is not None:
            DZ = self._unfused.backward(DY)
            assert DZ is not None
            DY = DZ
        # DY is the caller's, and must not be overwritten.
        DZ = DY if self._code == IDENTITY else self._deltas.take(DY.shape[1])
        activation_backward(DY, Y, *self._code, DZ, self.bias_gradient)
        return DZ

    @property
    def dense_gradient_factors(self) -> tuple[Array, Array]:
        """X (D, N) and DZ (K, N) of the last backward pass: the gradient of a dense W would be DZ X'.

        They lie in buffers that the next pass overwrites; an X that was sparse is made dense. After `gather_factors`
        they are those of all ranks' samples. Raises RuntimeError where there was no pass.
        """
        if self._gathered is not None:
            return self._gathered
        if self._X is None or self._DZ is None or self._X.shape[1] != self._DZ.shape[1]:
            raise RuntimeError(
                "there are no dense_gradient_factors before a forward pass with training=True and a backward pass"
            )
        return self._X.to_dense() if isinstance(self._X, SparseBatch) else self._X, self._DZ

    def join(self, ranks: Ranks | None) -> None:
        """Draw other DropConnect masks than other ranks, or the layer's own; see Layer.join."""
        if self._keys is not None:
            self._keys.stream = 0 if ranks is None else ranks.rank

    def gather_factors(self, ranks: Ranks) -> None:
        """Let `dense_gradient_factors` be those of the samples of all ranks, until the next forward pass."""
        X, DZ = self.dense_gradient_factors
        self._gathered = ranks.columns(X, "factors"), ranks.columns(DZ, "factors")

    @abstractmethod
    def _set_outputs(self, W: Any, X: Array, Y: Array) -> None:
        """Set Y = f(W X + b), for the fused activation or the identity."""

    @abstractmethod
    def _set_weight_gradient(self, DZ: Array, X: Array) -> None:
        """Set the gradient DZ X' of the weights."""

    @abstractmethod
    def _set_input_gradient(self, W: Any, DZ: Array, DX: Array) -> None:
        """Set DX = W' DZ."""

    @abstractmethod
    def _masked(self) -> Any:
        """Return memory for the masked weights, of the weights' own kind and shape."""

    @abstractmethod
    def _drop(self, key: int) -> None:
        """Compute the masked weights for a key."""

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
