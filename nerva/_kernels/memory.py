"""Arrays as the kernels want them: 64-byte aligned, the rows of a batch padded to whole cache lines."""

from operator import index
from sys import maxsize
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.pages import pages

Array = npt.NDArray[Any]  # of activations, weights or targets: float32 or float64, shapes in the docstrings
ALIGNMENT = 64
# Bytes from which a vector has pages of its own: what malloc once had, it may keep when the vector is gone.
LARGE = 1 << 20


def empty_vector(n: int, dtype: npt.DTypeLike) -> Array:
    """Return an uninitialised, 64-byte aligned vector of shape (n,).

    Raises TypeError or ValueError for an n that is no integer, or negative, MemoryError for more than there can be.
    """
    dtype, n = np.dtype(dtype), index(n)
    size = n * dtype.itemsize
    if n < 0:
        raise ValueError(f"n is {n}; it must be at least 0")
    if size > maxsize:
        raise MemoryError(f"{n} values of {dtype} are {size} bytes")
    if size >= LARGE:
        return pages(size).view(dtype)
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype)


def zeros(n: int, dtype: npt.DTypeLike) -> Array:
    """Return an aligned vector of n zeros."""
    vector = empty_vector(n, dtype)
    if vector.nbytes < LARGE:  # pages are zero, and take memory when something else is written to them
        vector[:] = 0
    return vector


def aligned_copy(array: Array) -> Array:
    """Return a copy, of a vector one that is aligned as by `empty_vector`."""
    if array.ndim != 1:
        return array.copy()
    copied = empty_vector(len(array), array.dtype)
    copied[:] = array
    return copied


def writable(array: Array) -> Array:
    """Return the array, or a copy where it cannot be written, as those that joblib maps from a file."""
    return array if array.flags.writeable else aligned_copy(array)


def empty_batch(features: int, batch: int, dtype: npt.DTypeLike) -> Array:
    """Return an uninitialised matrix (features, batch) whose rows are 64-byte aligned, unless the batch is one."""
    return Buffer(features, dtype).take(batch)


class Buffer:
    """Memory for a matrix (features, batch), allocated once and used for every batch; a larger one reallocates."""

    __slots__ = ("_dtype", "_features", "_memory", "_views")

    def __init__(self, features: int, dtype: npt.DTypeLike) -> None:
        self._features = features
        self._dtype = np.dtype(dtype)
        self._memory = empty_vector(0, self._dtype)
        self._views: dict[int, Array] = {}

    def take(self, batch: int) -> Array:
        """Return the matrix for a batch of this size. It shares memory with those of earlier calls."""
        view = self._views.get(batch)
        if view is None:
            per_line = ALIGNMENT // self._dtype.itemsize
            # The features of a single sample are contiguous: the kernels have a faster path for that.
            stride = 1 if batch == 1 else -(-max(batch, 1) // per_line) * per_line
            # Rows a multiple of 1024 bytes apart would compete for the same few sets of a cache.
            if stride * self._dtype.itemsize % 1024 == 0:
                stride += per_line
            if self._features * stride > self._memory.size:
                self._memory = empty_vector(self._features * stride, self._dtype)
                self._views.clear()
            if len(self._views) >= 8:
                self._views.clear()
            view = self._memory[: self._features * stride].reshape(self._features, stride)[:, :batch]
            self._views[batch] = view
        return view

    @property
    def nbytes(self) -> int:
        """The bytes held."""
        return self._memory.nbytes

    # Pickled and copied without its contents: they last from a forward pass to its backward pass only.
    def __getstate__(self) -> tuple[int, str]:
        return self._features, self._dtype.str

    def __setstate__(self, state: tuple[int, str]) -> None:
        self.__init__(*state)  # type: ignore[misc]
