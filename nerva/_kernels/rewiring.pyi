from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR

Array = npt.NDArray[Any]

def candidates(
    W: CSR,
    DZ: Array,
    X: Array,
    tiles: npt.NDArray[np.int64],
    threshold: float,
    tied: int,
    work: Array,
    scores: Array,
    positions: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]: ...
def flat_positions(W: CSR) -> npt.NDArray[np.int64]: ...
def empty_positions(W: CSR, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
def merge(
    W: CSR, dropped: npt.NDArray[np.int64], grown: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]: ...
def rewire(
    W: CSR, dropped: npt.NDArray[np.int64], grown: npt.NDArray[np.int64], first: npt.ArrayLike
) -> npt.NDArray[np.int64]: ...
def moved(numbers: Array, source: npt.NDArray[np.int64]) -> Array: ...
def mark(bits: npt.NDArray[np.uint8], positions: npt.NDArray[np.int64]) -> int: ...
def union(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
