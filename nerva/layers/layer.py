"""What a network asks of a layer, whatever it computes."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels import products
from nerva._kernels.activations import activation_backward
from nerva._kernels.memory import Array
from nerva.activations import Activation
from nerva.parameters import Parameter, Step


class Layer(ABC):
    """A layer Y = F(X) on matrices (features, batch).

    `in_features`, `out_features` and `dtype` are None for a layer that takes any, until `build` or its first batch
    tells them. `fused` is the kernels' code and number of the activation that Y went through last, if a layer above may
    take its gradient through it (see Affine.backward), and None if not.
    """

    in_features: int | None = None
    out_features: int | None = None
    dtype: np.dtype[Any] | None = None
    activation: Activation | None = None
    fused: tuple[int, float] | None = None
    goes_through: bool = False
    least_batch: int = 1  # samples that training needs

    _X: Any = None  # what `forward` in training took, and what it gave
    _Y: Array | None = None

    @abstractmethod
    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return Y for X of shape (features, batch); with `training`, keep what `backward` needs."""

    @abstractmethod
    def backward(
        self,
        DY: Array,
        *,
        input_gradient: bool = True,
        step: Step | None = None,
        below: "Layer | None" = None,
        delta: bool = False,
        overwrite: bool = False,
    ) -> Array | None:
        """Set the gradients of the parameters from DY, or let them take the step, and return DX where it is wanted.

        A layer that `goes_through` takes its gradient through the fused activation of the layer `below` too, whose
        outputs X were. With `delta`, that has been done for this layer. With `overwrite`, DX may take DY's memory.
        """

    @abstractmethod
    def astype(self, dtype: npt.DTypeLike) -> "Layer":
        """Return a copy with another number type; optimizer state is not copied."""

    def parameters(self) -> list[Parameter]:
        """Return what an optimizer steps on."""
        return []

    @property
    def nnz(self) -> int:
        """The weights that exist, bias not counted: none but in a linear layer."""
        return 0

    @property
    def density(self) -> float:
        """The fraction of the weights that exist: all, but in a sparse layer."""
        return 1.0

    @property
    def nbytes(self) -> int:
        """The bytes held for parameters, gradients and optimizer state; the buffers of a batch not counted."""
        return sum(parameter.nbytes for parameter in self.parameters())

    @property
    def bias_gradient(self) -> Array | None:
        """The gradient of what is added to each feature before the fused activation; None where nothing is."""
        return None

    def build(self, features: int, dtype: np.dtype[Any]) -> Self:
        """Tell a layer that takes any what it will get; raise ValueError where it gets something else already."""
        if self.in_features is None:
            self.in_features = self.out_features = features
            self.dtype = dtype
        if (features, dtype) != (self.in_features, self.dtype):
            raise ValueError(f"{self!r} takes {self.in_features} features of {self.dtype}, not {features} of {dtype}")
        return self

    def check_inputs(self, X: Array) -> int:
        """Settle on X if need be, check it, and return the batch: TypeError or ValueError names X."""
        if self.in_features is None and isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind == "f":
            products.check_batch(X, "X", X.dtype, X.shape[0])
            self.build(X.shape[0], X.dtype)
        dtype, features = self.dtype or np.dtype(np.float32), self.in_features or 1
        products.check_batch(X, "X", dtype, features)
        return int(X.shape[1])

    def kept(self, DY: Array) -> tuple[Array, Array]:
        """Return X and Y of the last forward pass in training, DY checked against Y; RuntimeError without one."""
        if self._X is None or self._Y is None:
            raise RuntimeError("backward needs a forward pass with training=True before it")
        assert self.dtype is not None
        products.check_batch(DY, "DY", self.dtype, self._Y.shape[0], self._X.shape[1])
        return self._X, self._Y

    def check_below(self, below: "Layer | None") -> None:
        """Raise RuntimeError where the gradient cannot be taken through the activation of that layer."""
        if below is not None and below._Y is not self._X:
            raise RuntimeError("below is another layer than the one whose outputs were the last inputs")
        if below is not None and below.fused is None:
            raise RuntimeError("the activation of the layer below is no part of a product; it goes through that itself")

    def through_activation(self, DY: Array, Y: Array, DZ: Array) -> None:
        """DZ = DY f'(Z) for the fused f, Y = f(Z), and the bias gradient. DZ may be DY."""
        assert self.fused is not None
        activation_backward(DY, Y, *self.fused, DZ, self.bias_gradient)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_X": None, "_Y": None}
