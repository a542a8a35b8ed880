"""Broken files of weights are refused, by name, before anything changes."""

import json
import zipfile

import numpy as np
import pytest

import nerva

from ..weights_reference import everything, network, of_every_kind, rewrite


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
        ({"header": {"layers": [{"kind": "Dropout", "rate": 0.2}]}}, "(it holds 1 layers|is no array of its layers)"),
        ({"header": {"layers": [{"kind": "Activation", "in": 1, "out": 1, "activation": {"A": {}}}]}}, "layers"),
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
    with pytest.raises(ValueError, match="W1 cannot be read"):
        nerva.load_weights(path)


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
