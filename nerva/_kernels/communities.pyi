from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array

def community_scores(
    W: CSR, first: int, end: int, *, by_paths: bool, inner: Array, outer: Array, out: Array
) -> None: ...
