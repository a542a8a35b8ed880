"""What every layer has: passes, parameters, and the config and arrays it is stored by."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels import products
from nerva._kernels.memory import Array, writable
from nerva._kernels.operations import Operation
from nerva.activations import Activation
from nerva.layers.ranks import Ranks
from nerva.parameters import Parameter

Features = npt.NDArray[np.int64]  # feature numbers, strictly ascending
MATRIX = ("indptr", "indices", "values")  # arrays that other weights of the same layer may have more or fewer of


class Layer(ABC):
    """A layer Y = F(X) on matrices (features, batch).

    A subclass implements `forward`, `backward` and `astype`; with `config`, `from_config` and `take_features`, and
    with `arrays` where there is more than its parameters, it can be saved and compacted too.

    Attributes
    ----------
    in_features, out_features, dtype : None for a layer that takes any, until `build` or its first batch sets them
    activation : the function that outputs pass through last; None for a layer that has none
    least_batch : the smallest batch that can be trained on

    >>> class Square(nerva.layers.Layer):
    ...     def forward(self, X, *, training=True):
    ...         self.X = X
    ...         return X * X
    ...
    ...     def backward(self, DY, *, input_gradient=True):
    ...         return 2 * self.X * DY if input_gradient else None
    ...
    ...     def astype(self, dtype):
    ...         return Square()
    >>> model = nerva.Sequential([nerva.Linear(4, 3, rng=0), Square()])
    >>> nerva.check_gradients(model, np.ones((5, 4)), [0, 1, 2, 0, 1]).ok
    True
    """

    in_features: int | None = None
    out_features: int | None = None
    dtype: np.dtype[Any] | None = None
    activation: Activation | None = None
    least_batch: int = 1

    # Inputs and outputs of the last forward pass in training, no copies: memory of the caller, a buffer of this layer.
    _X: Any = None
    _Y: Array | None = None

    @abstractmethod
    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return Y for X of shape (features, batch); with `training`, keep what `backward` needs."""

    @abstractmethod
    def backward(self, DY: Array, *, input_gradient: bool = True) -> Array | None:
        """Set the gradients of the parameters and return DX = dL/dX, (in_features, batch).

        Parameters
        ----------
        DY : dL/dY, (out_features, batch), for the outputs Y of the last `forward` in training; it is not changed
        input_gradient : False if DX is not needed; None is returned then
        """

    @abstractmethod
    def astype(self, dtype: npt.DTypeLike) -> "Layer":
        """Return a copy with another dtype, float32 or float64; optimizer state is not copied."""

    def build(self, features: int, dtype: np.dtype[Any]) -> Self:
        """Set features and dtype of a layer that takes any; raise ValueError where it has others already."""
        if self.in_features is None:
            self.in_features = self.out_features = features
            self.dtype = dtype
        if (features, dtype) != (self.in_features, self.dtype):
            raise ValueError(f"{self!r} takes {self.in_features} features of {self.dtype}, not {features} of {dtype}")
        return self

    # ---- the compiled network (see nerva.models.plan)

    def compiled(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the operations by which a compiled network computes this layer, for batches of this size.

        None where it cannot, or where it would not be faster, so that the network is trained layer by layer: as here.
        """
        return None

    def operations(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the operations as `compiled` does, but whatever their speed; None only where there are none."""
        return self.compiled(batch)

    def obstacle(self, batch: int, bfloat16: bool = False) -> str:
        """Say, after the layer's name, why `compiled` (in bfloat16 `operations`) returns None for such batches."""
        return "which a compiled step does not compute"

    def _has_passes_of(self, layer: Any) -> bool:
        """Whether the passes are those of this class: a subclass's own, or an object's, must not be bypassed."""
        own, names = type(self), ("forward", "backward", "parameters")  # other parameters, too, would be left out
        return all(getattr(own, name) is getattr(layer, name) and name not in vars(self) for name in names)

    def forget_batch(self) -> None:
        """Forget inputs and outputs of the last forward pass: what `backward` would read is of an older batch."""
        self._X = self._Y = None

    # ---- parameters and size

    def parameters(self) -> list[Parameter]:
        """Return the trainable parameters with their optimizer state."""
        return []

    @property
    def nnz(self) -> int:
        """The weights that exist, biases not counted: 0 unless the layer is linear."""
        return 0

    @property
    def density(self) -> float:
        """The fraction of the weights that exist: 1 unless the layer is sparse."""
        return 1.0

    def join(self, ranks: Ranks | None) -> None:  # noqa: B027 - most layers have nothing to do
        """Train together with the same layer of other ranks from now on, each on other samples; None trains alone.

        Gradients are summed outside. It is for layers whose passes depend on the other samples, or are random.
        """

    @property
    def nbytes(self) -> int:
        """The bytes of parameters, gradients and optimizer state; the buffers of a batch are not counted."""
        return sum(parameter.nbytes for parameter in self.parameters())

    # ---- config and arrays

    def config(self) -> dict[str, Any]:
        """Return the settings the layer is made of, as JSON can hold them and weight files do."""
        raise NotImplementedError(f"{type(self).__name__} has no config")

    def arrays(self) -> dict[str, Array]:
        """Return the parameters and running statistics by name: the memory in use, no copies."""
        return {parameter.name: parameter.values for parameter in self.parameters()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], prefix: str = "") -> Self:
        """Return the layer of such a config and copies of such arrays.

        Parameters
        ----------
        config : as of `config()`
        arrays : as of `arrays()`, each name after the `prefix`, so that layers can share one mapping; errors call
            arrays by these names

        Raises ValueError for arrays that are missing, broken or not finite, ArraysMismatch, which is one, where they
        are not those of the config, and KeyError or TypeError for a config of something else.

        >>> layer = nerva.Linear(3, 2, activation="tanh", rng=0)
        >>> nerva.Linear.from_config(layer.config(), layer.arrays())
        Linear(3, 2, density=1, activation='tanh', dtype='float32')
        """
        raise NotImplementedError(f"{cls.__name__} cannot be made from a config")

    def assign(self, other: "Layer") -> None:
        """Set the arrays to those of another layer of the same class and shape; optimizer state starts anew.

        A sparse layer takes the CSR matrix itself, and so its pattern too. Raises TypeError or ValueError, before
        anything is changed, for a layer of another class, shape or dtype.
        """
        self._check_like(other)
        theirs = other.arrays()
        for name, array in self.arrays().items():
            array[:] = theirs[name]
        self._forget_optimizers()

    def _check_like(self, other: object) -> None:
        """Raise TypeError or ValueError unless another layer's arrays fit this one; those of a matrix may differ."""
        if type(other) is not type(self):
            raise TypeError(f"other is {type(other).__name__}; it must be {type(self).__name__}, as this layer is")
        shapes = [
            {name: (array.shape, array.dtype.name) for name, array in layer.arrays().items() if name not in MATRIX}
            for layer in (self, other)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(f"other has arrays {shapes[1]}; they must be {shapes[0]}")

    def take_features(self, kept: Features) -> "Layer":
        """Return a copy of the layer for some of its features; optimizer state is not copied."""
        raise NotImplementedError(f"{type(self).__name__} cannot be cut to some of its features")

    def _forget_optimizers(self) -> None:
        """Let optimizer state start anew: it belongs to other values."""
        for parameter in self.parameters():
            parameter.owner = None

    # ---- for subclasses

    def check_inputs(self, X: Array) -> int:
        """Return the batch of X, by which a layer that takes any features is built; raise TypeError or ValueError."""
        if self.in_features is None and isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind == "f":
            products.check_batch(X, "X", X.dtype, X.shape[0])
            self.build(X.shape[0], X.dtype)
        dtype, features = self.dtype or np.dtype(np.float32), self.in_features or 1
        products.check_batch(X, "X", dtype, features)
        return int(X.shape[1])

    def saved_for_backward(self, DY: Array) -> tuple[Array, Array]:
        """Return X and Y of the last forward pass in training, with DY checked; raise RuntimeError without one."""
        if self._X is None or self._Y is None:
            raise RuntimeError("backward needs a forward pass with training=True before it")
        assert self.dtype is not None
        products.check_batch(DY, "DY", self.dtype, self._Y.shape[0], self._X.shape[1])
        return self._X, self._Y

    def __getstate__(self) -> dict[str, Any]:
        # Without the batch: Dropout compares X and Y by identity, which copies do not keep.
        return {**self.__dict__, "_X": None, "_Y": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            self.__dict__[name] = writable(value) if isinstance(value, np.ndarray) else value
