"""A data set: splits of samples and labels, and samples that are stored as bytes and standardized when read."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nerva.datasets.tasks import Task


class Standardized:
    """Samples stored as uint8 and standardized when they are read.

    Feature j of sample i is (pixels[i, j] / 255 - mean[j]) / std[j], computed as pixels[i, j] scale[j] + shift[j]: a
    quarter of the memory of float32, for one multiplication and one addition.

    Parameters
    ----------
    pixels : (n, D) array of uint8, a sample a row; not copied if it is C-contiguous
    mean, std : to subtract and to divide by, (D,) arrays or scalars, in units of pixels / 255

    Attributes
    ----------
    pixels : (n, D) array of uint8, C-contiguous
    scale, shift : (D,) arrays of float32

    Raises TypeError if `pixels` is not an array of uint8, ValueError if a shape does not fit, `mean` or `std` is not
    finite, or `std` is not positive.

    >>> X = Standardized(np.array([[0, 255], [51, 102]], dtype=np.uint8), mean=0.5, std=0.5)
    >>> np.asarray(X[:1])
    array([[-1.,  1.]], dtype=float32)
    """

    __slots__ = ("pixels", "scale", "shift")

    pixels: NDArray[np.uint8]
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]

    def __init__(self, pixels: NDArray[np.uint8], mean: ArrayLike, std: ArrayLike) -> None:
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            found = pixels.dtype if isinstance(pixels, np.ndarray) else type(pixels).__name__
            raise TypeError(f"pixels must be an array of uint8, found {found}")
        if pixels.ndim != 2 or pixels.shape[1] == 0:
            raise ValueError(f"pixels must have the shape (samples, features), found {pixels.shape}")
        center, spread = _per_feature("mean", mean, pixels.shape[1]), _per_feature("std", std, pixels.shape[1])
        if not (spread > 0).all():
            raise ValueError(f"std must be positive, found {spread.min()}")
        self.pixels = np.ascontiguousarray(pixels)
        self.scale = (1 / (255 * spread)).astype(np.float32)
        self.shift = (-center / spread).astype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """(samples, features)."""
        return (self.pixels.shape[0], self.pixels.shape[1])

    @property
    def ndim(self) -> int:
        """The number of axes, 2."""
        return 2

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """The dtype of the features, float32."""
        return np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """The bytes of pixels, scale and shift."""
        return self.pixels.nbytes + self.scale.nbytes + self.shift.nbytes

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, rows: slice | list[int] | NDArray[Any]) -> Standardized: ...
    def __getitem__(
        self, rows: int | np.integer[Any] | slice | list[int] | NDArray[Any]
    ) -> Standardized | NDArray[np.float32]:
        """Select samples: one as a float32 row (D,), several (slice, indices, mask) as another Standardized.

        A slice of consecutive samples is a view of the pixels. Features cannot be selected.
        """
        if isinstance(rows, slice):
            return self._like(self.pixels[rows])
        if isinstance(rows, (list, np.ndarray)):
            chosen = np.asarray(rows)
            if chosen.size == 0 and isinstance(rows, list):
                chosen = chosen.astype(np.intp)
            if chosen.ndim == 1:
                return self._like(self.pixels[chosen])
            if chosen.ndim > 1:
                raise IndexError(f"samples are selected along one axis, found indices of shape {chosen.shape}")
        try:
            row = operator.index(rows)  # type: ignore[arg-type]
        except TypeError:
            raise IndexError(f"samples are selected by an int, slice, index array or mask, found {rows!r}") from None
        return self._values(self.pixels[row])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Compute all features as a new float32 array (n, D), or one of `dtype`."""
        if copy is False:
            raise ValueError("the values of Standardized samples are computed: they cannot be had without a copy")
        values = self._values(self.pixels)
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"Standardized({len(self)} samples of {self.shape[1]} features, {self.nbytes / 1e6:.1f} MB as uint8)"

    def _values(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = np.multiply(pixels, self.scale, dtype=np.float32)
        values += self.shift
        return values

    def __getstate__(self) -> object:
        # Protocols 0 and 1 ask for one of a class with __slots__; later ones take this by themselves.
        return object.__getstate__(self)

    def _like(self, pixels: NDArray[np.uint8]) -> Standardized:
        other = object.__new__(Standardized)
        other.pixels, other.scale, other.shift = np.ascontiguousarray(pixels), self.scale, self.shift
        return other


class Split(NamedTuple):
    """Samples X (n, D) and their targets y: labels (n,), int64 from 0 to classes - 1; or float64 (n, targets)."""

    X: Standardized | NDArray[Any]
    y: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split of the same features and classes, or other targets.

    Parameters
    ----------
    name : shown in summaries
    train, test : samples and targets, to unpack as X, y = dataset.train
    classes : the names of the classes, in the order of the labels; or those of the targets
    image_shape : (channels, height, width) of images; None for other samples, or if it is not known
    task : "classification", of labels; or "regression" or "multi-label", of rows of numbers, or of 0 and 1
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int] | None = None
    task: Task = "classification"


def _per_feature(name: str, values: ArrayLike, D: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (D,)):
        raise ValueError(f"{name} must be a scalar or have the shape ({D},), found {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return np.broadcast_to(array, (D,))
