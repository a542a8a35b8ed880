"""What every layer has: a config and arrays it can be made of again, copies for some features, arrays of another."""

import inspect
import json

import numpy as np
import pytest

import nerva
from nerva.layers import LAYERS, Layer
from nerva.layers.arrays import ArraysMismatch

from ..reference import assert_same_bits

D, K, N = 7, 5, 11
SRELU = nerva.SReLU(-0.5, 0.2, 0.4, 0.7, per="neuron")
MAKE = {
    "linear": lambda f, dtype: nerva.Linear(D, K, activation=f, rng=1, dtype=dtype),
    "linear without bias": lambda f, dtype: nerva.Linear(D, K, activation=f, bias=False, rng=1, dtype=dtype),
    "sparse": lambda f, dtype: nerva.SparseLinear(D, K, density=0.5, activation=f, rng=1, dtype=dtype),
    "sparse, dropped": lambda f, dtype: nerva.SparseLinear(
        D, K, density=0.5, activation=f, bias=False, rng=1, dtype=dtype, backend="mkl", drop_connect=0.25
    ),
    "empty": lambda f, dtype: nerva.SparseLinear(D, K, density=0.0, activation=f, rng=1, dtype=dtype),
    "batch norm": lambda f, dtype: nerva.BatchNorm(D, momentum=0.2, epsilon=1e-3, activation=f, dtype=dtype),
    "activation": lambda f, dtype: nerva.Activation(f).build(D, np.dtype(dtype)),
    "dropout": lambda f, dtype: nerva.Dropout(0.25, rng=1).build(D, np.dtype(dtype)),
}


def make(kind, function, dtype, seed=3):
    """A layer no number of which is as it starts."""
    layer, rng = MAKE[kind](function, dtype), np.random.default_rng(seed)
    for name, array in layer.arrays().items():
        if name not in ("indptr", "indices"):
            array[...] = rng.uniform(0.1, 1, array.shape)
    return layer


def outputs(layer, X):
    return layer.forward(X, training=False).copy()


every = pytest.mark.parametrize("kind", MAKE)
functions = pytest.mark.parametrize("function", ["relu", "softmax", "srelu", nerva.LeakyReLU(0.3), SRELU], ids=str)


@functions
@every
def test_a_layer_is_made_again_of_its_config_and_arrays(kind, function, dtype, rng):
    layer, X = make(kind, function, dtype), rng.standard_normal((D, N)).astype(dtype)
    config = json.loads(json.dumps(layer.config()))
    arrays = {f"a.{name}": array for name, array in layer.arrays().items()}
    twin = type(layer).from_config(config, arrays, "a.")
    assert repr(twin) == repr(layer)
    np.testing.assert_allclose(outputs(twin, X), outputs(layer, X), rtol=1e-5, atol=1e-6)  # its backend is "auto"
    assert twin.config() == layer.config()
    for name, array in twin.arrays().items():
        assert_same_bits(array, arrays[f"a.{name}"], name)
        assert not np.shares_memory(array, arrays[f"a.{name}"])


@every
def test_arrays_are_the_memory_in_use_of_all_parameters(kind, dtype):
    layer = make(kind, SRELU, dtype)
    arrays = layer.arrays()
    for parameter in layer.parameters():
        name = "values" if parameter.name == "weight" and "values" in arrays else parameter.name
        assert np.shares_memory(arrays[name], parameter.values) or kind == "empty"
        assert arrays[name].size == parameter.values.size
    if "values" in arrays:
        with pytest.raises(ValueError, match="read-only"):
            arrays["indices"][:] = 0  # the companion index of a CSR would not follow


@functions
@every
def test_a_layer_takes_the_arrays_of_another(kind, function, dtype, rng):
    layer, other = make(kind, function, dtype), make(kind, function, dtype, seed=8)
    if kind == "sparse":
        other.rewire(np.array([0, 3]), np.empty(0, np.int64))
    optimizer = nerva.Nesterov()
    optimizer.step(layer.parameters(), 0.1)
    layer.assign(other)
    X = rng.standard_normal((D, N)).astype(dtype)
    assert_same_bits(outputs(layer, X), outputs(other, X))
    for name, array in layer.arrays().items():
        assert_same_bits(array, other.arrays()[name], name)
    assert all(parameter.owner is None for parameter in layer.parameters())


@functions
@every
def test_a_layer_of_some_of_its_features_gives_these(kind, function, dtype, rng):
    layer, X = make(kind, function, dtype), rng.standard_normal((D, N)).astype(dtype)
    linear = hasattr(layer, "weight")
    kept, inputs = np.array([0, 2, 4]), np.array([1, 2, 5, 6])
    if function == "softmax":
        kept = np.arange(K if linear else D)  # all: it couples them
    small = layer.take_features(kept, inputs) if linear else layer.take_features(kept)
    assert type(small) is type(layer)
    assert {**small.config(), "in": 0, "out": 0} == {**layer.config(), "in": 0, "out": 0} or kind == "dropout"
    assert getattr(small, "backend", None) == getattr(layer, "backend", None)
    if linear:
        assert (small.in_features, small.out_features) == (4, len(kept))
        W = np.zeros_like(X, shape=(K, D))
        W[np.ix_(kept, inputs)] = layer.dense_weight()[np.ix_(kept, inputs)]
        assert_same_bits(small.dense_weight(), W[np.ix_(kept, inputs)])
        zeroed = np.zeros_like(X)
        zeroed[inputs] = X[inputs]
        wanted, got = outputs(layer, zeroed)[kept], outputs(small, X[inputs])
        assert layer.take_features(kept).in_features == D
    else:
        wanted, got = outputs(layer, X)[kept], outputs(small, np.ascontiguousarray(X[kept]))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    before = [parameter.values.copy() for parameter in layer.parameters()]
    for parameter in small.parameters():
        parameter.values[:] = 0
    for parameter, values in zip(layer.parameters(), before, strict=True):
        assert_same_bits(parameter.values, values, "the layer it was taken from")


def test_masks_go_on_in_a_copy(rng):
    X = rng.standard_normal((D, N)).astype(np.float32)
    layer = make("sparse, dropped", "relu", np.float32)
    layer.forward(X)
    twins = [layer.take_features(np.arange(K)), layer.astype(np.float32)]
    wanted = layer.forward(X).copy()
    for twin in twins:
        assert_same_bits(twin.forward(X).copy(), wanted)


@pytest.mark.parametrize("kind", [kind for kind in MAKE if kind != "dropout"])
def test_what_arrays_lack_is_named(kind):
    layer = make(kind, "srelu", np.float32)
    config, arrays = layer.config(), layer.arrays()
    for name in arrays:
        with pytest.raises(ValueError, match=rf"it lacks the array x\.{name}"):
            type(layer).from_config(config, {f"x.{n}": a for n, a in arrays.items() if n != name}, "x.")
        bad = arrays | {name: np.full(arrays[name].shape, np.nan, np.float32)}
        if arrays[name].size:
            with pytest.raises((TypeError, ValueError)):
                type(layer).from_config(config, bad)
    if "dtype" in config:
        with pytest.raises(ValueError, match=r"not those|float64|weights"):
            type(layer).from_config(config | {"dtype": "float64"}, arrays)
        with pytest.raises(KeyError):
            type(layer).from_config({name: config[name] for name in config if name != "in"}, arrays)


def test_arrays_of_another_shape_are_a_mismatch():
    norm = nerva.BatchNorm(4)
    with pytest.raises(ArraysMismatch):
        nerva.BatchNorm.from_config(norm.config() | {"in": 10**12, "out": 10**12}, norm.arrays())
    with pytest.raises(ArraysMismatch):
        nerva.Activation.from_config({"in": 3, "out": 4, "activation": "relu"}, {})
    dense = nerva.Linear(4, 3)
    with pytest.raises(ArraysMismatch):
        nerva.Linear.from_config(dense.config() | {"in": 5}, dense.arrays())


def test_an_activation_that_is_not_built_is_made_again():
    twin = nerva.Activation.from_config(nerva.Activation(SRELU).config(), {})
    assert (twin.in_features, twin.activation) == (None, SRELU)


def test_the_layers_that_are_stored_are_found_by_their_names():
    assert all(LAYERS[kind.__name__] is kind for kind in LAYERS.values())
    assert {type(make(kind, "relu", np.float32)) for kind in MAKE} == set(LAYERS.values())


def test_a_layer_of_ones_own_needs_no_config():
    class Double(Layer):
        def forward(self, X, *, training=True):
            return 2 * X

        def backward(self, DY, *, input_gradient=True):
            return 2 * DY

        def astype(self, dtype):
            return Double()

    layer = Double()
    assert layer.arrays() == {}
    for call in (layer.config, lambda: layer.take_features(np.arange(2)), lambda: Double.from_config({}, {})):
        with pytest.raises(NotImplementedError, match="Double"):
            call()


@pytest.mark.parametrize("kind", [Layer, *LAYERS.values()])
def test_the_passes_have_one_signature(kind):
    """That of a layer of one's own: nothing else is asked of it."""
    for run, given, flag in ((kind.forward, "X", "training"), (kind.backward, "DY", "input_gradient")):
        own, first, last = inspect.signature(run).parameters.values()
        assert (own.name, first.name, first.default) == ("self", given, first.empty)
        assert (last.name, last.kind, last.default) == (flag, last.KEYWORD_ONLY, True)


@pytest.mark.parametrize("kind", MAKE)
def test_each_layer_is_trained_by_its_passes_and_a_step_of_the_optimizer(kind, rng):
    """Forward, a loss of the outputs, backward, step: the loss falls, and DY and X are as they were."""
    layer, optimizer = make(kind, "tanh", np.float64), nerva.SGD()
    X = rng.standard_normal((layer.in_features or 4, 30))
    wanted, given, losses = rng.standard_normal((layer.out_features or 4, 30)) / 4, X.copy(), []
    for _ in range(20):
        Y = layer.forward(X)
        DY = Y - wanted
        losses.append(np.sum(DY**2) / 2)
        before = DY.copy()
        DX = layer.backward(DY)
        assert_same_bits(DY, before)
        assert DX.shape == X.shape
        assert layer.backward(DY, input_gradient=False) is None
        optimizer.step(layer.parameters(), 0.01)
    assert_same_bits(X, given)
    if layer.parameters():
        assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("other", "kind", "message"),
    [
        (lambda: 5, TypeError, "other is int; it must be SparseLinear, as this layer is"),
        (lambda: nerva.Linear(6, 3), TypeError, "other is Linear; it must be SparseLinear"),
        (lambda: nerva.SparseLinear(6, 3, density=0.5, bias=False), ValueError, "other has arrays {}; they must be"),
        (lambda: nerva.SparseLinear(7, 3, density=0.5), ValueError, r"weight has shape \(3, 7\); it must be \(3, 6\)"),
        (lambda: nerva.SparseLinear(6, 3, density=0.5, dtype="float64"), ValueError, "other has arrays .*float64"),
        (lambda: nerva.SparseLinear(6, 3, density=0.5, activation="srelu"), ValueError, "other has arrays .*srelu"),
    ],
)
def test_another_kind_of_layer_is_not_assigned(other, kind, message):
    layer = nerva.SparseLinear(6, 3, density=0.5, rng=1)
    before = layer.weight, layer.weight.values.copy(), layer.bias.copy()
    with pytest.raises(kind, match=message):
        layer.assign(other())
    assert layer.weight is before[0]
    assert_same_bits(layer.weight.values, before[1])
    assert_same_bits(layer.bias, before[2])


@pytest.mark.parametrize(
    ("numbers", "kind", "message"),
    [
        ([0.5], TypeError, r"is float64 of shape \(1,\); it must be a vector of integers"),
        ([[1]], TypeError, r"is int64 of shape \(1, 1\)"),
        ([True, False, True], TypeError, r"is bool of shape \(3,\)"),
        ([1, 1], ValueError, r"must ascend strictly, within 0 to \d+; it is \[1, 1\]"),
        ([2, 1], ValueError, "must ascend strictly"),
        ([-1, 1], ValueError, "must ascend strictly"),
        ([0, 99], ValueError, "must ascend strictly"),
    ],
)
def test_numbers_of_features_are_checked(numbers, kind, message):
    affine = [nerva.SparseLinear(6, 3, density=0.5), nerva.Linear(6, 3)]
    for layer in [*affine, nerva.BatchNorm(6), nerva.MLP([6, 6], density=0.5, activation="srelu").layers[0]]:
        with pytest.raises(kind, match=f"kept {message}"):
            layer.take_features(np.array(numbers))
    for layer in affine:
        with pytest.raises(kind, match=f"inputs {message}"):
            layer.take_features(np.arange(3), np.array(numbers))
    with pytest.raises(kind, match=f"weights {message}"):
        affine[1].remove_weights(np.array(numbers))
