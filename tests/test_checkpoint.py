"""Weights in files: what is read is what was written, and what is broken is refused before anything changes."""

import json
import zipfile
from functools import partial

import numpy as np
import pytest

import nerva


def network(dtype=np.float32, seed=0, bias=True, hidden=8, last=nerva.Linear, activation="tanh"):
    rng = np.random.default_rng(seed)
    return nerva.Sequential(
        [
            nerva.SparseLinear(20, 12, density=0.2, activation="leaky_relu", bias=bias, rng=rng, dtype=dtype),
            nerva.SparseLinear(12, hidden, density=0.4, activation=activation, bias=bias, rng=rng, dtype=dtype),
            last(hidden, 4, bias=bias, rng=rng, dtype=dtype),
        ]
    )


def everything(model):
    for layer in model.layers:
        weight = layer.weight
        yield from (weight.indptr, weight.indices, weight.values) if isinstance(weight, nerva.CSR) else (weight,)
        if layer.bias is not None:
            yield layer.bias


def assert_same(one, two):
    for a, b in zip(everything(one), everything(two), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def trained(**settings):
    model = network(**settings)
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((50, 20)).astype(model.dtype), rng.integers(0, 4, 50)
    model.fit(X, y, epochs=2, batch_size=10)
    return model, X


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


def of_every_kind(function, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return nerva.Sequential(
        [
            nerva.SparseLinear(20, 12, density=0.3, activation=function, rng=rng, dtype=dtype, drop_connect=0.1),
            nerva.BatchNorm(12, activation=function, momentum=0.2, epsilon=1e-4, dtype=dtype),
            nerva.Dropout(0.3, rng=rng),
            nerva.Linear(12, 8, rng=rng, dtype=dtype),
            nerva.Activation(function),
            nerva.Linear(8, 4, rng=rng, dtype=dtype),
        ],
        rng=rng,
    )


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


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"1.gamma": None}, r"it lacks the array 1\.gamma"),
        ({"1.gamma": np.ones(2, np.float32)}, "the arrays of layer 2 are not those"),
        ({"1.running_variance": -np.ones(12, np.float32)}, "1.running_variance holds a negative"),
        ({"1.running_mean": np.full(12, np.nan, np.float32)}, "1.running_mean must be 12 finite"),
        ({"0.srelu": np.ones(3, np.float32)}, "0.srelu must be 4 finite"),
        ({"0.srelu": np.ones(4)}, "0.srelu must be 4 finite"),
        ({"header": {"loss": {"kind": "Golden"}}}, "its loss is described wrongly"),
        ({"header": {"loss": 5}}, "its loss is described wrongly"),
        ({"header": {"layers": [5]}}, "layer 1 is described wrongly"),
        ({"header": {"layers": [{"kind": "Dropout", "rate": 2}]}}, "rate is 2"),
        ({"header": {"layers": [{"kind": "Activation", "in": 1, "out": 1, "activation": {"A": {}}}]}}, "layer 1 is"),
    ],
)
def test_broken_numbers_of_any_layer_are_refused(tmp_path, changed, message):
    path, other = tmp_path / "w.npz", of_every_kind("srelu", seed=5)
    nerva.save_weights(of_every_kind("srelu"), path)
    before = [p.values.copy() for p in other.parameters()]
    rewrite(path, **changed)
    for into in (None, other):
        with pytest.raises(ValueError, match=rf"w\.npz: .*{message}"):
            nerva.load_weights(path, into)
    for p, values in zip(other.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.values, values)


def test_what_the_layouts_have_no_place_for(tmp_path):
    class Own(nerva.Dropout):
        pass

    with pytest.raises(TypeError, match=r"model\.layers\[1\] is Own"):
        nerva.save_weights(nerva.Sequential([nerva.Linear(3, 2), Own(0.5)]), tmp_path / "w.npz")
    with pytest.raises(TypeError, match=r"model\.layers\[0\] has an SReLU; the dense layout"):
        nerva.save_weights(of_every_kind("srelu"), tmp_path / "w.npz", layout="dense")
    with pytest.raises(TypeError, match=r"model\.layers\[1\] is BatchNorm; the dense layout"):
        nerva.save_weights(of_every_kind("relu"), tmp_path / "w.npz", layout="dense")
    assert not list(tmp_path.iterdir())


def test_the_dense_layout_is_that_of_the_original(tmp_path, dtype):
    model, _ = trained(dtype=dtype)
    nerva.save_weights(model, tmp_path / "w.npz", layout="dense")
    with np.load(tmp_path / "w.npz") as file:
        assert sorted(file.files) == ["W1", "W2", "W3", "b1", "b2", "b3"]
        np.testing.assert_array_equal(file["W1"], model.layers[0].weight.to_dense())
        assert file["W3"].shape == (4, 8)
        assert file["b2"].shape == (8,)
    found = nerva.load_weights(tmp_path / "w.npz", activation="tanh")
    assert [type(layer) for layer in found.layers] == [nerva.SparseLinear, nerva.SparseLinear, nerva.Linear]
    assert [layer.activation for layer in found.layers] == ["tanh", "tanh", "identity"]
    assert_same(nerva.load_weights(tmp_path / "w.npz", network(dtype, seed=7)), model)


def test_files_that_the_original_scrambles(tmp_path):
    rng = np.random.default_rng(0)
    W = np.where(rng.random((3, 5)) < 0.5, rng.standard_normal((3, 5)), 0).astype(np.float32)
    scrambled = W.ravel().reshape(W.shape, order="F")  # its buffer by rows, said to be by columns
    path = tmp_path / "w.npz"
    np.savez(path, W1=np.asfortranarray(scrambled), b1=np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"w\.npz: W1 is stored in Fortran order.*order=\"scrambled\""):
        nerva.load_weights(path)
    np.testing.assert_array_equal(nerva.load_weights(path, order="scrambled").layers[0].weight.to_dense(), W)
    np.testing.assert_array_equal(nerva.load_weights(path, order="as it says").layers[0].weight.to_dense(), scrambled)


def test_a_huge_sparse_layer_stays_small(tmp_path):
    model = nerva.MLP([10**6, 10**5, 2], density=[1e-6, 0.01], seed=0)
    nerva.save_weights(model, tmp_path / "w.npz")
    assert (tmp_path / "w.npz").stat().st_size < 1.1 * model.nbytes
    assert_same(nerva.load_weights(tmp_path / "w.npz"), model)


def rewrite(path, **changed):
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays.pop("header").tobytes())
    header.update(changed.pop("header", {}))
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    arrays.update(changed)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"header": {"nerva": 99}}, "it is of version 99; this nerva reads version 1"),
        ({"header": {"layers": [{"kind": "Golden", "in": 1, "out": 1}]}}, "layer 1 is a Golden"),
        ({"0.values": None}, r"it lacks the array 0\.values"),
        ({"0.values": np.zeros(3, np.float32)}, "values"),
        ({"0.indices": np.zeros(48, np.int32)}, "indices"),
        ({"0.values": np.full(48, np.nan, np.float32)}, "a weight is NaN"),
        ({"2.weight": np.ones((4, 9), np.float32)}, "arrays of layer 3 are not those of its header"),
        ({"1.bias": np.ones(3, np.float32)}, r"bias has shape \(3,\)"),
        ({"1.bias": np.ones(8)}, "a bias is float64"),
        ({"0.indptr": np.zeros(13, np.int32)}, "indptr"),
        ({"1.bias": None}, r"it lacks the array 1\.bias"),
        ({"header": {"loss": {"kind": "Golden"}}}, "its loss is described wrongly"),
        (
            {"header": {"loss": {"kind": "SoftmaxCrossEntropy", "class_weights": [1, 2]}}},
            "class_weights of its loss are 2; there are 4 outputs",
        ),
        (
            {"header": {"loss": {"kind": "LogisticCrossEntropy", "positive_weights": [1, 2]}}},
            "positive_weights of its loss are 2; there are 4 outputs",
        ),
    ],
)
def test_broken_files_are_refused_and_change_nothing(tmp_path, changed, message):
    path, model, other = tmp_path / "w.npz", network(), network(seed=7)
    nerva.save_weights(model, path)
    before = [array.copy() for array in everything(other)]
    rewrite(path, **changed)
    for into in (None, other):
        with pytest.raises(ValueError, match=rf"w\.npz: .*{message}"):
            nerva.load_weights(path, into)
    for array, kept in zip(everything(other), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_truncated_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "w.npz"
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        nerva.load_weights(path)
    nerva.save_weights(network(), path)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"w\.npz"):
            nerva.load_weights(path)
    np.savez(path, x=np.ones(3))
    with pytest.raises(ValueError, match="it holds x; weights are W1"):
        nerva.load_weights(path)
    np.savez(path, header=np.frombuffer(b"[1, 2", np.uint8))
    with pytest.raises(ValueError, match="its header is broken"):
        nerva.load_weights(path)
    np.savez(path, header=np.frombuffer(b"[" * 100_000, np.uint8))
    with pytest.raises(ValueError, match="its header is broken"):
        nerva.load_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("W1.npy", b"golden")
    with pytest.raises(ValueError, match="W1 has shape"):
        nerva.load_weights(path)


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


def test_features_that_no_array_tells_are_those_of_the_header(tmp_path):
    """Those of an activation on its own: every layer agrees with its neighbours, and none with the header."""
    path = tmp_path / "w.npz"
    nerva.save_weights(nerva.Sequential([nerva.Linear(4, 3), nerva.Activation("relu"), nerva.Linear(3, 2)]), path)
    with np.load(path) as file:
        layers = json.loads(file["header"].tobytes())["layers"]
    layers[1]["in"] = layers[1]["out"] = 7
    rewrite(path, header={"layers": layers})
    with pytest.raises(ValueError, match="arrays of layer 2 are not those of its header"):
        nerva.load_weights(path)


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
