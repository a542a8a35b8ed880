from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva._kernels.updates import Update

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
def sparse_backward(
    W: CSR,
    X: Array,
    Y: Array,
    DY: Array,
    activation: int,
    alpha: float,
    DZ: Array,
    DX: Array | None = None,
    *,
    gradient: Array | None = None,
    Db: Array | None = None,
    update: Update | None = None,
    velocity: Array | None = None,
    second: Array | None = None,
    bias: Array | None = None,
    bias_update: Update | None = None,
    bias_velocity: Array | None = None,
    bias_second: Array | None = None,
    delta: bool = False,
    below: tuple[int, float, Array | None] | None = None,
) -> None: ...
def check_batch(A: object, name: str, dtype: np.dtype[Any], features: int, batch: int = -1) -> None: ...
def widest_batch(dtype: np.dtype[Any]) -> int: ...
