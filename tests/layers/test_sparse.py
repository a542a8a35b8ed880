"""The sparse linear layer: its patterns, its density, what it holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.topology.distributions import weight_count

from ..layer_reference import KINDS, D, K, assert_right, batch, make
from ..reference import PATTERNS, draw_mask


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("backend", KINDS[1:])
def test_numpy_agrees_on_awkward_patterns(backend, pattern, dtype, rng):
    mask = draw_mask(rng, K, D, pattern)
    weight = nerva.CSR.from_dense(np.where(mask, rng.uniform(0.1, 1, mask.shape), 0).astype(dtype))
    layer = nerva.SparseLinear(D, K, weight=weight, activation="tanh", backend=backend)
    assert layer.weight is weight
    assert layer.dtype == dtype
    assert layer.nnz == mask.sum()
    for N in (1, 20):
        assert_right(layer, N)


@pytest.mark.parametrize(("density", "nnz"), [(0.0, 0), (0.05, 6), (0.5, 59), (1.0, 117), (np.float32(0.25), 29)])
@pytest.mark.parametrize("backend", KINDS[1:])
def test_a_density_gives_so_many_weights(backend, density, nnz):
    layer = make(backend, density=density, dtype=np.float64)
    assert layer.nnz == layer.weight.nnz == layer.weight_gradient.size == nnz
    assert layer.density == pytest.approx(nnz / (D * K))
    assert_right(layer, 4)


@given(density=st.floats(0, 1), K=st.integers(1, 60), D=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_a_support_has_exactly_so_many_weights(density, K, D, seed):
    layer = nerva.SparseLinear(D, K, density=density, rng=seed)
    assert abs(layer.nnz - density * K * D) <= 0.5 + 1e-9
    mask = np.zeros((K, D), bool)
    mask[np.repeat(np.arange(K), np.diff(layer.weight.indptr)), layer.weight.indices] = True
    assert mask.sum() == layer.nnz == weight_count(density, K, D)


def test_bytes_are_those_of_the_arrays():
    layer = make("native", dtype=np.float64)
    n = layer.nnz
    weight = (8 + 4) * n + 4 * (K + 1)
    assert layer.nbytes == weight + 8 * K
    X, DY = batch(layer, 5)
    layer.forward(X)
    layer.backward(DY, input_gradient=False)
    assert layer.nbytes == weight + 8 * n + 2 * 8 * K  # gradients
    layer.backward(DY)
    companion = 4 * (D + 1) + 2 * 4 * n
    assert layer.nbytes == weight + companion + 8 * n + 2 * 8 * K
    nerva.Nesterov().step(layer.parameters(), 0.1)
    assert layer.nbytes == weight + companion + 2 * 8 * n + 3 * 8 * K
    assert make("linear").nbytes == 4 * (D * K + K)
    assert make("linear", bias=False).nbytes == 4 * D * K


def test_repr_tells_shape_density_activation_and_dtype():
    sparse = nerva.SparseLinear(100, 50, density=0.1, activation="relu", dtype="float64")
    assert repr(sparse) == "SparseLinear(100, 50, density=0.1, activation='relu', dtype='float64')"
    assert repr(nerva.Linear(3, 2)) == "Linear(3, 2, density=1, activation='identity', dtype='float32')"
