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

from .comparison import BATCH, RATE, SIZES, STEPS, fitted, make, run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_an_update(data, number):
    """Weights, and what is kept of them, move together or not at all."""
    came = []

    def grow(site, count):
        if site.index == 1 and not came:
            came.append(count)
            signal.raise_signal(number)
        return uniformly(site, count)

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
    model = make()
    with pytest.warns(RuntimeWarning, match="not finite"):
        history = model.fit(
            *data, epochs=2, batch_size=BATCH, topology=nerva.RigL(every=7, end=1.0), schedule=1e30, rng=1
        )
    assert not [record for record in history.topology if record.step > 20]


@pytest.mark.parametrize(
    ("model", "topology", "error", "message"),
    [
        (make, "rigl", TypeError, "topology"),
        (make, nerva.RigL, TypeError, "topology"),
        (make, nerva.RigL(every=10**6), ValueError, "never due"),
        (make, nerva.GMP(0.9, every=10), ValueError, "density"),
        (lambda: nerva.MLP(SIZES, dtype=np.float64), nerva.RigL(), ValueError, "no sparse layer"),
    ],
)
def test_a_wrong_fit_is_refused(data, model, topology, error, message):
    model = model()
    before = model.layers[0].weight.copy()
    with pytest.raises(error, match=message):
        model.fit(*data, epochs=1, batch_size=BATCH, topology=topology)
    after = model.layers[0].weight
    np.testing.assert_array_equal(np.asarray(getattr(before, "values", before)), getattr(after, "values", after))


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
layer.backward(DY, input_gradient=False, step=optimizer.at(0.01))
layer.weight_gradient
before = status("VmRSS")
seconds = []
moves = TopologyUpdater(method, [layer], steps, steps, rng)
for step in range(steps):
    started = time.perf_counter()
    learn = moves.before(step)
    layer.forward(X)
    layer.backward(DY, input_gradient=False, step=optimizer.at(0.01) if learn else None)
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
