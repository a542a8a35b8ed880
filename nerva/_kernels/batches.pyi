import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

def gather(
    source: Array,
    rows: npt.NDArray[np.int64],
    out: Array,
    scale: npt.NDArray[np.float32] | None = None,
    shift: npt.NDArray[np.float32] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    moves: npt.NDArray[np.int32] | None = None,
) -> bool: ...
