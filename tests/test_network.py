"""Sequential and MLP: how they are put together, what they tell of themselves, and what they give for samples."""

import copy
import pickle
import re

import numpy as np
import pytest

import nerva
from nerva.datasets import Standardized
from nerva.layers import LEAKY_SLOPE

from .reference import activate, assert_same_bits, softmax_cross_entropy

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


# ---- how they are put together


def test_a_layer_of_density_one_is_dense_and_the_last_gives_logits(dtype):
    model = nerva.MLP([40, 30, 20, 10], density=[0.2, 1, 0.5], activation="tanh", dtype=dtype, backend="mkl")
    assert [type(layer) for layer in model.layers] == [nerva.SparseLinear, nerva.Linear, nerva.SparseLinear]
    assert [layer.activation for layer in model.layers] == ["tanh", "tanh", "identity"]
    assert [layer.nnz for layer in model.layers] == [240, 600, 100]
    assert [layer.backend for layer in model.layers[::2]] == ["mkl", "mkl"]
    assert {layer.dtype for layer in model.layers} == {model.dtype} == {dtype}
    assert (model.in_features, model.out_features, model.nnz, model.dense_size) == (40, 10, 940, 2000)
    assert model.density == 0.47


def test_the_short_way_is_the_long_way():
    short = nerva.MLP([40, 30, 10], density=0.1, seed=5, init="he")
    rng = np.random.default_rng(5)
    densities = nerva.erdos_renyi([(40, 30), (30, 10)], 0.1)
    hidden = nerva.SparseLinear(40, 30, density=densities[0], activation="relu", init="he", rng=rng)
    last = nerva.SparseLinear(30, 10, density=densities[1], init="he", rng=rng)
    long = nerva.Sequential([hidden, last], rng=rng)
    for one, other in zip(short.layers, long.layers, strict=True):
        assert_same_bits(one.weight.indices, other.weight.indices)
        assert_same_bits(one.weight.values, other.weight.values)
    X, y = samples(50, features=40, classes=10)
    assert short.fit(X, y, epochs=2)["loss"] == long.fit(X, y, epochs=2)["loss"]


@pytest.mark.parametrize("density", [0.3, (0.3, 0.3, 0.3), [0.3] * 3, np.full(3, 0.3)])
def test_density_of_the_whole_or_of_each_layer(density):
    model = network(density=density, distribution="uniform")
    assert [layer.nnz for layer in model.layers] == [29, 14, 7]


@pytest.mark.parametrize(("sparse", "kind"), [(False, nerva.Linear), (True, nerva.SparseLinear)])
def test_full_layers_may_be_sparse_ones(sparse, kind):
    model = network(density=[0.3, 1.0, 1], sparse=sparse)
    assert [type(layer) for layer in model.layers] == [nerva.SparseLinear, kind, kind]
    assert [layer.density for layer in model.layers][1:] == [1, 1]


def test_a_seed_decides_supports_and_weights():
    one, same, other, drawn = network(), network(), network(seed=2), network(seed=np.random.default_rng(1))
    for layer, twin, stranger, generated in zip(one.layers, same.layers, other.layers, drawn.layers, strict=True):
        assert_same_bits(layer.weight.indices, twin.weight.indices)
        assert_same_bits(layer.weight.values, twin.weight.values)
        assert_same_bits(layer.weight.values, generated.weight.values)
        assert not np.array_equal(layer.weight.values, stranger.weight.values)
    assert not np.array_equal(network(seed=None).layers[0].weight.values, network(seed=None).layers[0].weight.values)


@pytest.mark.parametrize(
    ("changed", "error", "name"),
    [
        ({"sizes": []}, ValueError, "sizes"),
        ({"sizes": [5]}, ValueError, "sizes"),
        ({"sizes": [5, 0, 3]}, ValueError, "sizes"),
        ({"sizes": [5, 2.5, 3]}, ValueError, "sizes"),
        ({"sizes": [5, "7", 3]}, ValueError, "sizes"),
        ({"sizes": 5}, (TypeError, ValueError), "sizes"),
        ({"density": 1.5}, ValueError, "density"),
        ({"density": "0.5"}, TypeError, "density"),
        ({"density": "10"}, TypeError, "density"),
        ({"density": None}, TypeError, "density"),
        ({"density": [0.5]}, ValueError, "density"),
        ({"density": [0.5, -1]}, ValueError, r"density\[1\]"),
        ({"density": np.full((2, 1), 0.5)}, (TypeError, ValueError), "density"),
        ({"distribution": "golden"}, ValueError, "distribution"),
        ({"activation": "swish"}, ValueError, "activation"),
        ({"activation": ["relu", "relu"]}, (TypeError, ValueError), "activation"),
        ({"init": "golden"}, ValueError, "init"),
        ({"dtype": "float16"}, ValueError, "dtype"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": "now"}, TypeError, "seed"),
        ({"backend": "cuda"}, ValueError, "backend"),
        ({"sparse": 1}, TypeError, "sparse"),
        ({"density": 1e-9}, ValueError, "density is 1e-09; a network of .* no weight at all"),
    ],
)
def test_a_wrong_argument_of_mlp_is_named(changed, error, name):
    with pytest.raises(error, match=rf"\b{name}"):
        nerva.MLP(**{"sizes": [5, 4, 3], "density": 0.5} | changed)


def test_a_wrong_argument_of_sequential_is_named():
    one, two = nerva.Linear(5, 4), nerva.Linear(4, 3)
    for layers, error, message in [
        ([], ValueError, "layers is empty"),
        ([one, "relu"], TypeError, r"layers\[1\] is str"),
        ([nerva.MLP([5, 4])], TypeError, r"layers\[0\] is MLP"),
        ([two, one], ValueError, r"layers\[0\] gives 3 features, layers\[1\] takes 5"),
        ([one, nerva.Linear(4, 3, dtype=float)], ValueError, r"layers\[0\] has dtype float32, layers\[1\] float64"),
        ([one, nerva.Linear(4, 5), one], ValueError, r"layers\[2\] stands in the network twice"),
        (one, TypeError, "layers"),
    ]:
        with pytest.raises(error, match=message):
            nerva.Sequential(layers)
    with pytest.raises(TypeError, match="rng is str"):
        nerva.Sequential([one, two], rng="seed")
    assert nerva.Sequential(iter([one, two])).layers == (one, two)


# ---- what they tell


def test_the_summary_counts_what_is_there(dtype):
    model = nerva.MLP([1000, 300, 20, 10], density=[0.1, 0.5, 1], dtype=dtype)
    X, y = samples(8, features=1000, classes=10)
    optimizer, loss = nerva.Nesterov(), nerva.SoftmaxCrossEntropy()
    for trained in (False, True):
        if trained:
            model.backward(loss(model.forward(X.T.astype(dtype, order="C")), y).gradient)
            optimizer.step(model.parameters(), 0.1)
        text = model.summary()
        title, rule, *rows, _, total, closing = text.splitlines()
        assert title.split() == ["layer", "in", "out", "activation", "density", "weights", "bytes", "a", "weight"]
        assert set(rule) == {"-"}
        held = []
        for row, layer in zip(rows, model.layers, strict=True):
            arrays = [array for p in layer.parameters() for array in (p.values, *p.state.values())]
            arrays += [parameter.gradient for parameter in layer.parameters()] if trained else []
            if isinstance(layer, nerva.SparseLinear):
                arrays += [layer.weight.indptr, layer.weight.indices]
            held.append(sum(array.nbytes for array in arrays))
            if trained and layer is model.layers[1]:  # the transposed companion: indptr, indices, permutation
                held[-1] += 4 * (layer.in_features + 1 + 2 * layer.nnz)
            assert row.split() == [
                type(layer).__name__,
                f"{layer.in_features:,}",
                f"{layer.out_features:,}",
                layer.activation,
                f"{layer.density:.4%}",
                f"{layer.nnz:,}",
                f"{held[-1]:,}",
                f"{held[-1] / layer.nnz:.1f}",
            ]
        assert model.nbytes == sum(held)
        assert total.split() == [
            "total",
            f"{33200 / 306200:.4%}",
            "33,200",
            f"{sum(held):,}",
            f"{sum(held) / 33200:.1f}",
        ]
        assert closing.startswith(dtype.name)
        assert re.findall(r"[\d,]{4,}", closing) == ["306,200", f"{306200 * dtype.itemsize:,}"]
        assert len({len(line) for line in [title, rule, *rows, total]}) == 1


def test_repr_shows_the_layers():
    model = network(density=[0.5, 1, 0.5])
    assert repr(model) == "MLP([\n" + "".join(f"    {layer!r},\n" for layer in model.layers) + "])"
    assert "Linear(8, 6, density=1, activation='relu'" in repr(model)
    assert repr(nerva.Sequential(model.layers)).startswith("Sequential([\n    SparseLinear(12, 8, density=0.5")


# ---- one pass


@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
def test_gradients_of_the_loss_by_central_differences(activation, backend):
    model = network(density=[0.5, 1, 0.6], activation=activation, dtype=np.float64, backend=backend)
    X, y = samples(5, seed=3)
    columns, loss = np.ascontiguousarray(X.T), nerva.SoftmaxCrossEntropy()
    model.backward(loss(model.forward(columns), y).gradient)
    step = 1e-6
    for parameter in model.parameters():
        gradient = parameter.gradient.copy()
        for i, before in enumerate(parameter.values.copy()):
            values = []
            for sign in (1, -1):
                parameter.values[i] = before + sign * step
                values.append(softmax_cross_entropy(logits(model, X), y)[0].mean())
            parameter.values[i] = before
            slope = (values[0] - values[1]) / (2 * step)
            assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-8), parameter.name


@pytest.mark.parametrize("optimizer", [nerva.SGD(), nerva.Nesterov(weight_decay=0.01)], ids=repr)
def test_a_step_on_the_way_back_is_that_of_the_optimizer(optimizer, dtype):
    fused, apart = (network(density=[0.5, 1, 0.5], dtype=dtype) for _ in range(2))
    X, y = samples(20)
    columns, loss, other = X.T.astype(dtype, order="C"), nerva.SoftmaxCrossEntropy(), copy.copy(optimizer)
    for rate in (0.5, 0.1):
        fused.backward(loss(fused.forward(columns), y).gradient, step=optimizer.at(rate))
        apart.backward(loss(apart.forward(columns), y).gradient)
        other.step(apart.parameters(), rate)
    for one, two in zip(fused.parameters(), apart.parameters(), strict=True):
        assert_same_bits(one.values, two.values, one.name)


def test_backward_needs_a_forward_in_training():
    model = network()
    model.forward(np.zeros((12, 3), np.float32), training=False)
    with pytest.raises(RuntimeError, match="forward"):
        model.backward(np.zeros((4, 3), np.float32))


# ---- samples are rows

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


@pytest.mark.parametrize("clone", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy], ids=["pickle", ""])
def test_a_copy_goes_on_as_the_original(clone):
    model, (X, y) = network(density=[0.5, 1, 0.5]), samples(90)
    model.fit(X, y, epochs=1, batch_size=20)
    twin = clone(model)
    assert repr(twin) == repr(model)
    runs = [one.fit(X, y, epochs=2, batch_size=20, optimizer=nerva.Momentum())["loss"] for one in (model, twin)]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]
    for one, two in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(one.values, two.values, one.name)
    assert_same_bits(model.predict_proba(X), twin.predict_proba(X))
