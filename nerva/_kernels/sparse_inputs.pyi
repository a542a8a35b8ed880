from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva._kernels.sparse_batch import SparseBatch

def product(
    W: CSR | Array,
    X: SparseBatch,
    out: Array,
    bias: Array | None = None,
    activation: int = 0,
    alpha: float = 0.0,
) -> None: ...
def gradient(W: CSR | Array, DZ: Array, X: SparseBatch, out: Array) -> None: ...
def check_batch(X: SparseBatch, name: str, dtype: np.dtype[Any], features: int) -> None: ...
