from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array

BACKENDS: tuple[str, ...]

def gemm(
    A: Array,
    B: Array,
    out: Array,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None: ...
def spmm(
    W: CSR,
    X: Array,
    out: Array,
    bias: Array | None = None,
    activation: int = 0,
    alpha: float = 0.0,
    backend: str = "native",
) -> None: ...
def spmm_t(W: CSR, DY: Array, out: Array, backend: str = "native") -> None: ...
def sddmm(W: CSR, DY: Array, X: Array, out: Array, backend: str = "native") -> None: ...
def check_batch(A: object, name: str, dtype: np.dtype[Any], features: int, batch: int = -1) -> None: ...
