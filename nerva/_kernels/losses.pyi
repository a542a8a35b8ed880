import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

def softmax_cross_entropy(
    Z: Array, labels: npt.NDArray[np.int64], DZ: Array, per_sample: npt.NDArray[np.float64]
) -> tuple[float, int]: ...
