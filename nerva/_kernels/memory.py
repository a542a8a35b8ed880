"""Memory as the kernels like it: 64-byte aligned, rows of a batch padded to whole cache lines."""

import numpy as np
import numpy.typing as npt

from typing import Any

ALIGNMENT = 64


def empty_vector(n: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an uninitialised, 64-byte aligned vector of shape (n,)."""
    dtype = np.dtype(dtype)
    raw = np.empty(n * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + n * dtype.itemsize].view(dtype)


def empty_batch(features: int, batch: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an uninitialised matrix of shape (features, batch) whose rows start on 64-byte boundaries."""
    dtype = np.dtype(dtype)
    per_line = ALIGNMENT // dtype.itemsize
    stride = -(-max(batch, 1) // per_line) * per_line
    return empty_vector(features * stride, dtype).reshape(features, stride)[:, :batch]
