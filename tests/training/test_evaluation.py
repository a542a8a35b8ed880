"""evaluate, predict and predict_proba against NumPy."""

import pickle

import numpy as np
import pytest

import nerva
from nerva.datasets import Standardized
from nerva.layers import LEAKY_SLOPE

from .. import training_reference
from ..reference import activate, softmax_cross_entropy

SIZES = [12, 8, 6, 4]


def network(**settings):
    return nerva.MLP(SIZES, **{"density": 0.5, "seed": 1} | settings)


def logits(model, X):
    """The outputs for samples X (n, features) in float64, (classes, n)."""
    Y = np.asarray(X, np.float64).T
    for layer in model.layers:
        weight = layer.weight if isinstance(layer, nerva.Linear) else layer.weight.to_dense()
        Z = weight.astype(np.float64) @ Y + (0 if layer.bias is None else layer.bias[:, None])
        Y = activate(layer.activation, Z, LEAKY_SLOPE)
    return Y


def samples(n, seed=0, features=SIZES[0], classes=SIZES[-1]):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, features)), rng.integers(classes, size=n)


KINDS = {
    "float64": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "uint8": lambda X: np.abs(X * 50).astype(np.uint8),
    "columns side by side": np.asfortranarray,
    "every second": lambda X: np.repeat(X, 2, axis=0)[::2],
    "every second feature": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: X[::-1, ::-1],
    "part of a larger array": lambda X: np.pad(X, ((3, 1), (2, 5)))[3:-1, 2:-5],
    "a broadcast row": lambda X: np.broadcast_to(X[0], X.shape),
    "swapped bytes": lambda X: X.astype(">f8"),
    "lists": lambda X: X.tolist(),
    "standardized": lambda X: Standardized(np.abs(X * 50).astype(np.uint8), mean=0.3, std=0.2),
}


@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_predictions_are_those_of_numpy(kind, backend, dtype):
    model = network(dtype=dtype, backend=backend)
    for layer in model.layers:
        layer.bias[:] = np.linspace(-1, 1, layer.out_features)  # or dead units would make ties
    X, y = samples(300)
    X = kind(X)
    if isinstance(X, np.ndarray):
        X.flags.writeable = False
    Z = logits(model, X)
    losses, gradient, correct = softmax_cross_entropy(Z, y)
    probabilities = (gradient * len(y) + (np.arange(len(Z))[:, None] == y)).T
    # Standardized computes in float32, whatever the network does.
    eps = np.finfo(np.float32 if isinstance(X, Standardized) else dtype).eps
    close = {"rtol": 0, "atol": 50 * eps * (1 + np.abs(Z).max())}
    for batch_size in (1, 128, 1000):
        found = model.predict_proba(X, batch_size=batch_size)
        assert (found.shape, found.dtype) == ((300, 4), dtype)
        np.testing.assert_allclose(found, probabilities, **close)
        predicted = model.predict(X, batch_size=batch_size)
        assert (predicted.shape, predicted.dtype) == ((300,), np.int64)
        np.testing.assert_array_equal(predicted, found.argmax(axis=1))
        loss, accuracy = model.evaluate(X, y, batch_size=batch_size)
        assert loss == pytest.approx(losses.mean(), rel=close["atol"])
        assert accuracy == correct / 300 == np.mean(predicted == y)


def test_a_single_sample_is_predicted_as_among_others(dtype):
    model = nerva.MLP([30, 20, 4], density=0.3, seed=1, dtype=dtype)
    X = np.random.default_rng(2).standard_normal((7, 30)).astype(dtype)
    X.flags.writeable = False
    wide = np.zeros((7, 60), dtype)
    wide[:, ::2] = X
    for source in (X, wide[:, ::2], X.astype(np.float64), X.astype(np.float32)):
        ones = [model.predict_proba(source[i : i + 1]) for i in range(7)]
        np.testing.assert_allclose(np.concatenate(ones), model.predict_proba(X), rtol=1e-4, atol=1e-6)
        assert [model.predict(source[i : i + 1]).tolist() for i in range(7)] == [[c] for c in model.predict(X)]


def test_accuracy_is_that_of_predict_where_outputs_tie():
    X, y = samples(200)
    model = network(init="zeros")
    assert model.predict_proba(X).max() == 0.25
    assert model.evaluate(X, y).accuracy == np.mean(model.predict(X) == y) < 0.5


def test_evaluation_is_named_and_leaves_the_network_alone():
    model = network()
    X, y = samples(30)
    before = pickle.dumps([parameter.values for parameter in model.parameters()])
    result = model.evaluate(X, y)
    assert (result.loss, result.accuracy) == tuple(result)
    model.predict(X)
    model.predict_proba(X)
    assert pickle.dumps([parameter.values for parameter in model.parameters()]) == before
    assert model.nbytes == network().nbytes


def test_an_evaluation_takes_another_loss_and_weights():
    model, (X, y) = training_reference.network(output="softmax"), training_reference.samples()
    weights = np.random.default_rng(0).random(90)
    P = model.forward(np.ascontiguousarray(X.T, np.float32), training=False).T.copy()
    each = -np.log(P[np.arange(90), y].astype(float))
    found = model.evaluate(X, y, loss=nerva.CrossEntropy(), sample_weight=weights, batch_size=17)
    assert found.loss == pytest.approx(np.average(each, weights=weights), rel=1e-5)
    assert found.accuracy == (P.argmax(axis=1) == y).mean()
    assert type(model.loss) is nerva.SoftmaxCrossEntropy
    with pytest.raises(ValueError, match="sample_weight has shape"):
        model.evaluate(X, y, sample_weight=weights[1:])
    with pytest.raises(TypeError, match=r"loss is .*CrossEntropy.*; it must be a nerva\.Loss"):
        model.evaluate(X, y, loss=nerva.CrossEntropy)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "3", True, None])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "evaluate"])
def test_a_wrong_batch_size_is_named(method, batch_size):
    X, y = training_reference.samples()
    with pytest.raises((TypeError, ValueError), match="batch_size is"):
        getattr(training_reference.network(), method)(
            *((X, y) if method == "evaluate" else (X,)), batch_size=batch_size
        )


@pytest.mark.parametrize("loss", [nerva.MeanSquaredError(), nerva.SquaredError()], ids=["mean", "sum"])
def test_numbers_predicted_one_by_one_are_kept(loss):
    """A batch of one sample lies in the layer's buffer as its prediction does, which must not be that buffer."""
    model, X = nerva.MLP([12, 3], seed=0), np.random.default_rng(0).standard_normal((9, 12), dtype=np.float32)
    model.loss = loss
    wanted = model.predict(X)
    np.testing.assert_allclose(model.predict(X, batch_size=1), wanted, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X, batch_size=8), wanted, rtol=1e-5)
    first = model.predict(X[:1])
    model.predict(X[1:2])
    np.testing.assert_allclose(first, wanted[:1], rtol=1e-5)
