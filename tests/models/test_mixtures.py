"""Networks of any mixture of layers: gradients, steps, size, copies, and what is refused."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

import nerva
from nerva._kernels import mkl
from nerva.activations import NAMES

from ..reference import assert_same_bits

SETTINGS = [
    {},
    {"batch_norm": True},
    {"dropout": 0.3},
    {"drop_connect": 0.3},
    {"batch_norm": True, "dropout": 0.3, "drop_connect": 0.3},
]


def mixture(dtype="float64"):
    """Every kind of layer, in an order nobody would choose."""
    return nerva.Sequential(
        [
            nerva.Dropout(0.2, rng=1),
            nerva.Activation("tanh"),
            nerva.BatchNorm(12, dtype=dtype, activation="gelu"),
            nerva.SparseLinear(12, 10, density=0.4, rng=2, dtype=dtype, activation="silu"),
            nerva.Dropout(0.3, rng=3),
            nerva.Activation(nerva.SReLU(-0.1, 0.2, 0.3, 0.8, per="neuron")),
            nerva.Linear(10, 9, rng=4, dtype=dtype, activation="sigmoid", drop_connect=0.2),
            nerva.Dropout(0.3, rng=3),
            nerva.BatchNorm(9, dtype=dtype),
            nerva.Activation("leaky_relu"),
            nerva.Activation("log_softmax"),
            nerva.SparseLinear(9, 4, density=0.5, rng=5, dtype=dtype, bias=False, drop_connect=0.2),
            nerva.Dropout(0.0),
        ],
        rng=0,
    )


def perceptron():
    return nerva.MLP([12, 10, 4], density=0.5, activation="srelu", **SETTINGS[-1])


def samples(dtype=np.float64, n=20):
    rng = np.random.default_rng(8)
    return rng.standard_normal((12, n)).astype(dtype), rng.integers(4, size=n)


def same_masks_again(model):
    """Let the next forward pass draw the masks that the first one drew."""
    for layer in model.layers:
        keys = getattr(layer, "_keys", None)
        if keys is not None:
            keys.count = 0


def assert_gradients(model, every=1):
    """The gradient of each parameter is that of central differences, the masks being the same."""
    (X, y), loss, h, rng = samples(), nerva.SoftmaxCrossEntropy(), 1e-6, np.random.default_rng(3)
    for parameter in model.parameters():
        if parameter.name in ("bias", "beta"):  # away from the bend at zero
            parameter.values[:] = rng.standard_normal(parameter.values.size)

    def value():
        same_masks_again(model)
        return loss(model.forward(X), y)

    model.backward(value().gradient)
    gradients = [parameter.gradient.copy() for parameter in model.parameters()]
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        for i in range(0, len(gradient), every):
            before, ends = parameter.values[i], []
            for sign in (1, -1):
                parameter.values[i] = before + sign * h
                ends.append(value().value)
            parameter.values[i] = before
            wanted = (ends[0] - ends[1]) / (2 * h)
            assert gradient[i] == pytest.approx(wanted, rel=1e-5, abs=1e-8), f"{parameter.name}[{i}]"


@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("activation", [*NAMES, nerva.SReLU(-0.1, 0.3, 0.4, 0.7, per="neuron")], ids=str)
def test_gradients_of_a_perceptron(activation, settings, backend):
    model = nerva.MLP(
        [12, 10, 9, 4], density=0.5, activation=activation, dtype="float64", backend=backend, seed=1, **settings
    )
    assert all(layer.density < 1 for layer in model.layers if isinstance(layer, nerva.SparseLinear))
    assert_gradients(model, every=5)


def test_gradients_of_a_mixture():
    assert_gradients(mixture())


@pytest.mark.parametrize(
    "make", [mixture, lambda: nerva.MLP([12, 10, 4], density=0.5, activation="srelu", **SETTINGS[-1])]
)
@pytest.mark.parametrize("clone", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
def test_a_copy_goes_on_as_the_original(make, clone):
    model = make()
    X, y = samples(model.dtype)
    data = {"X": np.ascontiguousarray(X.T), "y": y, "epochs": 2, "batch_size": 7, "optimizer": nerva.Nesterov(0.0)}
    model.fit(**data)
    twin = clone(model)
    assert repr(twin) == repr(model)
    histories = [one.fit(**data, rng=1) for one in (model, twin)]
    assert histories[0]["loss"] == histories[1]["loss"]
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(one.values, other.values, one.name)
        assert not np.shares_memory(one.values, other.values)
    probabilities = [one.predict_proba(data["X"]) for one in (model, twin)]
    assert_same_bits(*probabilities)
    assert_same_bits(model.predict_proba(data["X"]), probabilities[0], "evaluation leaves no trace")
    np.testing.assert_allclose(probabilities[0].sum(1), 1, rtol=1e-5)


def test_the_same_bits_on_any_threads():
    rng, results = np.random.default_rng(0), []
    X, y = rng.standard_normal((300, 100)).astype(np.float32), rng.integers(4, size=100)
    loss = nerva.SoftmaxCrossEntropy()
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        model = nerva.MLP([300, 200, 100, 4], density=0.1, activation="srelu", backend="native", seed=3, **SETTINGS[-1])
        optimizer = nerva.Nesterov()
        for _ in range(3):
            model.backward(loss(model.forward(X), y).gradient)
            optimizer.step(model.parameters(), 0.1)
        results.append([parameter.values for parameter in model.parameters()])
    for values in results[1:]:
        for array, first in zip(values, results[0], strict=True):
            assert_same_bits(array, first)


@pytest.mark.parametrize("activation", ["relu", "srelu", "gelu", "log_softmax"])
def test_a_steady_step_allocates_nothing_to_speak_of(activation):
    model = nerva.MLP([300, 200, 100, 4], density=0.1, activation=activation, **SETTINGS[-1])
    rng, loss, optimizer = np.random.default_rng(0), nerva.SoftmaxCrossEntropy(), nerva.Nesterov()
    X, y = rng.standard_normal((300, 100)).astype(np.float32), rng.integers(4, size=100)

    def step():
        model.backward(loss(model.forward(X), y).gradient)
        optimizer.step(model.parameters(), 0.01)

    for _ in range(3):
        step()
    tracemalloc.start()
    try:
        step()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 20_000  # one row of one buffer over the batch is 400 bytes, a buffer 40,000 and more


def test_a_gradient_that_is_not_the_layers_own_is_left_alone():
    """The loss's gradient, and what a layer was given from outside, are not overwritten."""
    model = mixture()
    X, y = samples()
    last = nerva.Linear(12, 4, activation="gelu", dtype="float64")
    for network in (model, nerva.Sequential([last]), nerva.Sequential([last, nerva.Dropout(0.0)])):
        DY = nerva.SoftmaxCrossEntropy()(network.forward(X), y).gradient
        before = DY.copy()
        network.backward(DY)
        assert_same_bits(DY, before)
    rng = np.random.default_rng(2)
    for layer in model.layers:
        given = rng.standard_normal((layer.in_features, 20))
        given.flags.writeable = False
        Y = layer.forward(given)
        back = rng.standard_normal(Y.shape)
        back.flags.writeable = False
        layer.backward(back)


# ---- what they tell of themselves
def test_size_and_summary():
    model = nerva.MLP([12, 10, 9, 4], density=0.5, activation="srelu", **SETTINGS[-1])
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["SparseLinear", "BatchNorm", "Dropout"] * 2 + ["SparseLinear"]
    assert [layer.bias is None for layer in model.layers[::3]] == [True, True, False]
    assert model.nnz == sum(layer.nnz for layer in model.layers[::3])
    assert model.dense_size == 12 * 10 + 10 * 9 + 9 * 4
    assert model.nbytes == sum(layer.nbytes for layer in model.layers)
    lines = model.summary().splitlines()
    assert [line.split()[0] for line in lines[2:9]] == kinds
    assert repr(model).count("\n") == 8
    names = [parameter.name for parameter in model.parameters()]
    assert names == ["weight", "gamma", "beta", "srelu"] * 2 + ["weight", "bias"]
    only = nerva.Sequential([nerva.BatchNorm(3)])
    assert (only.nnz, only.density, only.in_features, only.out_features) == (0, 1.0, 3, 3)
    assert "BatchNorm" in only.summary()


def test_features_are_carried_through():
    model = mixture("float32")
    assert (model.in_features, model.out_features, model.dtype) == (12, 4, np.float32)
    assert [layer.in_features for layer in model.layers] == [12, 12, 12, 12, 10, 10, 10, 9, 9, 9, 9, 9, 4]
    assert model.layers[5].numbers.shape == (4, 10)


def test_without_the_extras_nothing_is_drawn_otherwise():
    plain, others = (
        nerva.MLP([12, 10, 4], density=0.5),
        nerva.MLP([12, 10, 4], density=0.5, drop_connect=0.0, dropout=0),
    )
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in others.layers]
    for one, other in zip(plain.parameters(), others.parameters(), strict=True):
        assert_same_bits(one.values, other.values)


# ---- what is refused
SETTLED = nerva.Dropout(0.5)
SETTLED.forward(np.ones((3, 2), np.float32))


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([nerva.Dropout(0.5), nerva.Activation("relu")], ValueError, "features"),
        ([nerva.Linear(3, 4), nerva.BatchNorm(5)], ValueError, r"layers\[0\] gives 4 features, layers\[1\] takes 5"),
        ([nerva.Linear(3, 4), nerva.Dropout(0.1), nerva.Linear(3, 4)], ValueError, r"layers\[1\] gives 4 features"),
        ([nerva.Linear(3, 4), nerva.BatchNorm(4, dtype="float64")], ValueError, "dtype"),
        ([nerva.Linear(3, 4), SETTLED], ValueError, r"layers\[1\] takes 3"),
        ([nerva.Linear(3, 4), "relu"], TypeError, r"layers\[1\] is str"),
        ([nerva.Linear(3, 4), nerva.Dropout], TypeError, r"layers\[1\]"),
    ],
)
def test_layers_that_do_not_fit_are_named(layers, error, message):
    with pytest.raises(error, match=message):
        nerva.Sequential(layers)


def test_a_network_refused_leaves_its_layers_as_they_were():
    free = nerva.Dropout(0.5)
    with pytest.raises(ValueError, match="features"):
        nerva.Sequential([free, nerva.Linear(3, 4), nerva.Linear(5, 4)])
    assert free.in_features is None
    with pytest.raises(ValueError, match="twice"):
        nerva.Sequential([nerva.Linear(3, 3), free, free])
    with pytest.raises(TypeError, match="batch_norm"):
        nerva.MLP([3, 2, 1], batch_norm=0.1)
