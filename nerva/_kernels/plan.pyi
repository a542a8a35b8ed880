from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva._kernels.operations import Operation
from nerva._kernels.sparse_batch import SparseBatch
from nerva._kernels.updates import Update

Stepped = tuple[Update, Array | None, Array | None, npt.NDArray[np.int32] | None]

class Plan:
    def __init__(
        self,
        operations: Sequence[Operation],
        dtype: npt.DTypeLike,
        by_rows: bool | None = None,
        *,
        bfloat16: bool = False,
        sparse: bool = False,
    ) -> None: ...
    @property
    def taken(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def step(
        self,
        updates: Sequence[Stepped],
        source: Array | SparseBatch,
        rows: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        *,
        scale: Array | None = None,
        shift: Array | None = None,
        image_shape: tuple[int, int, int] | None = None,
        moves: Array | None = None,
        nanoseconds: Array | None = None,
        clip_norm: float = 0.0,
        check: bool = False,
    ) -> tuple[float, int] | None: ...
    def begin(
        self,
        source: Array | SparseBatch,
        rows: npt.NDArray[np.int64],
        out: Array,
        *,
        scale: Array | None = None,
        shift: Array | None = None,
        image_shape: tuple[int, int, int] | None = None,
        moves: Array | None = None,
        nanoseconds: Array | None = None,
        clip_norm: float = 0.0,
        check: bool = False,
    ) -> bool: ...
    def finish(self, take_updates: Callable[[], Sequence[Stepped]], DY: Array) -> None: ...
    def forward(
        self,
        source: Array | SparseBatch,
        rows: npt.NDArray[np.int64],
        out: Array,
        *,
        scale: Array | None = None,
        shift: Array | None = None,
    ) -> bool: ...
