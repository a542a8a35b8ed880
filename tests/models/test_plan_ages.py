"""Adam on networks whose weights move while they train, in every way a step is computed, against NumPy in float64."""

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva._kernels import mkl
from nerva._kernels.rewiring import flat_positions

from ..compiled_reference import assert_same, counted, layer_by_layer
from ..topology.masked import Masked

SIZES = [24, 30, 20, 6]
STEPS, RATE = 9, 0.01
REWIRED = {2: 1, 3: 1, 6: 2}  # before which steps, and how many times


def make(backend="native", dtype=np.float32, **settings):
    return nerva.MLP(SIZES, density=[0.3, 0.4, 0.6], seed=1, dtype=dtype, backend=backend, **settings)


def pixels(n):
    return np.random.default_rng(4).integers(0, 256, (n, SIZES[0])).astype(np.uint8)


def plain(n):
    return (pixels(n) - 100.0) / 128


def as_bytes(n):
    return nerva.datasets.Standardized(pixels(n), 100 / 255, 128 / 255)


# The network, its samples, how many, settings of the optimizer, and whether steps are compiled.
WAYS = {
    "one group of slices": (make, plain, 60, {}, True),
    "several groups": (make, plain, 300, {}, True),
    "one sample": (make, plain, 1, {}, True),
    "clipped": (make, plain, 60, {"clip_norm": 1e9}, True),
    "bytes": (make, as_bytes, 120, {}, True),
    "sparse samples": (make, lambda n: sparse.csr_array(plain(n)), 90, {}, True),
    "layer by layer": (lambda **settings: layer_by_layer(make(**settings)), plain, 60, {}, False),
    "MKL": (lambda **settings: make("mkl", **settings), plain, 60, {}, False),
    "dense products": (lambda **settings: make("dense", **settings), plain, 60, {}, False),
}
KINDS = {"adam": (nerva.Adam, 0.01), "adamw": (nerva.AdamW, 0.1)}


def rewire(model, rng):
    """Move some weights of each layer; return the flat positions dropped and grown, of which some are both."""
    moved = []
    for layer in model.layers:
        old = flat_positions(layer.weight)
        dropped = np.sort(rng.choice(len(old), len(old) // 3, replace=False))
        empty = np.setdiff1d(np.arange(layer.in_features * layer.out_features), np.delete(old, dropped))
        grown = np.sort(rng.choice(empty, len(dropped) + rng.integers(-2, 3), replace=False))
        layer.rewire(dropped, grown, 0.05)
        moved.append((old[dropped], grown))
    return moved


class Reference:
    """The network as dense arrays under masks, whose entries count their own steps."""

    def __init__(self, model):
        masks = [np.zeros(layer.weight.shape, bool) for layer in model.layers]
        for layer, mask in zip(model.layers, masks, strict=True):
            mask.reshape(-1)[flat_positions(layer.weight)] = True
        self.net = Masked(model_weights(model), masks, [layer.bias for layer in model.layers])
        self.t = [np.zeros(mask.shape) for mask in masks]
        self.bias_t = 0

    def read(self, model):
        """Take weights and moments of the model, but no ages, so that errors of rounding do not add up."""
        self.net.W, self.net.b = model_weights(model), [layer.bias.astype(np.float64) for layer in model.layers]
        self.moments = []
        for layer, mask in zip(model.layers, self.net.M, strict=True):
            weight, bias = layer.parameters()
            of_layer = []
            for name in ("momentum", "square"):
                dense = np.zeros(mask.shape)
                dense[mask] = weight.state.get(name, 0)
                of_layer.append((dense, np.zeros(len(bias.values)) + bias.state.get(name, 0)))
            self.moments.append(of_layer)

    def rewire(self, moved):
        for mask, t, (dropped, grown) in zip(self.net.M, self.t, moved, strict=True):
            mask.reshape(-1)[dropped] = False
            mask.reshape(-1)[grown], t.reshape(-1)[grown] = True, 0

    def step(self, X, y, how):
        """The values of all weights and biases after a step."""
        dW, db = self.net.gradients(X.T, y)
        self.bias_t += 1
        result = []
        for i, ((m, mb), (s, sb)) in enumerate(self.moments):
            self.t[i] += 1
            mask = self.net.M[i]
            result.append(adam(how, self.net.W[i][mask], dW[i][mask], m[mask], s[mask], self.t[i][mask]))
            result.append(adam(how, self.net.b[i], db[i], mb, sb, self.bias_t))
        return result


def model_weights(model):
    return [layer.dense_weight().astype(np.float64) for layer in model.layers]


def adam(how, w, g, m, s, t):
    decoupled = isinstance(how, nerva.AdamW)
    d = g if decoupled else g + how.weight_decay * w
    w = w * (1 - RATE * how.weight_decay) if decoupled else w
    m, s = how.beta1 * m + (1 - how.beta1) * d, how.beta2 * s + (1 - how.beta2) * d**2
    return w - RATE * m / (1 - how.beta1**t) / (np.sqrt(s / (1 - how.beta2**t)) + how.epsilon)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_corrects_each_weight_by_its_age(instruction_set, dtype, way, kind):
    build, read, n, settings, compiled = WAYS[way]
    optimizer, decay = KINDS[kind]
    how, rng = optimizer(epsilon=1e-3, weight_decay=decay, **settings), np.random.default_rng(7)
    X, y = read(n), rng.integers(0, SIZES[-1], n)
    model = build(dtype=dtype)
    reference, tolerance = Reference(model), 2e-5 if dtype == np.float32 else 1e-10
    with counted() as steps:
        for step in range(STEPS):
            for _ in range(REWIRED.get(step, 0)):
                reference.rewire(rewire(model, rng))
            reference.read(model)
            model.train_step(X, y, how, RATE)
            wanted = reference.step(plain(n), y, how)
            for i, (parameter, right) in enumerate(zip(model.parameters(), wanted, strict=True)):
                np.testing.assert_allclose(parameter.values, right, rtol=0, atol=tolerance, err_msg=f"{step}, {i}")
    assert steps.train == (STEPS if compiled else 0)
    assert all(len(set(layer.parameters()[0].state["born"].tolist())) == 4 for layer in model.layers)


def assert_first_steps(model, n):
    """Of new weights, behind two hundred steps; they were 3.2 times as long as the rate with the age of their layer."""
    how, y, rng = nerva.Adam(epsilon=1e-18), np.arange(n) % SIZES[-1], np.random.default_rng(7)
    for _ in range(200):
        model.train_step(plain(n), y, how, 1e-3)
    for layer in model.layers:
        empty = np.setdiff1d(np.arange(layer.in_features * layer.out_features), flat_positions(layer.weight))
        layer.rewire(np.arange(10), np.sort(rng.choice(empty, 10, replace=False)), 0.0)
    model.train_step(plain(n), y, how, 1e-3)
    for layer in model.layers:
        parameter = layer.parameters()[0]
        new = parameter.state["born"] == 200
        assert new.sum() == 10
        np.testing.assert_allclose(np.abs(parameter.values[new]), 1e-3, rtol=1e-4)


@pytest.mark.parametrize("n", [60, 300])
def test_the_bits_do_not_depend_on_threads(instruction_set, dtype, n):
    models, y = [], np.arange(n) % SIZES[-1]
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        model, how, rng = make(dtype=dtype), nerva.Adam(), np.random.default_rng(7)
        for step in range(STEPS):
            if step in REWIRED:
                rewire(model, rng)
            model.train_step(plain(n), y, how, RATE)
        models.append(model)
    for model in models[1:]:
        assert_same(model, models[0])


@pytest.mark.parametrize("n", [60, 300])
def test_the_first_step_of_a_new_weight_has_the_length_of_the_rate(instruction_set, dtype, n):
    assert_first_steps(make(dtype=dtype, activation="tanh"), n)


@pytest.mark.parametrize("method", [lambda: nerva.GMP(0.15, every=2), lambda: nerva.RigL(0.0, every=2, end=1.0)])
def test_networks_in_which_nothing_grows_keep_no_ages(method):
    model = make()
    model.fit(plain(300), np.arange(300) % 6, epochs=4, topology=method(), optimizer=nerva.Adam(), schedule=RATE)
    assert all(list(parameter.state) == ["momentum", "square"] for parameter in model.parameters())


def test_an_update_that_fails_leaves_the_ages_of_before():
    def grow(layer, count):
        if fails and layer.index == 2:
            raise RuntimeError("no room")
        return nerva.topology.grow.uniformly(layer, count)

    method = nerva.Topology(nerva.When(3, end=1.0), nerva.topology.drop.smallest, grow)
    model, how, fails = make(), nerva.Adam(), False
    updater = nerva.topology.TopologyUpdater(method, model.layers, 20, 20, np.random.default_rng(0))
    y = np.arange(60) % SIZES[-1]
    for step in range(8):
        updater.before(step)
        model.train_step(plain(60), y, how, RATE)
    before, fails = [{name: v.tobytes() for name, v in p.state.items()} for p in model.parameters()], True
    with pytest.raises(RuntimeError, match="no room"):
        updater.before(9)
    assert [{name: v.tobytes() for name, v in p.state.items()} for p in model.parameters()] == before
    assert "born" in before[0]
    model.train_step(plain(60), y, how, RATE)
