from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.operations import Operation

KINDS: dict[str, int]

class Program:
    dtype: np.dtype[Any]
    descriptions: list[Operation]
    features: int
    outputs: int
    def __init__(
        self, operations: Sequence[Operation], dtype: npt.DTypeLike, *, bfloat16: bool = False, sparse: bool = False
    ) -> None: ...
