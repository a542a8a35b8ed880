from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

def softmax_cross_entropy(
    Z: Array, labels: npt.NDArray[np.int64], DZ: Array, per_sample: npt.NDArray[np.float64]
) -> tuple[float, int]: ...
def softmax(Z: Array, out: Array) -> None: ...
