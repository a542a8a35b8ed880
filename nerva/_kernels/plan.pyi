from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva._kernels.operations import Operation
from nerva._kernels.updates import Update

class Plan:
    def __init__(
        self,
        operations: Sequence[Operation],
        dtype: npt.DTypeLike,
        by_rows: bool | None = None,
        *,
        bfloat16: bool = False,
    ) -> None: ...
    @property
    def taken(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def step(
        self,
        updates: Sequence[tuple[Update, Array | None, Array | None]],
        source: Array,
        rows: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        *,
        scale: Array | None = None,
        shift: Array | None = None,
        image_shape: tuple[int, int, int] | None = None,
        moves: Array | None = None,
        nanoseconds: Array | None = None,
        check: bool = False,
    ) -> tuple[float, int] | None: ...
    def forward(
        self,
        source: Array,
        rows: npt.NDArray[np.int64],
        out: Array,
        *,
        scale: Array | None = None,
        shift: Array | None = None,
    ) -> bool: ...
