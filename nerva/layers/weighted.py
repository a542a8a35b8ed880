"""What a layer with a weight matrix has, dense or sparse: its shape, weights and bias, and access to them."""

from abc import abstractmethod
from html import escape
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array, zeros
from nerva.layers.arrays import check_finite
from nerva.layers.layer import Features, Layer
from nerva.parameters import Parameter
from nerva.pictures import csr_html
from nerva.validation import check_features, check_shape, real_dtype


class Entries(NamedTuple):
    """Weights as coordinates: int64 rows and columns and the values, each (nnz,), in the order of the weights."""

    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    value: Array


class Weighted(Layer):
    """A layer with weights W, (K, D), and a bias b, (K,), or none. A subclass stores the weights."""

    in_features: int
    out_features: int
    dtype: np.dtype[np.floating]

    def __init__(self, in_features: int, out_features: int, bias: bool, dtype: npt.DTypeLike) -> None:
        self.in_features = check_features(in_features, "in_features")
        self.out_features = check_features(out_features, "out_features")
        self.dtype = real_dtype(dtype)
        self._bias: Array | None = zeros(self.out_features, self.dtype) if bias else None
        self._parameters: list[Parameter] = []

    def _register(self, weights: Array) -> None:
        """Make the parameters anew, without optimizer state, for a flat vector of weights."""
        # Memory shared with the layer: optimizers change both in place.
        self._parameters = [Parameter("weight", weights)]
        if self._bias is not None:
            self._parameters.append(Parameter("bias", self._bias))

    @property
    @abstractmethod
    def weight(self) -> Any:
        """The weights, (K, D): a nerva.CSR or an array."""

    @property
    @abstractmethod
    def weight_gradient(self) -> Array:
        """The gradient of each weight, in the order of the weights."""

    def _repr_html_(self) -> str:
        """Return what notebooks show: the layer, and the pattern of sparse weights."""
        picture = csr_html(self.weight) if isinstance(self.weight, CSR) else ""
        return f"<div><code>{escape(repr(self))}</code>{picture}</div>"

    @property
    def density(self) -> float:
        """The fraction of the K x D weights that exist."""
        return self.nnz / (self.in_features * self.out_features)

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
        """The gradient of the bias, shape (K,); None where the layer has none."""
        return None if self.bias is None else self._parameters[1].gradient

    @classmethod
    @abstractmethod
    def from_weight(cls, weight: Any, bias: Array | None = None, **settings: Any) -> Self:
        """Return a layer of these weights, (K, D), and this bias, (K,), with other settings of the class by keyword.

        Raises ValueError where a value is not finite, or the bias has not the dtype or the rows of the weights.
        """

    def _with_bias(self, bias: Array | None) -> Self:
        """Check and set the bias, if there is one, and return the layer."""
        if bias is not None:
            if bias.dtype != self.dtype:
                raise ValueError(f"a bias is {bias.dtype}, its weights are {self.dtype}")
            check_finite(bias, "a bias")
            self.bias = bias
        return self

    @abstractmethod
    def dense_weight(self) -> Array:
        """Return the weights as an array (K, D), zeros where there are none; a dense layer's own memory, no copy."""

    @abstractmethod
    def entries(self) -> Entries:
        """Return coordinates and values of the weights that exist; of values of 0 too, where they are stored."""

    @abstractmethod
    def remove_weights(self, weights: npt.NDArray[np.int64]) -> None:
        """Remove weights by number, ascending, in the order of `entries`; in a dense layer they become 0."""

    @abstractmethod
    def take_features(self, kept: Features, inputs: Features | None = None) -> "Weighted":
        """Return a copy for some of its outputs and, unless None, some of its inputs; optimizer state is not copied."""

    def _share_bias(self) -> None:
        """Let layer and parameter share the bias again: unpickling makes two arrays of one."""
        if self._bias is not None:
            self._bias = self._parameters[1].values
