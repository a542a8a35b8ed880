"""The supports a layer can have: counts kept exactly, drawn evenly, reproducible, and small in memory."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import nerva
from nerva import supports

SOME = {
    **supports.SUPPORTS,
    "skewed columns": supports.skewed(1.5, axis=1),
    "not skewed": supports.skewed(0.0),
    "small blocks": supports.blocks(3),
}


def flat(support, K, D, count, rng):
    """The positions as row x D + column, after checking that they are a sorted pattern of `count`."""
    indptr, indices = support(K, D, count, rng)
    assert indptr.dtype == indices.dtype == np.int32
    assert (indptr[0], indptr[-1], len(indptr), len(indices)) == (0, count, K + 1, count)
    keys = np.repeat(np.arange(K), np.diff(indptr)) * D + indices
    assert (np.diff(keys) > 0).all()
    assert not count or (indices.min() >= 0 and indices.max() < D)
    return keys


@st.composite
def sizes(draw):
    K, D = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    return K, D, draw(st.integers(0, K * D))


@pytest.mark.parametrize("name", SOME)
@given(size=sizes(), seed=st.integers(0, 2**32))
def test_exactly_as_many_as_asked_for_and_again_the_same(name, size, seed):
    once, again = (flat(SOME[name], *size, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@given(size=sizes(), seed=st.integers(0, 2**32))
def test_fans_differ_by_one_at_most(size, seed):
    K, D, count = size
    rows = np.bincount(flat(supports.fan_in, K, D, count, np.random.default_rng(seed)) // D, minlength=K)
    columns = np.bincount(flat(supports.fan_out, K, D, count, np.random.default_rng(seed)) % D, minlength=D)
    assert np.ptp(rows) <= 1
    assert np.ptp(columns) <= 1


@pytest.mark.parametrize("count", [96, 160, 320])
@pytest.mark.parametrize("name", ["fan-in", "fan-out", "random", "blocks"])
def test_every_position_is_as_likely_as_any_other(rng, name, count):
    K, D, draws = 20, 20, 600
    support = supports.blocks(4) if name == "blocks" else SOME[name]
    hits = np.bincount(np.concatenate([flat(support, K, D, count, rng) for _ in range(draws)]), minlength=K * D)
    # Blocks come together, so only one position of each is independent of the others.
    hits = hits.reshape(5, 4, 5, 4)[:, 0, :, 0].ravel() if name == "blocks" else hits
    statistic = stats.chisquare(hits).statistic / (1 - count / (K * D))
    assert stats.chi2.sf(statistic, len(hits) - 1) > 1e-4


def test_skewed_rows_follow_the_power_law(rng):
    rows = np.bincount(flat(supports.skewed(1.0), 100, 1000, 5000, rng) // 1000, minlength=100)
    wanted = 1 / np.arange(1, 101)
    np.testing.assert_allclose(np.sort(rows)[::-1], 5000 * wanted / wanted.sum(), atol=1.0)
    assert not np.array_equal(rows, np.sort(rows)[::-1])  # the heavy ones are anywhere
    full = np.sort(np.bincount(flat(supports.skewed(3.0), 100, 50, 500, rng) // 50, minlength=100))[::-1]
    assert full[0] == 50


def test_blocks_are_full(rng):
    keys = flat(supports.blocks(8), 64, 64, 8 * 64, rng)
    mask = np.zeros(64 * 64, bool)
    mask[keys] = True
    counts = mask.reshape(8, 8, 8, 8).sum(axis=(1, 3))
    assert set(np.unique(counts)) == {0, 64}


@pytest.mark.parametrize("name", ["fan-in", "fan-out", "skewed", "blocks"])
def test_a_million_by_a_million(rng, name):
    n = 10**6
    tracemalloc.start()
    keys = SOME[name](n, n, n, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(keys[1]) == n
    assert peak < 200e6


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_array, scipy.sparse.coo_array, lambda m: m.astype(bool)])
def test_a_matrix_is_a_support(rng, make):
    mask = (rng.random((7, 9)) < 0.3).astype(np.float64)
    layer = nerva.SparseLinear(9, 7, support=make(mask), init="he", rng=0)
    np.testing.assert_array_equal(layer.weight.to_dense() != 0, mask != 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"support": "golden", "density": 0.5}, r"support is 'golden'; it must be one of random, fan-in"),
        ({"support": "random"}, "density is missing"),
        ({"support": 3, "density": 0.5}, "support is a matrix, so density must not be given"),
        ({"support": np.ones((3, 4))}, r"support has shape \(3, 4\); it must be \(5, 4\)"),
        ({"support": np.full((5, 4), "x")}, "support has shape"),
        ({"support": lambda *_: (np.zeros(6, np.int32), np.zeros(0, np.int32)), "density": 0.5}, "support returned 0"),
        ({"density": 0.5, "fan": "golden"}, "fan is 'golden'; it must be one of dense, live"),
    ],
)
def test_wrong_supports_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        nerva.SparseLinear(4, 5, **arguments)


@pytest.mark.parametrize("make", [partial(supports.skewed, -1), partial(supports.skewed, axis=2)])
@pytest.mark.parametrize("size", [0, 1.5, True])
def test_wrong_settings_of_supports_are_refused(make, size):
    with pytest.raises(ValueError, match=r"exponent is|axis is"):
        make()
    with pytest.raises((TypeError, ValueError), match="size is"):
        supports.blocks(size)


def test_fans_are_those_there_are(rng):
    told = []

    def init(rng, fan_in, fan_out, count, dtype):
        told.append((fan_in, fan_out))
        return np.ones(count)

    nerva.SparseLinear(100, 50, density=0.1, init=init, fan="live", rng=rng)
    nerva.SparseLinear(100, 50, density=0.1, init=init, fan="dense", rng=rng)
    nerva.SparseLinear(100, 50, density=0.0, init=init, fan="live", rng=rng)
    assert told == [(10.0, 5.0), (100, 50), (1.0, 1.0)]


@pytest.mark.parametrize("name", ["fan-in", "blocks", supports.skewed(0.5)])
def test_networks_have_them(name):
    model = nerva.MLP([64, 48, 10], density=0.2, support=name, fan="live", distribution="balanced", init="he", seed=1)
    assert model.nnz == pytest.approx(0.2 * model.dense_size, abs=2)
    rows = np.diff(model.layers[0].weight.indptr)
    assert name != "fan-in" or np.ptp(rows) <= 1
