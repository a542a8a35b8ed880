"""What a method is: what it refuses, what it leaves alone, and that the seed alone decides."""

import numpy as np
import pytest

import nerva
from nerva._kernels.rewiring import flat_positions

from .comparison import METHODS, fitted


@pytest.mark.parametrize("topology", METHODS, ids=repr)
def test_the_seed_decides_at_any_number_of_threads(data, topology):
    (first, history), (second, again) = fitted(topology, data), fitted(topology, data, threads=2)
    assert history.topology == again.topology
    assert history.topology
    for a, b in zip(first.layers, second.layers, strict=True):
        for name in ("indptr", "indices", "values"):
            np.testing.assert_array_equal(getattr(a.weight, name), getattr(b.weight, name))


def test_an_update_keeps_the_steps_of_all_others(data):
    """An update that moves nothing changes no bit, where it takes no step's place."""
    still, _ = fitted(nerva.SET(0.0), data)
    plain, _ = fitted(None, data)
    for a, b in zip(still.layers, plain.layers, strict=True):
        np.testing.assert_array_equal(a.weight.values, b.weight.values)


@pytest.mark.parametrize(
    ("make_it", "error", "message"),
    [
        (lambda: nerva.When(every=0), ValueError, "every"),
        (lambda: nerva.When(every=1.5), TypeError, "every"),
        (lambda: nerva.When(unit="day"), ValueError, "unit"),
        (lambda: nerva.When(decay="fast"), ValueError, "decay"),
        (lambda: nerva.When(fraction=1.5), ValueError, "fraction"),
        (lambda: nerva.When(fraction=float("nan")), ValueError, "fraction"),
        (lambda: nerva.When(fraction="0.3"), TypeError, "fraction"),
        (lambda: nerva.When(start=0.5, end=0.5), ValueError, "start"),
        (lambda: nerva.Threshold(-1), ValueError, "threshold"),
        (lambda: nerva.Threshold(float("nan")), ValueError, "threshold"),
        (lambda: nerva.GMP(1.5), ValueError, "density is 1.5"),
        (lambda: nerva.GMP(0.1, scope="all"), ValueError, "scope"),
        (lambda: nerva.DeepR(-1), ValueError, "l1"),
        (lambda: nerva.DeepR(0, float("inf")), ValueError, "temperature"),
        (lambda: nerva.RigL(accumulate=0), ValueError, "accumulate"),
        (lambda: nerva.SET(init="none"), ValueError, "init"),
        (lambda: nerva.Topology(None, None, None), TypeError, "when"),
        (lambda: nerva.Topology(nerva.When(), None, None), TypeError, "drop"),
        (lambda: nerva.Topology(nerva.When(), len, len, moment="now"), ValueError, "moment"),
    ],
)
def test_a_wrong_method_is_refused(make_it, error, message):
    with pytest.raises(error, match=message):
        make_it()


@pytest.mark.parametrize("wrong", [lambda layer, n: np.arange(n + 1), lambda layer, n: np.arange(n) * 0.5])
@pytest.mark.parametrize("part", ["drop", "grow"])
def test_a_score_that_gives_the_wrong_number_is_refused(data, part, wrong):
    drop = {"drop": wrong, "grow": nerva.topology.drop.smallest}[part]
    grow = {"drop": nerva.topology.grow.uniformly, "grow": wrong}[part]
    with pytest.raises(ValueError, match=part):
        fitted(nerva.Topology(nerva.When(every=10), drop, grow), data)


def test_a_score_that_grows_a_kept_weight_is_refused(data):
    def kept(layer, count):
        return flat_positions(layer.weight)[-count:]

    with pytest.raises(ValueError, match="grown"):
        fitted(nerva.Topology(nerva.When(every=10), lambda layer, n: np.arange(n), kept), data)


@pytest.mark.parametrize("topology", METHODS, ids=repr)
def test_a_layer_without_weights_stays_so(data, topology):
    """Nothing leads to its positions: no method has scores of them, and none may wait for one."""
    X, y = data
    model = nerva.MLP([X.shape[1], 16, 14, 5], density=[0.4, 0.0, 0.4], seed=3)
    history = model.fit(X, y, epochs=2, topology=topology, optimizer=nerva.Momentum(), rng=1, verbose=False)
    own = [record for record in history.topology if record.layer == 1]
    if not isinstance(topology, nerva.SNFS):  # which shares out what the others have dropped
        assert model.layers[1].nnz == 0
        assert all((record.dropped, record.grown) == (0, 0) for record in own)
    assert all(np.isfinite(layer.weight.values).all() for layer in model.layers)
