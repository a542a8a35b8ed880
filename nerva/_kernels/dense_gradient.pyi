import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array

def candidates(
    W: CSR,
    DZ: Array,
    X: Array,
    tiles: npt.NDArray[np.int64],
    threshold: float,
    tied: int,
    *,
    work: Array,
    scores: Array,
    positions: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]: ...
