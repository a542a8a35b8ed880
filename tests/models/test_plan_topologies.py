"""Dynamic sparse training of compiled networks: the same weights move to the same places as layer by layer."""

import numpy as np
import pytest

import nerva
from nerva.topology import drop, grow

from ..compiled_reference import assert_close, assert_same_history, counted, layer_by_layer, network, pair, samples

STEPS = 16  # four epochs of three batches of 100 and one of 30

# Of each method, how many of the steps run layer by layer, to have their gradients read; None where that is the
# method's own affair.
METHODS = {
    "SET": (lambda: nerva.SET(every=3, unit="step"), 0),
    "SET after epochs": (lambda: nerva.SET(), 0),
    "RigL": (lambda: nerva.RigL(every=5, end=1.0), 3),
    "RigL, accumulated": (lambda: nerva.RigL(every=5, end=1.0, accumulate=3), 9),
    "RigL, regrowing": (lambda: nerva.RigL(every=2, end=0.6, regrow=True, init="xavier"), 4),
    "GMP": (lambda: nerva.GMP(0.15, every=2), 0),
    "GMP by layer": (lambda: nerva.GMP(0.2, every=3, scope="layer"), 0),
    "GraNet": (lambda: nerva.GraNet(0.2, every=4, end=1.0), None),
    "GraNet, accumulated": (lambda: nerva.GraNet(0.2, every=5, end=1.0, accumulate=2), None),
    "SRigL": (lambda: nerva.SRigL(every=5, end=1.0), None),
    "SNFS": (lambda: nerva.SNFS(every=3, unit="step"), 0),
    "CHT": (lambda: nerva.CHT(every=3, unit="step"), 0),
    "CHTs": (lambda: nerva.CHTs(every=3, unit="step"), 0),
    "DeepR": (lambda: nerva.DeepR(l1=1e-2, temperature=1e-6), 0),
    "TopKAST": (lambda: nerva.TopKAST(0.5, every=4), 0),
    "Threshold": (lambda: nerva.Threshold(0.02, every=3), 0),
    "Magnitude": (lambda: nerva.Magnitude(every=3), 0),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method(name):
    make, by_layer = METHODS[name]
    models, histories, X, y = pair(), [], *samples()
    with counted() as steps:
        for model in models:
            settings = {"optimizer": nerva.Nesterov(0.8), "schedule": 0.05, "validation": (X, y), "rng": 3}
            histories.append(model.fit(X, y, epochs=4, topology=make(), **settings))
    assert_same_history(*histories)
    assert_close(*models)
    assert sum(record.grown + record.dropped for record in histories[0].topology) > 0
    assert 0 < steps.train <= STEPS
    if by_layer is not None:
        assert steps.train == STEPS - by_layer


def test_a_network_of_which_nothing_is_left_goes_on():
    """A step of a compiled network whose layers lose more and more weights."""
    models = pair(lambda: network(density=[0.02, 0.02, 1.0]))
    histories = [
        model.fit(*samples(), epochs=4, topology=nerva.GMP(0.0, every=1), schedule=0.05, rng=0) for model in models
    ]
    assert_same_history(*histories)
    assert_close(*models)


def test_a_dense_network_that_is_pruned_as_it_trains():
    models, histories, method = pair(lambda: network(density=1.0, sparse=True)), [], nerva.GMP(0.1, every=1, end=0.9)
    for model in models:
        histories.append(model.fit(*samples(), epochs=4, topology=method, schedule=0.05, rng=0))
    assert_same_history(*histories)
    assert_close(*models)
    assert models[0].density < 0.12


def test_the_state_of_the_optimizer_moves_with_the_weights():
    models, seen = pair(), []
    for model in models:
        optimizer = nerva.Adam(epsilon=1e-4)
        model.fit(*samples(), epochs=2, optimizer=optimizer, topology=nerva.SET(every=2, unit="step"), rng=0)
        seen.append([parameter.steps for parameter in model.parameters()])
    assert seen[0] == seen[1]
    assert_close(*models)


def test_a_method_of_ones_own_sees_every_step():
    """Its `each` is called after every batch, compiled or not, with the weights after the step."""

    class Watch(nerva.Topology):
        def __init__(self):
            super().__init__(nerva.When(every=4, end=1.0), drop.smallest, grow.uniformly)
            self.sums = []

        def each(self, layers, rate):
            self.sums.append([float(layer.values.sum()) for layer in layers])
            for layer in layers:
                layer.values[:] *= 0.99  # in place: the next step sees it

    models, sums = pair(), []
    for model in models:
        method = Watch()
        model.fit(*samples(), epochs=4, topology=method, schedule=0.05, rng=0)
        sums.append(method.sums)
    assert len(sums[0]) == STEPS
    np.testing.assert_allclose(*sums, rtol=1e-10, atol=1e-12)
    assert_close(*models)


def test_runs_that_are_saved_and_restored_between_compiled_epochs(tmp_path):
    """Weights that are loaded into a network are those of its next step."""
    one, other, (X, y) = network(), layer_by_layer(network(seed=2)), samples()
    one.fit(X, y, epochs=1)
    nerva.save_weights(one, tmp_path / "weights.npz")
    nerva.load_weights(tmp_path / "weights.npz", other)
    fresh = network(seed=3)
    fresh.fit(X, y, epochs=1)
    nerva.load_weights(tmp_path / "weights.npz", fresh)
    losses = [model.train_step(X, y, nerva.SGD(), 0.1) for model in (fresh, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    for mine, right in zip(fresh.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(mine.values, right.values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_growth_by_gradients_at_any_moment(moment):
    """The batch whose gradients are read runs layer by layer."""
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((300, 40), dtype=np.float32), rng.integers(5, size=300)
    topology = nerva.topology.Topology(nerva.When(every=2), drop.smallest, grow.by_gradient, moment=moment)
    model = nerva.MLP([40, 60, 5], density=0.2, seed=1)
    history = model.fit(X, y, epochs=2, batch_size=100, topology=topology)
    assert sum(record.grown for record in history.topology) > 0


def test_a_compiled_step_leaves_no_older_factors():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((100, 40), dtype=np.float32), rng.integers(5, size=100)
    model = nerva.MLP([40, 60, 5], density=0.2, seed=1)
    model.backward(model.forward(np.ascontiguousarray(X.T))[:] * 0)
    model.train_step(X, y, nerva.SGD(), 0.1)
    with pytest.raises(RuntimeError, match="factors"):
        _ = model.layers[0].dense_gradient_factors
