"""Pruning at initialisation: the positions a dense network in float64 would choose, block by block."""

import json
import subprocess
import sys

import numpy as np
import pytest

import nerva
from nerva.models import pruning_criteria
from nerva.models.pruning import CRITERIA, pruned
from nerva.models.pruning_criteria import DenseNetwork, grasp

SIZES = (9, 12, 11, 4)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(pruning_criteria, "BLOCK", 30)


def whole(activation="relu", seed=0, sizes=SIZES):
    """The dense weights, layer by layer."""
    dense = DenseNetwork(sizes, activation, "xavier", np.dtype(np.float64), seed)
    return [np.concatenate([W for _, W in dense.blocks(layer)]) for layer in range(len(sizes) - 1)]


def gradients(weights, X, y, slope):
    """Of the mean loss, by all weights; X (features, batch)."""
    ys, Y = [X], X
    for i, W in enumerate(weights):
        Z = W @ Y
        Y = np.where(Z > 0, Z, slope * Z) if i < len(weights) - 1 else Z
        ys.append(Y)
    P = np.exp(Y - Y.max(0))
    P /= P.sum(0)
    P[y, np.arange(len(y))] -= 1
    DZ, result = P / len(y), []
    for i in reversed(range(len(weights))):
        if i < len(weights) - 1:
            DZ = DZ * np.where(ys[i + 1] > 0, 1, slope)
        result.insert(0, DZ @ ys[i].T)
        DZ = weights[i].T @ DZ
    return result


def hessian_gradient(weights, X, y, slope):
    """H g by central differences of the gradient along g."""
    g = gradients(weights, X, y, slope)
    h = 1e-5
    up = gradients([W + h * G for W, G in zip(weights, g, strict=True)], X, y, slope)
    down = gradients([W - h * G for W, G in zip(weights, g, strict=True)], X, y, slope)
    return [(a - b) / (2 * h) for a, b in zip(up, down, strict=True)]


@pytest.mark.parametrize("density", [0.01, 0.2, 1.0])
@pytest.mark.parametrize(("activation", "slope"), [("relu", 0.0), ("leaky_relu", 0.01), ("identity", 1.0)])
@pytest.mark.parametrize("criterion", ["snip", "grasp"])
def test_the_weights_are_the_best_of_the_dense_network(rng, criterion, activation, slope, density):
    X, y = rng.standard_normal((20, SIZES[0])), rng.integers(SIZES[-1], size=20)
    weights = whole(activation, seed=3)
    if criterion == "snip":
        scores = [np.abs(W * G) for W, G in zip(weights, gradients(weights, X.T, y, slope), strict=True)]
    else:
        scores = [W * H for W, H in zip(weights, hessian_gradient(weights, X.T, y, slope), strict=True)]
    flat = np.concatenate([score.reshape(-1) for score in scores])
    count = int(np.floor(density * flat.size + 0.5))
    chosen = np.zeros(flat.size, bool)
    chosen[np.argsort(-flat, kind="stable")[:count]] = True
    model = pruned(SIZES, X, y, density=density, criterion=criterion, activation=activation, dtype=np.float64, seed=3)
    assert model.nnz == count
    start = 0
    for layer, W in zip(model.layers, weights, strict=True):
        mask = chosen[start : start + W.size].reshape(W.shape)
        start += W.size
        np.testing.assert_array_equal(layer.weight.to_dense(), np.where(mask, W, 0))
        assert (layer.weight.values != 0).all()


def test_the_scores_of_grasp_are_the_derivative_of_the_squared_gradient(rng):
    X, y = rng.standard_normal((20, SIZES[0])), rng.integers(SIZES[-1], size=20)
    dense = DenseNetwork(SIZES, "leaky_relu", "xavier", np.dtype(np.float64), 5)
    scores = grasp(dense, np.ascontiguousarray(X.T), y)
    weights = whole("leaky_relu", 5)
    wanted = hessian_gradient(weights, X.T, y, 0.01)
    for layer, (W, H) in enumerate(zip(weights, wanted, strict=True)):
        found = np.concatenate([scores(layer, rows, block) for rows, block in dense.blocks(layer)])
        np.testing.assert_allclose(found, W * H, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("density", [0.02, 0.2, 1.0])
def test_synflow_is_that_of_masks(density):
    weights = [np.abs(W) for W in whole(seed=4)]
    masks = [np.ones(W.shape, bool) for W in weights]
    total = sum(W.size for W in weights)
    count = int(np.floor(density * total + 0.5))
    for step in range(1, 101):
        W = [W * M for W, M in zip(weights, masks, strict=True)]
        a = [np.ones(SIZES[0])]
        for layer in W:
            a.append(layer @ a[-1])
        g = np.ones(SIZES[-1])
        scores = []
        for layer, below in zip(reversed(W), reversed(a[:-1]), strict=True):
            scores.insert(0, layer * np.outer(g, below))
            g = layer.T @ g
        flat = np.concatenate([np.where(M, s, -1).reshape(-1) for s, M in zip(scores, masks, strict=True)])
        target = count if step == 100 else round(total * (count / total) ** (step / 100))
        alive = np.ones(total, bool)
        alive[np.argsort(flat, kind="stable")[: total - target]] = False
        for i, part in enumerate(np.split(alive, np.cumsum([M.size for M in masks])[:-1])):
            masks[i] = part.reshape(masks[i].shape)
    model = pruned(SIZES, density=density, criterion="synflow", dtype=np.float64, seed=4)
    assert model.nnz == count
    for layer, W, M in zip(model.layers, whole(seed=4), masks, strict=True):
        np.testing.assert_array_equal(layer.weight.to_dense(), np.where(M, W, 0))
    if density == 0.02:
        assert all(layer.nnz for layer in model.layers)


def test_blocks_are_the_same_every_time_and_differ():
    a, b, other = whole(seed=1), whole(seed=1), whole(seed=2)
    for W, same, different in zip(a, b, other, strict=True):
        np.testing.assert_array_equal(W, same)
        assert len(np.unique(W)) == W.size
        assert not np.array_equal(W, different)


def test_it_trains(monkeypatch):
    monkeypatch.undo()
    data = nerva.datasets.shapes()
    for criterion in CRITERIA:
        X, y = data.train.X[:200], data.train.y[:200]
        model = pruned((3072, 64, 10), X, y, density=0.02, criterion=criterion)
        model.fit(*data.train, epochs=2, topology=nerva.RigL(every=20))
        assert model.evaluate(*data.test).accuracy > 0.4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"criterion": "best"}, ValueError, "criterion"),
        ({"criterion": "grasp", "activation": "tanh"}, ValueError, "activation"),
        ({"activation": "none"}, ValueError, "activation"),
        ({"density": 1.5}, ValueError, "density"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": None}, TypeError, "seed"),
        ({"init": "best"}, ValueError, "init"),
        ({"dtype": np.int32}, ValueError, "dtype"),
        ({"sizes": (9,)}, ValueError, "sizes"),
        ({"sizes": (9, 0)}, ValueError, "sizes"),
        ({"X": np.zeros((20, 8))}, ValueError, "X"),
        ({"y": np.full(20, 4)}, ValueError, "y"),
        ({"y": None}, TypeError, "y"),
        ({"X": None}, TypeError, "X"),
        ({"density": 0.0}, ValueError, "density is 0.0; a network of .* would have no weight at all"),
    ],
)
def test_wrong_arguments_are_refused(rng, options, error, message):
    good = {"sizes": SIZES, "X": rng.standard_normal((20, 9)), "y": rng.integers(4, size=20), "density": 0.1}
    with pytest.raises(error, match=message):
        pruned(**{**good, **options})


PROGRAM = """
import sys
import numpy as np
import nerva

def peak():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

rng = np.random.default_rng(0)
X, y = rng.standard_normal((32, 8192), dtype=np.float32), rng.integers(10, size=32)
nerva.pruned((8192, 16, 10), X, y, density=0.1)
before = peak()
model = nerva.pruned((8192, 8192, 10), X, y, density=0.005, criterion=sys.argv[1])
print(peak() - before, model.nnz)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read as on Linux")
@pytest.mark.parametrize("criterion", ["snip", "grasp"])
def test_the_dense_network_is_never_in_memory(criterion, tmp_path):
    command = [sys.executable, "-W", "error", "-c", PROGRAM, criterion]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    grown, nnz = json.loads(f"[{done.stdout.replace(' ', ',')}]")
    print(f"{grown / 2**20:.0f} MiB")
    assert nnz == round(0.005 * (8192 * 8192 + 81920))
    assert grown < 8192 * 8192 * 4 / 2
