from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

class SparseBatch:
    features: int
    batch: int
    nnz: int
    dtype: np.dtype[Any]
    def __init__(self, features: int, dtype: npt.DTypeLike, samples: int = 0, entries: int = 0) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def nbytes(self) -> int: ...
    def gather(
        self, indptr: npt.NDArray[np.int64], indices: Array, values: Array, rows: npt.NDArray[np.int64]
    ) -> None: ...
    def to_dense(self) -> Array: ...
    @classmethod
    def from_scipy(cls, X: Any, dtype: npt.DTypeLike = np.float32) -> Self: ...
