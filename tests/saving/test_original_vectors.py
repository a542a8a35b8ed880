"""The test vectors that the original Nerva publishes, computed here: losses, small networks, densities.

original_vectors.json holds its figures: those of nerva-rowwise's python/tests, and the densities of its tools. Its
losses are sums over the batch, ours are means.
"""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import nerva

VECTORS = json.loads((Path(__file__).parent / "original_vectors.json").read_text())
LOSSES = {
    "SquaredError": nerva.SquaredError(classes=True),
    "SoftmaxCrossEntropy": nerva.SoftmaxCrossEntropy(),
    "NegativeLogLikelihood": nerva.NegativeLogLikelihood("probabilities"),
    "CrossEntropy": nerva.CrossEntropy(),
    "LogisticCrossEntropy": nerva.LogisticCrossEntropy(classes=True, negatives=False),
}
SIZES = [3072, 1024, 512, 10]


@pytest.mark.parametrize("case", VECTORS["losses"], ids=range(1, 6))
@pytest.mark.parametrize("name", LOSSES)
def test_losses(case, name, dtype):
    Y = np.ascontiguousarray(np.transpose(case["Y"]), dtype)
    loss = LOSSES[name]
    value = loss(Y, loss.check_targets(case["labels"], Y.shape[1], Y.shape[0])).value
    assert value * Y.shape[1] == pytest.approx(case[name], abs=5e-6)


def network(case, kind, dtype):
    layers = []
    for i, activation in enumerate(["relu", "relu", "identity"], 1):
        W, b = np.array(case[f"W{i}"], dtype), np.array(case[f"b{i}"], dtype)
        if kind == "sparse":
            layer = nerva.SparseLinear(*W.shape[::-1], weight=nerva.CSR.from_dense(W), activation=activation)
        else:
            layer = nerva.Linear(*W.shape[::-1], activation=activation, dtype=dtype)
            layer.weight = W
        layer.bias = b
        layers.append(layer)
    return nerva.Sequential(layers)


@pytest.mark.parametrize("case", VECTORS["perceptrons"], ids=range(3))
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_networks_before_and_after_one_step(case, kind, dtype):
    """Theirs is gradient descent with the rate 0.01."""
    model, loss = network(case, kind, dtype), nerva.SoftmaxCrossEntropy()
    X, labels = np.array(case["X"], dtype), np.array(case["labels"])
    for time in "12":
        Y = model.forward(np.ascontiguousarray(X.T), training=False)
        np.testing.assert_allclose(Y.T, case[f"Y{time}"], atol=2e-7)
        np.testing.assert_allclose(loss(Y, labels).gradient.T, case[f"DY{time}"], atol=1e-7)
        model.train_step(X, labels, nerva.SGD(), 0.01)


@pytest.mark.parametrize("density", VECTORS["densities"])
def test_densities(density):
    shapes = list(pairwise(SIZES))
    densities = nerva.erdos_renyi(shapes, float(density))
    np.testing.assert_allclose(densities, VECTORS["densities"][density], atol=6e-6)
    assert [layer.nnz for layer in nerva.MLP(SIZES, density=float(density)).layers] == VECTORS["weights"][density]
