"""Weights in files: what is read is what was written."""

from functools import partial

import numpy as np
import pytest

import nerva

from ..weights_reference import assert_same, network, of_every_kind, trained


@pytest.mark.parametrize("bias", [True, False])
def test_there_and_back(tmp_path, dtype, bias):
    model, X = trained(dtype=dtype, bias=bias)
    nerva.save_weights(model, tmp_path / "w.npz")
    found = nerva.load_weights(tmp_path / "w.npz")
    assert_same(found, model)
    assert [layer.activation for layer in found.layers] == ["leaky_relu", "tanh", "identity"]
    np.testing.assert_array_equal(found.predict_proba(X), model.predict_proba(X))


def test_into_a_model_that_takes_the_pattern_too_and_trains_on(tmp_path, dtype):
    model, X = trained(dtype=dtype)
    nerva.save_weights(model, tmp_path / "w.npz")
    other = network(dtype, seed=7)
    assert nerva.load_weights(tmp_path / "w.npz", other) is other
    assert_same(other, model)
    before = other.layers[0].weight.values.copy()
    other.fit(X, np.zeros(50, np.int64), epochs=1)
    assert not np.array_equal(before, other.layers[0].weight.values)


FUNCTIONS = [
    "gelu",
    "srelu",
    "softmax",
    nerva.LeakyReLU(0.2),
    nerva.AllReLU(0.4, layer=2),
    nerva.TReLU(1e-3),
    nerva.GELU(tanh=True),
    nerva.SReLU(per="neuron"),
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_every_layer_there_and_back(tmp_path, dtype, function):
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((50, 20)).astype(dtype), rng.standard_normal((50, 4))
    model = of_every_kind(function, dtype)
    model.fit(X, Y, epochs=3, batch_size=10, loss=nerva.MeanSquaredError())
    path = tmp_path / "w.npz"
    nerva.save_weights(model, path)
    found = nerva.load_weights(path)
    assert str(found.layers) == str(model.layers)
    assert [vars(layer).get("activation") for layer in found.layers] == [
        vars(layer).get("activation") for layer in model.layers
    ]
    assert found.layers[0].drop_connect == 0.1
    assert isinstance(found.loss, nerva.MeanSquaredError)
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    other = of_every_kind(function, dtype, seed=5)
    other.loss = nerva.MeanSquaredError()
    nerva.load_weights(path, other)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    for p, q in zip(other.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(p.values, q.values)


def test_the_settings_of_a_loss_are_kept(tmp_path):
    model = network()
    model.loss = nerva.SoftmaxCrossEntropy(label_smoothing=0.1, class_weights=[1, 2, 3, 4])
    nerva.save_weights(model, tmp_path / "w.npz")
    found = nerva.load_weights(tmp_path / "w.npz").loss
    assert found.label_smoothing == 0.1
    np.testing.assert_array_equal(found.class_weights, [1, 2, 3, 4])


def test_a_model_takes_the_loss_of_the_file(tmp_path):
    model, other = network(), network(seed=3)
    model.loss = nerva.SoftmaxCrossEntropy(label_smoothing=0.2, class_weights=[1, 2, 3, 4])
    nerva.save_weights(model, tmp_path / "w.npz")
    nerva.load_weights(tmp_path / "w.npz", other)
    assert repr(other.loss) == repr(model.loss)
    nerva.save_weights(network(), tmp_path / "w.npz", layout="dense")
    nerva.load_weights(tmp_path / "w.npz", other, order="as it says")
    assert repr(other.loss) == repr(model.loss)  # such a file tells none


def test_a_loss_of_ones_own_is_not_kept(tmp_path):
    class Huber(nerva.SquaredError):
        pass

    model = network()
    model.loss = Huber()
    with pytest.warns(RuntimeWarning, match="the loss .* is not nerva's own"):
        nerva.save_weights(model, tmp_path / "w.npz")
    assert type(nerva.load_weights(tmp_path / "w.npz").loss) is nerva.SoftmaxCrossEntropy


def test_a_huge_sparse_layer_stays_small(tmp_path):
    model = nerva.MLP([10**6, 10**5, 2], density=[1e-6, 0.01], seed=0)
    nerva.save_weights(model, tmp_path / "w.npz")
    assert (tmp_path / "w.npz").stat().st_size < 1.1 * model.nbytes
    assert_same(nerva.load_weights(tmp_path / "w.npz"), model)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: nerva.MLP([20, 12, 4], density=0.2), "it holds 3 layers; the model has 2"),
        (lambda: network(last=partial(nerva.SparseLinear, density=0.5)), "layer 3 is a Linear; in the model it"),
        (lambda: network(hidden=9), r"layer 2 has shape \(8, 12\); in the model"),
        (lambda: network(activation="relu"), "layer 2 has 'tanh'; in the model it has 'relu'"),
        (lambda: network(np.float64), "layer 1 is float32; in the model it is float64"),
        (lambda: network(bias=False), "layer 1 has a bias; in the model that is not so"),
    ],
)
def test_a_model_of_another_shape_is_refused(tmp_path, other, message):
    nerva.save_weights(network(), tmp_path / "w.npz")
    with pytest.raises(ValueError, match=message):
        nerva.load_weights(tmp_path / "w.npz", other())


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(TypeError, match="model is str"):
        nerva.save_weights("w", tmp_path / "w.npz")
    with pytest.raises(ValueError, match="layout is 'golden'"):
        nerva.save_weights(network(), tmp_path / "w.npz", layout="golden")
    with pytest.raises(ValueError, match="order is 'golden'"):
        nerva.load_weights(tmp_path / "w.npz", order="golden")
    with pytest.raises(OSError, match="folder"):
        nerva.save_weights(network(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["nerva", "dense"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_could_not_be_loaded_are_not_saved(tmp_path, layout, bad):
    path, model = tmp_path / "w.npz", nerva.MLP([4, 8, 3], density=0.5)
    nerva.save_weights(model, path, layout=layout)
    before = path.read_bytes()
    model.layers[1].weight.values[2] = bad
    with pytest.raises(ValueError, match=r"model.layers\[1\] is SparseLinear, whose values holds NaN or infinity"):
        nerva.save_weights(model, path, layout=layout)
    assert path.read_bytes() == before
    normalized = nerva.Sequential([nerva.BatchNorm(4), nerva.Linear(4, 3)])
    normalized.layers[0].running_mean[0] = bad
    with pytest.raises(ValueError, match=r"model.layers\[0\] is BatchNorm, whose running_mean holds NaN"):
        nerva.save_weights(normalized, path)
