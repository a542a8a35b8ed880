"""The largest gradients of a dense layer, found without it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva._kernels.rewiring import empty_positions, flat_positions
from nerva.topology import top_gradients as module
from nerva.topology.top_gradients import TopK, top_gradients, top_gradients_of_rows

from .problems import batch, problems, random_csr


def top(W, DZ, X, count):
    """The definition: all of |DZ X'| outside the pattern, sorted by size, then by position."""
    G = np.abs(DZ.astype(np.float64) @ X.astype(np.float64).T).reshape(-1)
    empties = np.setdiff1d(np.arange(G.size), flat_positions(W))
    return np.sort(empties[np.lexsort((empties, -G[empties]))[:count]])


@pytest.mark.usefixtures("instruction_set")
@given(problem=problems(), small=st.sampled_from([(7, 3), (64, 16), (1 << 18, 2048)]))
def test_the_largest_gradients_are_those_of_the_dense_product(dtype, problem, small):
    K, D, N, nnz, count, seed = problem
    rng = np.random.default_rng(seed)
    W = random_csr(K, D, nnz, rng, dtype)
    DZ, X = batch(K, N, rng, dtype), batch(D, N, rng, dtype)
    DZ[rng.random(K) < 0.3] = 0  # neurons that are silent: many ties at zero
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", small[0])
        patch.setattr(module, "WIDEST", small[1])
        for threads in (1, 2):
            nerva.set_num_threads(threads)
            np.testing.assert_array_equal(top_gradients(W, DZ, X, count), top(W, DZ, X, count))


@pytest.mark.parametrize("shape", [(300, 1100, 30, 3000, 5000), (700, 2100, 33, 70000, 20000), (40, 9000, 100, 5, 1)])
def test_large_layers_too(rng, shape):
    """Past one tile and the sample; ones that are not whole numbers agree where no two are close."""
    K, D, N, nnz, count = shape
    W = random_csr(K, D, nnz, rng, np.float64)
    DZ, X = batch(K, N, rng, np.float64, whole=False), batch(D, N, rng, np.float64, whole=False)
    DZ *= np.exp(2 * rng.standard_normal((K, 1)))  # rows of very different size
    np.testing.assert_array_equal(top_gradients(W, DZ, X, count), top(W, DZ, X, count))
    nerva.set_num_threads(2)
    np.testing.assert_array_equal(top_gradients(W, DZ, X, count), top(W, DZ, X, count))


def test_a_sample_that_misleads_costs_time_only(rng):
    """The rows and columns that are looked at first are larger than all others."""
    K, D = 256, 512
    W = random_csr(K, D, 100, rng)
    DZ, X = batch(K, 8, rng, np.float32), batch(D, 8, rng, np.float32)
    DZ[::2] *= 100
    X[::2] *= 100
    for count in (10, 5000, 50000):
        np.testing.assert_array_equal(top_gradients(W, DZ, X, count), top(W, DZ, X, count))


def test_no_gradient_at_all(rng):
    W = random_csr(600, 900, 1000, rng)
    X = batch(900, 5, rng, np.float32)
    found = top_gradients(W, np.zeros((600, 5), np.float32), X, 700)
    np.testing.assert_array_equal(found, empty_positions(W, np.arange(700)))


def test_products_beyond_the_numbers(rng):
    """Infinity is the largest gradient; what infinity less infinity would be is never grown."""
    W = random_csr(3, 4, 0, rng)
    big = np.float32(1e30)
    DZ, X = np.zeros((3, 2), np.float32), np.zeros((4, 2), np.float32)
    DZ[1, 0], X[2, 0], X[3, 1] = big, big, 1
    assert top_gradients(W, DZ, X, 1).tolist() == [6]
    DZ[1], X[2] = (big, -big), (big, big)
    try:
        found = top_gradients(W, DZ, X, 12)
    except FloatingPointError:
        pass
    else:
        assert len(found) == 12  # where the product adds before it rounds


def test_wrong_arguments_are_refused(rng):
    W = random_csr(4, 6, 5, rng)
    DZ, X = batch(4, 3, rng, np.float32), batch(6, 3, rng, np.float32)
    for count, DZ_, X_, message in [
        (20, DZ, X, "count"),
        (-1, DZ, X, "count"),
        (3, DZ * np.float32(np.nan), X, "DZ"),
        (3, DZ, X + np.float32(np.inf), "X"),
        (3, DZ[:, :0], X[:, :0], "samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            top_gradients(W, DZ_, X_, count)


@given(problem=problems(), tile=st.sampled_from([7, 64, 1 << 18]))
def test_the_largest_gradients_of_rows_are_those_of_each_row(dtype, problem, tile):
    K, D, N, nnz, _, seed = problem
    rng = np.random.default_rng(seed)
    W = random_csr(K, D, nnz, rng, dtype)
    DZ, X = batch(K, N, rng, dtype), batch(D, N, rng, dtype)
    empties = D - np.diff(W.indptr)
    counts = rng.integers(empties + 1)
    G, taken = np.abs(DZ.astype(np.float64) @ X.T), np.isin(np.arange(K * D), flat_positions(W)).reshape(K, D)
    wanted = []
    for row in range(K):
        free = np.flatnonzero(~taken[row])
        wanted.extend(row * D + np.sort(free[np.lexsort((free, -G[row, free]))[: counts[row]]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", tile)
        for threads in (1, 2):
            nerva.set_num_threads(threads)
            assert top_gradients_of_rows(W, DZ, X, counts).tolist() == wanted
    counts[-1] = empties[-1] + 1
    with pytest.raises(ValueError, match=rf"counts\[{K - 1}\] is {counts[-1]}; the row has {empties[-1]}"):
        top_gradients_of_rows(W, DZ, X, counts)


@given(count=st.integers(0, 12), sizes=st.lists(st.integers(0, 9), max_size=9), seed=st.integers(0, 2**32))
def test_the_top_of_what_was_offered(count, sizes, seed):
    """However it is cut, and where what is offered is filtered by the bounds."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(6, size=sum(sizes)).astype(np.float32)
    positions = rng.permutation(len(scores))
    top, filtered = TopK(count, -np.inf), TopK(count, -np.inf)
    for some in np.split(np.arange(len(scores)), np.cumsum(sizes)[:-1]):
        top.offer(scores[some], positions[some])
        able = some[
            (scores[some] > filtered.threshold)
            | ((scores[some] == filtered.threshold) & (positions[some] < filtered.tied))
        ]
        filtered.offer(scores[able], positions[able])
    wanted = np.sort(positions[np.lexsort((positions, -scores))[:count]])
    assert top.result().tolist() == filtered.result().tolist() == wanted.tolist()
