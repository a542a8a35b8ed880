"""Supports of network science and of given degrees: the model they are drawn from, and degrees kept exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import nerva
from nerva import supports

from .problems import random_csr
from .test_supports import flat, sizes


def ring_distances(keys, K, D):
    """How far each weight's input is from its output's place on the ring of inputs."""
    apart = np.abs(keys % D - keys // D * D // K)
    return np.minimum(apart, D - apart)


@given(size=sizes(), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("support", [supports.receptive_field(0.3), supports.small_world(0.0)])
def test_every_output_has_as_many(support, size, seed):
    K, D, _ = size
    keys = flat(support, *size, np.random.default_rng(seed))
    assert np.ptp(np.bincount(keys // D, minlength=K)) <= 1


@pytest.mark.parametrize("support", [supports.receptive_field(0.0), supports.small_world(0.0)])
@given(size=sizes())
def test_the_nearest_inputs(support, size):
    K, D, _ = size
    keys = flat(support, *size, np.random.default_rng(0))
    for k, many in enumerate(np.bincount(keys // D, minlength=K)):
        nearest = np.sort(ring_distances(k * D + np.arange(D), K, D))[:many]
        np.testing.assert_array_equal(np.sort(ring_distances(keys[keys // D == k], K, D)), nearest)


@pytest.mark.parametrize("r", [0.2, 0.5, 0.8, 1.0])
def test_receptive_fields_are_drawn_by_the_distance(rng, r):
    K, D, draws = 3, 12, 3000
    keys = np.concatenate([flat(supports.receptive_field(r), K, D, K, rng) for _ in range(draws)])  # one for each row
    for k in range(K):
        weights = (1.0 + ring_distances(k * D + np.arange(D), K, D)) ** -((1 - r) / r)
        hits = np.bincount(keys[keys // D == k] % D, minlength=D)
        wanted = draws * weights / weights.sum()
        often = wanted > 5
        hits, wanted = (np.append(a[often], a[~often].sum() + 1e-9) for a in (hits, wanted))
        assert stats.chisquare(hits, wanted * hits.sum() / wanted.sum()).pvalue > 1e-4


def test_draws_of_a_receptive_field_are_without_replacement(rng):
    """Two of three inputs: the second from those left, with probabilities in proportion."""
    p = np.array([1.0, 0.5, 0.5]) / 2  # distances 0, 1, 1 and r = 1/2
    hits = np.zeros(3)
    for _ in range(4000):
        hits[flat(supports.receptive_field(0.5), 1, 3, 2, rng)] += 1
    wanted = p + np.array([sum(p[i] * p[j] / (1 - p[i]) for i in range(3) if i != j) for j in range(3)])
    np.testing.assert_allclose(hits / 4000, wanted, atol=0.03)


def test_a_part_of_a_small_world_is_moved_anywhere(rng):
    K, D, count = 40, 60, 400
    lattice = set(flat(supports.small_world(0.0), K, D, count, rng))
    for beta in (0.2, 0.7):
        kept = [len(lattice & set(flat(supports.small_world(beta), K, D, 400, rng))) for _ in range(50)]
        back = beta * count / (K * D - (1 - beta) * count)  # of what is moved, the part that comes back
        assert np.mean(kept) == pytest.approx(count * (1 - beta + beta * back), abs=6)
    keys = np.concatenate([flat(supports.small_world(1.0), 8, 10, 20, rng) for _ in range(600)])
    hits = np.bincount(keys, minlength=80)
    assert stats.chi2.sf(stats.chisquare(hits).statistic / (1 - 20 / 80), 79) > 1e-4


# ---- given degrees


@st.composite
def patterns(draw, most=12):
    K, D = draw(st.integers(1, most)), draw(st.integers(1, most))
    return random_csr(K, D, draw(st.integers(0, K * D)), np.random.default_rng(draw(st.integers(0, 2**32))))


@given(W=patterns(), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("sides", ["fan_in", "fan_out", "both"])
def test_degrees_are_kept_exactly(sides, W, seed):
    (K, D), linked = W.shape, W.to_dense() != 0
    rows, columns = linked.sum(1), linked.sum(0)
    support = supports.degrees(rows if sides != "fan_out" else None, columns if sides != "fan_in" else None)
    keys = flat(support, K, D, W.nnz, np.random.default_rng(seed))
    if sides != "fan_out":
        np.testing.assert_array_equal(np.bincount(keys // D, minlength=K), rows)
    if sides != "fan_in":
        np.testing.assert_array_equal(np.bincount(keys % D, minlength=D), columns)
    np.testing.assert_array_equal(keys, flat(support, K, D, W.nnz, np.random.default_rng(seed)))


@given(W=patterns(), size=st.floats(0, 1))
def test_degrees_are_scaled_to_the_number_of_weights(W, size):
    (K, D), rows = W.shape, np.diff(W.indptr)
    count = round(size * K * D)
    found = np.bincount(flat(supports.degrees(rows), K, D, count, np.random.default_rng(0)) // D, minlength=K)
    assert found.sum() == count
    if W.nnz and count * rows.max() <= D * W.nnz:  # no row is full
        assert np.abs(found - count * rows / W.nnz).max() < 1


def test_every_pattern_with_the_degrees_is_as_likely(rng):
    """Three rows and columns with two weights each have six patterns; by the trades each is about as likely."""
    support, seen = supports.degrees([2, 2, 2], [2, 2, 2]), {}
    for _ in range(1200):
        key = tuple(flat(support, 3, 3, 6, rng))
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 6
    assert stats.chisquare(list(seen.values())).pvalue > 1e-4


def test_like_a_layer_whose_weights_have_moved():
    X, y = np.random.default_rng(0).random((60, 20), np.float32), np.arange(60) % 4
    model = nerva.MLP([20, 16, 4], density=0.3, seed=0)
    model.fit(X, y, epochs=3, batch_size=10, topology=nerva.RigL(every=3))
    again = nerva.MLP([20, 16, 4], density=0.3, support=[supports.like(layer) for layer in model.layers], seed=1)
    for new, old in zip(again.layers, model.layers, strict=True):
        np.testing.assert_array_equal(np.diff(new.weight.indptr), np.diff(old.weight.indptr))
        assert not np.array_equal(new.weight.indices, old.weight.indices)
    weight = model.layers[0].weight
    both = nerva.SparseLinear(20, 16, density=weight.nnz / 320, support=supports.like(weight, fan_out=True), rng=0)
    np.testing.assert_array_equal(both.weight.to_dense().astype(bool).sum(0), weight.to_dense().astype(bool).sum(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: supports.receptive_field(1.5), "r is 1.5"),
        (lambda: supports.small_world(-0.1), "beta is -0.1"),
        (lambda: supports.degrees(), "fan_in and fan_out are both None"),
        (lambda: supports.degrees([[1, 2]]), r"fan_in has shape \(1, 2\)"),
        (lambda: supports.degrees(["a"]), "fan_in has shape"),
        (lambda: supports.degrees([1, -1]), "fan_in holds -1.0 to 1.0"),
        (lambda: supports.degrees(fan_out=[np.inf]), "fan_out holds inf"),
        (lambda: supports.like(nerva.Linear(3, 2)), "source is Linear"),
        (lambda: supports.like(3), "source is int"),
        (lambda: supports.degrees([1, 1, 1])(2, 3, 3, None), "fan_in has 3 entries; the layer has 2 outputs"),
        (lambda: supports.degrees(fan_out=[1, 1])(2, 3, 3, None), "fan_out has 2 entries; the layer has 3 inputs"),
        (lambda: supports.degrees([1])(1, 3, 4, None), "count is 4"),
        (
            lambda: supports.degrees([2, 0], [2, 0])(2, 2, 2, np.random.default_rng(0)),
            "fan_in and fan_out have no pattern in common",
        ),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
