import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

def largest(values: Array, count: int, positions: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]: ...
