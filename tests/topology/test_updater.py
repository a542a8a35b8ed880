"""A method in a training run: signals, divergence, what is refused, wide layers, and state that is restored."""

import copy
import json
import signal
import subprocess
import sys

import numpy as np
import pytest

import nerva
from nerva._kernels.rewiring import flat_positions
from nerva.topology.drop import smallest
from nerva.topology.grow import uniformly

from .comparison import BATCH, RATE, SIZES, STEPS, fitted, make


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_an_update(data, number):
    """Weights, and what is kept of them, move together or not at all."""
    came = []

    def grow(layer, count):
        if layer.index == 1 and not came:
            came.append(count)
            signal.raise_signal(number)
        return uniformly(layer, count)

    def stop(number, frame):
        raise KeyboardInterrupt

    def take():
        X, y = data
        method = nerva.topology.Topology(nerva.When(5), smallest, grow)
        model.fit(X, y, epochs=1, batch_size=BATCH, topology=method, optimizer=nerva.Adam())

    model, former = make(), signal.signal(number, stop)
    try:
        before = [flat_positions(layer.weight) for layer in model.layers]
        with pytest.raises(KeyboardInterrupt):
            take()
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, former)
    assert came
    for layer, old in zip(model.layers, before, strict=True):
        assert not np.array_equal(flat_positions(layer.weight), old)  # the third as well
        for parameter in layer.parameters():
            assert all(state.shape == parameter.values.shape for state in parameter.state.values())
    take()


def test_a_diverged_training_is_left_alone(data):
    model, settings = make(), {"topology": nerva.RigL(every=7, end=1.0), "schedule": 1e30, "diverged": "warn"}
    with pytest.warns(RuntimeWarning, match="not finite"):
        history = model.fit(*data, epochs=2, batch_size=BATCH, rng=1, **settings)
    assert not [record for record in history.topology if record.step > 20]


@pytest.mark.parametrize(
    ("model", "topology", "error", "message"),
    [
        (make, "rigl", TypeError, "topology"),
        (make, nerva.RigL, TypeError, "topology"),
        (lambda: nerva.Sequential([nerva.SparseLinear(12, 5, density=0)]), nerva.RigL(), ValueError, "no weights"),
        (make, nerva.GMP(0.9, every=10), ValueError, "density"),
        (
            lambda: nerva.MLP(SIZES, dtype=np.float64),
            nerva.RigL(),
            ValueError,
            "no sparse layer: give it a density below 1",
        ),
    ],
)
def test_a_wrong_fit_is_refused(data, model, topology, error, message):
    model = model()
    before = model.layers[0].weight.copy()
    with pytest.raises(error, match=message):
        model.fit(*data, epochs=1, batch_size=BATCH, topology=topology)
    after = model.layers[0].weight
    np.testing.assert_array_equal(np.asarray(getattr(before, "values", before)), getattr(after, "values", after))


@pytest.mark.parametrize(
    ("topology", "taken", "steps"),
    [
        (nerva.RigL(every=10**6), "every=27 steps", [27, 54, 81]),
        (nerva.SET(every=3), "every=36 steps", [36, 72, 108]),
        (nerva.SNFS(every=5), "every=36 steps", [36, 72, 108]),
        (nerva.GMP(0.1, every=500), "every=27 steps", [27, 54, 81]),
    ],
)
def test_a_method_that_is_never_due_is_fitted_to_the_run(data, topology, taken, steps):
    model = make()
    with pytest.warns(RuntimeWarning, match=f"never due with every=.* in a run of 110 steps, 110 an epoch; {taken}"):
        history = model.fit(*data, epochs=1, batch_size=BATCH, topology=topology)
    assert sorted({record.step for record in history.topology}) == steps
    if isinstance(topology, nerva.GMP):
        assert sum(layer.nnz for layer in model.layers) == round(0.1 * model.dense_size)


def test_epochs_stay_epochs_where_there_are_some(data):
    X, y = data
    with pytest.warns(RuntimeWarning, match="every=9 epochs in a run of 12 steps, 3 an epoch; every=2 epochs is taken"):
        history = make().fit(X[:30], y[:30], epochs=4, batch_size=10, topology=nerva.SET(every=9))
    assert {record.step for record in history.topology} == {6}


def test_a_run_of_one_step_moves_no_weight(data):
    model = make()
    before = model.layers[0].weight.copy()
    with pytest.warns(RuntimeWarning, match="in a run of 1 steps, 1 an epoch; no weight moves"):
        history = model.fit(*data, epochs=1, batch_size=10**6, topology=nerva.RigL())
    assert history.topology == []
    np.testing.assert_array_equal(before.indices, model.layers[0].weight.indices)


WIDE = """
import json, resource, sys, time
import numpy as np
import nerva
from nerva._kernels.memory import empty_batch
from nerva.topology import TopologyUpdater

def status(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

n, nnz, steps = int(sys.argv[1]), int(sys.argv[2]), 4
method = {"rigl": nerva.RigL(every=2, end=1.0), "set": nerva.SET(every=2, unit="step")}[sys.argv[3]]
rng = np.random.default_rng(0)
layer = nerva.SparseLinear(n, n, density=nnz / n / n, rng=0, backend="native")
optimizer = nerva.Momentum()
X, DY = empty_batch(n, 32, np.float32), empty_batch(n, 32, np.float32)
X[:], DY[:] = rng.standard_normal(X.shape), rng.standard_normal(DY.shape)
layer.forward(X)
layer.backward(DY, input_gradient=False)
optimizer.step(layer.parameters(), 0.01)
before = status("VmRSS")
seconds = []
moves = TopologyUpdater(method, [layer], steps, steps, rng)
for step in range(steps):
    started = time.perf_counter()
    learn = moves.before(step)
    layer.forward(X)
    layer.backward(DY, input_gradient=False)
    if learn:
        optimizer.step(layer.parameters(), 0.01)
    moves.after(step, 0.01)
    seconds.append(time.perf_counter() - started)
print(json.dumps({"peak": status("VmHWM") - before, "nnz": layer.nnz, "seconds": seconds,
                  "grown": [record.grown for record in moves.records]}))
"""


def wide(n, nnz, method, folder):
    command = [sys.executable, "-W", "error", "-c", WIDE, str(n), str(nnz), method]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read as on Linux")
@pytest.mark.parametrize(("n", "nnz", "method"), [(20_000, 2_000_000, "rigl"), (1_000_000, 2_000_000, "set")])
def test_a_wide_layer_moves_in_the_memory_of_its_weights(n, nnz, method, tmp_path):
    """Dense, the gradient of the first would take 1.6 GB, the positions of the second 4 TB."""
    found = wide(n, nnz, method, tmp_path)
    print({**found, "MiB": found["peak"] / 2**20})
    assert found["nnz"] == nnz
    assert found["grown"][0] > 0
    assert found["peak"] < 150 * nnz + 2**25


# ---- state that is restored


def train(model, updater, optimizer, data, steps):
    """Take these steps of a training run with the samples in order."""
    loss, X, y = nerva.SoftmaxCrossEntropy(), *data
    for step in steps:
        rows = slice(step * BATCH, (step + 1) * BATCH)
        learn = updater.before(step)
        result = loss(model.forward(np.ascontiguousarray(X[rows].T)), y[rows])
        model.backward(result.gradient)
        if learn:
            optimizer.step(model.parameters(), RATE)
        updater.after(step, RATE)


def plain(state):
    """Whether a state is made of what any file format can hold."""
    if isinstance(state, dict):
        return all(isinstance(key, str) and plain(value) for key, value in state.items())
    if isinstance(state, (list, tuple)):
        return all(map(plain, state))
    return isinstance(state, (np.ndarray, int, float, str))


@pytest.mark.parametrize("at", [31, 44, 100])
@pytest.mark.parametrize(
    "method",
    [
        nerva.RigL(every=8, accumulate=3, end=1.0),
        nerva.RigL(every=8, end=1.0, regrow=True, init="he"),
        nerva.SRigL(0.5, every=8, end=1.0, salient=0.5),
        nerva.DeepR(1e-2, 1e-5, every=8),
        nerva.TopKAST(0.5, every=8, end=1.0),
        nerva.SNFS(every=8, unit="step"),
        nerva.GMP(0.1, every=8),
        nerva.GraNet(0.1, every=8, accumulate=2),
    ],
    ids=repr,
)
def test_a_training_run_goes_on_from_its_state(data, method, at):
    """In an updater made anew for a copy of the network; the last of the steps is after the last update of some."""
    model, optimizer, rng = make(), nerva.Momentum(), np.random.default_rng(3)
    updater = nerva.topology.TopologyUpdater(method, model.layers, STEPS, STEPS, rng)
    train(model, updater, optimizer, data, range(at))
    state = copy.deepcopy(updater.state())
    assert plain(state)
    other, its_optimizer, drawn = copy.deepcopy((model, optimizer, rng.bit_generator.state))
    train(model, updater, optimizer, data, range(at, STEPS))
    updater.finish()

    its_rng = np.random.default_rng(99)
    again = nerva.topology.TopologyUpdater(method, other.layers, STEPS, STEPS, its_rng)
    records = again.records
    again.restore(state)
    its_rng.bit_generator.state = drawn
    train(other, again, its_optimizer, data, range(at, STEPS))
    again.finish()
    assert again.records is records
    assert records == updater.records
    assert len(records) > len(state["records"]) or at == 100
    for layer, its in zip(model.layers, other.layers, strict=True):
        for name in ("indptr", "indices", "values"):
            np.testing.assert_array_equal(getattr(layer.weight, name), getattr(its.weight, name))
        np.testing.assert_array_equal(layer.parameters()[0].state["momentum"], its.parameters()[0].state["momentum"])


def test_a_state_is_a_copy(data):
    model, optimizer = make(), nerva.Momentum()
    updater = nerva.topology.TopologyUpdater(
        nerva.SRigL(every=8, end=1.0), model.layers, STEPS, STEPS, np.random.default_rng(3)
    )
    train(model, updater, optimizer, data, range(12))
    state = updater.state()
    before = copy.deepcopy(state)
    train(model, updater, optimizer, data, range(12, 60))
    updater.restore(before)
    train(model, updater, optimizer, data, range(60, 70))
    assert state["records"] == before["records"]
    for one, other in zip(state["layers"], before["layers"], strict=True):
        np.testing.assert_array_equal(one["explored"], other["explored"])
        np.testing.assert_array_equal(one["extra"]["active"], other["extra"]["active"])


def test_a_state_of_another_network_is_refused(data):
    def updater(model, method):
        return nerva.topology.TopologyUpdater(method, model.layers, STEPS, STEPS, np.random.default_rng(3))

    state = updater(make(), nerva.DeepR()).state()
    with pytest.raises(ValueError, match=r"sparse layers \[0, 1, 2\]; those of the network are \[0, 1\]"):
        updater(nerva.MLP(SIZES[:3], density=[0.4] * 2, dtype=np.float64), nerva.DeepR()).restore(state)
    fewer = updater(make(0.3), nerva.DeepR())
    with pytest.raises(ValueError, match=r"per_weight\['sign'\] of layer 0 .* restore these first"):
        fewer.restore(state)
    assert len(fewer.layers[0].per_weight["sign"]) == fewer.layers[0].weight.nnz


def test_a_pruned_network_may_train_on(data):
    """Whose density is, by rounding, just below the one it was pruned to."""
    method = nerva.GMP(0.11, every=10)
    model, _ = fitted(method, data)
    positions = sum(layer.in_features * layer.out_features for layer in model.layers)
    assert model.nnz < 0.11 * positions
    model.fit(*data, epochs=1, batch_size=BATCH, topology=method)
    assert model.nnz == int(0.11 * positions + 0.5)


def test_gradients_of_an_update_that_moves_nothing_are_discarded(data):
    model, optimizer = make(), nerva.Momentum()
    updater = nerva.topology.TopologyUpdater(
        nerva.RigL(0.0, every=5, accumulate=3), model.layers, STEPS, STEPS, np.random.default_rng(3)
    )
    for step in range(12):
        train(model, updater, optimizer, data, [step])
        kept = {0: 0, 1: 0, 2: 0, 3: 1, 4: 2}[step % 5]
        assert [len(layer.state()["factors"]) for layer in updater.layers] == [kept] * 3
