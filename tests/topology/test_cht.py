"""Cannistraci-Hebb training: the decisions of a dense, masked reference, draws by strength, and no gradient read."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import nerva
from nerva._kernels.csr import CSR
from nerva.topology import LayerState
from nerva.topology.cht import relative_strength
from nerva.topology.link_prediction import score_blocks

from . import masked as dense
from .comparison import RATE, compare, make, run
from .link_reference import RULES


def highest(net, i, count, rule):
    """The empty positions of the highest scores, which test_link_prediction checks, ties to the lower position."""
    M = net.M[i]
    W = CSR(M.shape, [0, *M.sum(1).cumsum()], np.nonzero(M)[1], np.ones(M.sum()))
    flat = np.concatenate([scores.copy() for _, scores in score_blocks(W, rule)]).reshape(-1)
    assert np.count_nonzero(flat) >= count
    return np.sort(np.lexsort((np.arange(flat.size), -flat))[:count])


@pytest.mark.parametrize("rule", RULES)
def test_cht_is_that_of_a_mask(data, rule):
    regrown = []

    def advance(net, X, y, step, rng):
        if step and step % 2 == 0:
            for i in range(3):
                count = dense.rounded(0.3 * net.M[i].sum())
                out = dense.magnitude_drop(net, i, count)
                net.swap(i, out, [])
                new = highest(net, i, count, rule)
                regrown.append(len(np.intersect1d(out, new)))
                net.swap(i, [], new)
        net.step(X, y, RATE)

    model, updates = compare(nerva.CHT(0.3, rule=rule, every=2, unit="step"), data, advance)
    assert len(updates) >= 50
    assert model.nnz == make().nnz
    assert sum(regrown) > 0  # what was dropped may grow again


@pytest.mark.parametrize("rule", RULES)
def test_chts_of_a_large_exponent_drops_the_weakest(data, rule):
    """Then the draw of what stays is certain; growth is checked by its count."""
    method = nerva.CHTs(rule=rule, magnitude=0.5, sharpness=(1e6, 1e6), every=2, unit="step")
    model = make()
    before = None
    for step, moves in run(model, method, data, steps=20):
        if before is not None and any(record.step == step for record in moves.records):
            for layer, (keys, strength) in zip(model.layers, before, strict=True):
                stayed = np.isin(keys, flat(layer.weight))
                count = dense.rounded(0.3 * len(keys))
                weakest = np.argsort(strength, kind="stable")[:count]
                back = stayed[weakest]
                assert stayed.sum() == len(keys) - count + back.sum()  # of the strongest none is gone
        states = [LayerState(i, layer, np.random.default_rng(0)) for i, layer in enumerate(model.layers)]
        before = [(flat(state.weight), relative_strength(state, 0.5)) for state in states]
    assert model.nnz == make().nnz


def flat(W):
    return np.repeat(np.arange(W.rows), np.diff(W.indptr)) * W.columns + W.indices


@given(seed=st.integers(0, 2**32), magnitude=st.floats(0, 1))
def test_strength_is_that_of_a_dense_matrix(seed, magnitude):
    rng = np.random.default_rng(seed)
    K, D = rng.integers(1, 8, 2)
    linked = rng.random((K, D)) < 0.5
    W = np.where(linked, rng.standard_normal((K, D)) * (rng.random((K, D)) < 0.8), 0)
    A, (rows, columns) = np.abs(W), np.nonzero(linked)
    with np.errstate(invalid="ignore"):
        by_row = A / (magnitude + (1 - magnitude) * A.sum(1, keepdims=True))
        by_column = A / (magnitude + (1 - magnitude) * A.sum(0))
    wanted = np.nan_to_num(by_row + by_column)[linked]
    weight = CSR((int(K), int(D)), [0, *linked.sum(1).cumsum()], columns, W[rows, columns])
    state = LayerState(0, nerva.SparseLinear(int(D), int(K), weight=weight), rng)
    np.testing.assert_allclose(relative_strength(state, magnitude), wanted, rtol=1e-12)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 3.0])
def test_what_stays_is_drawn_without_replacement(exponent):
    values = np.array([0.5, 1.0, 2.0, 1.5])
    layer = nerva.SparseLinear(4, 1, weight=CSR((1, 4), [0, 4], range(4), values))
    state, method = LayerState(0, layer, np.random.default_rng(1)), nerva.CHTs()
    state.extra["exponent"] = exponent
    p = values**exponent
    wanted = np.zeros(4)  # the probability that each is the one of four that is not drawn
    for order in permutations(range(4)):
        left, chance = p.sum(), 1.0
        for i in order[:3]:
            chance *= p[i] / left
            left -= p[i]
        wanted[order[3]] += chance
    hits = np.bincount([method.drop(state, 1)[0] for _ in range(3000)], minlength=4)
    assert stats.chisquare(hits, 3000 * wanted).pvalue > 1e-4
    layer.weight.values[1] = 0.0  # which nothing but chance keeps, and an exponent of 0
    hits = np.bincount([method.drop(state, 1)[0] for _ in range(300)], minlength=4)
    assert (hits[1] == 300) == (exponent > 0)


@pytest.mark.parametrize("sharpness", [(1.0, 9.0), (4.0, 0.0)])
def test_the_exponent_goes_from_the_first_update_to_the_last(data, sharpness):
    method, seen = nerva.CHTs(sharpness=sharpness, every=10, unit="step", end=0.8), {}
    for _, moves in run(make(), method, data, steps=100):
        if moves.records:
            seen[moves.records[-1].step] = [layer.extra["exponent"] for layer in moves.layers]
    assert list(seen) == list(range(10, 80, 10))
    np.testing.assert_allclose(list(seen.values()), np.repeat(np.linspace(*sharpness, 7)[:, None], 3, 1))


@pytest.mark.parametrize("make_method", [nerva.CHT, nerva.CHTs])
def test_other_gradients_move_the_same_weights(make_method, rng):
    """Gradient-free: what moves depends on the weights alone, and no factors of a gradient are kept for it."""
    X = rng.random((90, 12)).astype(np.float32)
    patterns = []
    for y in (np.arange(90) % 5, np.arange(90)[::-1] % 5):
        model = nerva.MLP([12, 16, 5], density=[0.4, 0.4], seed=3)
        topology = make_method(every=1, unit="step", end=1.0)
        model.fit(X, y, epochs=1, batch_size=10, topology=topology, schedule=1e-12, optimizer=nerva.SGD(), rng=0)
        patterns.append(np.concatenate([flat(layer.weight) for layer in model.layers]))
    np.testing.assert_array_equal(*patterns)


@pytest.mark.parametrize("make_method", [nerva.CHT, nerva.CHTs])
def test_layers_without_weights_or_with_one_column(make_method, rng):
    X, y = rng.random((60, 8)).astype(np.float32), np.arange(60) % 3
    for first in (np.zeros((6, 8)), np.eye(6, 8)):  # in the second, no two weights share a row or a column
        layers = [nerva.SparseLinear(8, 6, support=first, rng=0), nerva.SparseLinear(6, 3, support=np.eye(3, 6), rng=0)]
        model = nerva.Sequential(layers)
        before = [layer.nnz for layer in model.layers]
        model.fit(X, y, epochs=3, batch_size=10, topology=make_method(0.5))
        assert [layer.nnz for layer in model.layers] == before
    one = nerva.Sequential(
        [nerva.SparseLinear(1, 4, support=np.eye(4)[:, :1], rng=0), nerva.SparseLinear(4, 3, rng=0, density=0.5)]
    )
    history = one.fit(X[:, :1], y, epochs=3, batch_size=10, topology=make_method(0.5))
    assert {(record.layer, record.nnz) for record in history.topology} == {(0, 1), (1, 6)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"magnitude": 2}, "magnitude is 2"),
        ({"sharpness": 3.0}, "sharpness is 3.0; it must be a pair"),
        ({"sharpness": (1.0, -1.0)}, r"sharpness\[1\] is -1.0"),
        ({"rule": "CH3"}, "rule is 'CH3'"),
        ({"fraction": -0.1}, "fraction is -0.1"),
        ({"regrow": True}, "unexpected keyword argument 'regrow'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        nerva.CHTs(**settings)
