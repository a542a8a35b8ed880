"""Layers, batches and numbers of weights to rewire, at random."""

import numpy as np
from hypothesis import strategies as st

from nerva._kernels.csr import CSR
from nerva._kernels.memory import empty_batch
from nerva._kernels.supports import draw_support


def random_csr(K, D, nnz, rng, dtype=np.float32):
    return CSR((K, D), *draw_support(K, D, nnz, rng), rng.standard_normal(nnz).astype(dtype))


def batch(features, N, rng, dtype, whole=True):
    """Random numbers; whole ones, whose products are exact in any order and full of ties."""
    out = empty_batch(features, N, dtype)
    out[:] = rng.integers(-3, 4, (features, N)) if whole else rng.standard_normal((features, N))
    return out


@st.composite
def problems(draw):
    K, D, N = draw(st.integers(1, 40)), draw(st.integers(1, 70)), draw(st.integers(1, 9))
    nnz = draw(st.integers(0, K * D))
    return K, D, N, nnz, draw(st.integers(0, K * D - nnz)), draw(st.integers(0, 2**32))
