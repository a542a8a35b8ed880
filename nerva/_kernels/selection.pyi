from typing import Any

import numpy as np
import numpy.typing as npt

def largest(
    numbers: npt.NDArray[Any], count: int, positions: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]: ...
