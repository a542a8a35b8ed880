"""Growth by link prediction: scores as defined, exact counts, draws in proportion, any block or thread."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import nerva
from nerva._kernels.communities import community_scores
from nerva._kernels.rewiring import flat_positions
from nerva.topology import LayerState, LinkPrediction
from nerva.topology.link_prediction import score_blocks

from .link_reference import RULES, scores
from .problems import random_csr


def whole(W, rule, size=1 << 18):
    return np.concatenate([block.copy() for _, block in score_blocks(W, rule, size)])


def state_of(W, seed=0):
    return LayerState(0, nerva.SparseLinear(W.columns, W.rows, weight=W), np.random.default_rng(seed))


@st.composite
def layers(draw, most=9):
    K, D = draw(st.integers(1, most)), draw(st.integers(1, most))
    return random_csr(K, D, draw(st.integers(0, K * D)), np.random.default_rng(draw(st.integers(0, 2**32))))


@pytest.mark.parametrize("rule", RULES)
@given(W=layers())
def test_scores_are_those_of_the_definition(rule, W):
    linked = W.to_dense() != 0
    np.testing.assert_allclose(whole(W, rule), scores(linked, rule), rtol=1e-12)


@pytest.mark.parametrize("density", [0.01, 0.2])  # by a list of what is reached, and by a pass over all
@pytest.mark.parametrize("rule", RULES)
def test_layers_of_any_density(rng, rule, density):
    W = random_csr(30, 90, int(30 * 90 * density), rng)
    np.testing.assert_allclose(whole(W, rule), scores(W.to_dense() != 0, rule), rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_any_block_and_number_of_threads(rng, rule):
    W = random_csr(200, 300, 900, rng)
    nerva.set_num_threads(1)
    wanted = whole(W, rule)
    for size, threads in ((7000, 1), (40000, 2), (1 << 18, 3)):
        nerva.set_num_threads(threads)
        np.testing.assert_array_equal(whole(W, rule, size), wanted)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("rule", RULES)
@given(W=layers(), part=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_as_many_empty_positions_as_asked_for(rule, soft, W, part, seed):
    count = round(part * (W.rows * W.columns - W.nnz))
    positions = LinkPrediction(rule, soft)(state_of(W, seed), count)
    assert positions.dtype == np.int64
    assert len(positions) == count
    assert (np.diff(positions) > 0).all()
    assert not set(positions) & set(flat_positions(W))
    assert not count or 0 <= positions[0] <= positions[-1] < W.rows * W.columns
    np.testing.assert_array_equal(positions, LinkPrediction(rule, soft)(state_of(W, seed), count))


@pytest.mark.parametrize("rule", RULES)
@given(W=layers(), part=st.floats(0, 1))
def test_the_highest_scores_grow(rule, W, part):
    flat = whole(W, rule).reshape(-1)
    count = round(part * np.count_nonzero(flat))
    order = np.lexsort((np.arange(len(flat)), -flat))
    np.testing.assert_array_equal(LinkPrediction(rule)(state_of(W), count), np.sort(order[:count]))


def test_what_has_no_path_grows_last_and_uniformly():
    W = nerva.CSR((2, 6), [0, 2, 4], [0, 1, 1, 2], np.ones(4))  # paths lead to positions 2 and 6 alone
    hits = np.zeros(12)
    for seed in range(800):
        positions = LinkPrediction()(state_of(W, seed), 4)
        assert {2, 6} <= set(positions)
        hits[positions] += 1
    others = hits[[3, 4, 5, 9, 10, 11]]
    assert stats.chisquare(others).pvalue > 1e-4
    assert others.sum() == 1600


def test_soft_growth_draws_in_proportion_to_the_scores():
    W = random_csr(5, 6, 12, np.random.default_rng(3))
    flat = whole(W, "CH2-L3n").reshape(-1)
    some, state, draws = np.flatnonzero(flat), state_of(W), 4000
    hits = np.bincount([LinkPrediction("CH2-L3n", soft=True)(state, 1)[0] for _ in range(draws)], minlength=30)
    assert hits[flat == 0].sum() == 0
    assert stats.chisquare(hits[some], draws * flat[some] / flat.sum()).pvalue > 1e-4
    # Two without replacement: first i, then j of those left.
    part = flat[some] / flat.sum()
    twice = part + sum(part[i] * np.where(np.arange(len(part)) != i, part / (1 - part[i]), 0) for i in range(len(part)))
    hits = np.zeros(30)
    for _ in range(draws):
        hits[LinkPrediction("CH2-L3n", soft=True)(state, 2)] += 1
    np.testing.assert_allclose(hits[some] / draws, twice, atol=0.04)


def test_layers_of_many_blocks(rng):
    W, count = random_csr(600, 1000, 3000, rng), 2000
    flat = whole(W, "CH3-L3p").reshape(-1)
    order = np.lexsort((np.arange(len(flat)), -flat))[:count]
    np.testing.assert_array_equal(LinkPrediction()(state_of(W), count), np.sort(order))
    drawn = LinkPrediction(soft=True)(state_of(W), count)
    assert (flat[drawn] > 0).all()
    # By block of rows, as the scores are: within four standard deviations.
    blocks = 1000 * 262
    found = np.bincount(drawn // blocks, minlength=3) / count
    parts = np.array([flat[i * blocks : (i + 1) * blocks].sum() for i in range(3)]) / flat.sum()
    np.testing.assert_allclose(found, parts, atol=4 * 0.5 / np.sqrt(count))


@pytest.mark.parametrize("soft", [False, True])
def test_the_scores_are_never_whole(rng, soft):
    K, D = 2000, 4000  # 64 MB of scores
    state = state_of(random_csr(K, D, 16000, rng))
    tracemalloc.start()
    assert len(LinkPrediction(soft=soft)(state, 5000)) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6


@pytest.mark.parametrize("soft", [False, True])
def test_no_weight_and_no_empty_position(soft):
    empty, full = (
        nerva.CSR((3, 1), *pattern, np.ones(len(pattern[1]))) for pattern in (([0] * 4, []), ([0, 1, 2, 3], [0] * 3))
    )
    np.testing.assert_array_equal(LinkPrediction(soft=soft)(state_of(empty), 3), [0, 1, 2])
    assert len(LinkPrediction(soft=soft)(state_of(full), 0)) == 0
    with pytest.raises(ValueError, match="count is 1; there are 0 empty positions"):
        LinkPrediction(soft=soft)(state_of(full), 1)


def test_wrong_rules_and_arguments_are_refused(rng):
    with pytest.raises(ValueError, match="rule is 'CH1'"):
        LinkPrediction("CH1")
    W, out = random_csr(3, 4, 5, rng), np.zeros((3, 4))
    good = {"by_paths": True, "inner": np.array([0.0, 1, 1, 1, 1]), "outer": np.array([0.0, 1, 1, 1, 1]), "out": out}
    community_scores(W, 0, 3, **good)
    for change, message in (
        ({"inner": np.ones(4)}, r"inner must be float64 of shape \(5,\)"),
        ({"outer": np.ones(5)}, r"outer\[0\] is 1.0; it must be 0"),
        ({"outer": np.zeros(5, np.float32)}, "outer must be float64"),
        ({"out": np.zeros((2, 4))}, r"out has shape \(2, 4\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            community_scores(W, 0, 3, **good | change)
    with pytest.raises(ValueError, match="first and end are 1 and 4"):
        community_scores(W, 1, 4, **good)
