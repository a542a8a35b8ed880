"""The layout of weight files of version 1, written out: what is written stays so, and what was written is read."""

import json

import numpy as np
import pytest

import nerva

HEADER = {
    "nerva": 1,
    "layers": [
        {
            "kind": "SparseLinear",
            "in": 3,
            "out": 2,
            "activation": {"LeakyReLU": {"slope": 0.25}},
            "dtype": "float32",
            "bias": True,
            "drop_connect": 0.5,
        },
        {
            "kind": "BatchNorm",
            "in": 2,
            "out": 2,
            "activation": "identity",
            "dtype": "float32",
            "momentum": 0.25,
            "epsilon": 0.001,
        },
        {
            "kind": "Activation",
            "in": 2,
            "out": 2,
            "activation": {"SReLU": {"t_l": 0.0, "a_l": 0.0, "t_r": 1.0, "a_r": 1.0, "per": "neuron"}},
        },
        {"kind": "Dropout", "rate": 0.5},
        {
            "kind": "Linear",
            "in": 2,
            "out": 1,
            "activation": "tanh",
            "dtype": "float32",
            "bias": False,
            "drop_connect": 0.0,
        },
    ],
    "loss": {"kind": "MeanSquaredError", "classes": False},
}
ARRAYS = {
    "0.indptr": np.array([0, 2, 3], np.int32),
    "0.indices": np.array([0, 2, 1], np.int32),
    "0.values": np.array([1, -2, 3], np.float32),
    "0.bias": np.array([0.5, -0.5], np.float32),
    "1.running_mean": np.array([1, 2], np.float32),
    "1.running_variance": np.array([3, 4], np.float32),
    "1.gamma": np.array([0.5, 2], np.float32),
    "1.beta": np.array([-1, 1], np.float32),
    "2.srelu": np.array([0, 0, 0.5, 0.25, 1, 1, 2, 3], np.float32),
    "4.weight": np.array([[1.5, -0.5]], np.float32),
}


@pytest.fixture
def written():
    return {"header": np.frombuffer(json.dumps(HEADER).encode(), np.uint8), **ARRAYS}


def test_what_was_written_is_read(tmp_path, written):
    np.savez(tmp_path / "w.npz", **written)
    model = nerva.load_weights(tmp_path / "w.npz")
    assert repr(model.layers) == (
        "(SparseLinear(3, 2, density=0.5, activation=LeakyReLU(slope=0.25), dtype='float32', drop_connect=0.5), "
        "BatchNorm(2, momentum=0.25, epsilon=0.001, activation='identity', dtype='float32'), "
        "Activation(SReLU(t_l=0.0, a_l=0.0, t_r=1.0, a_r=1.0, per='neuron')), Dropout(0.5), "
        "Linear(2, 1, density=1, activation='tanh', dtype='float32'))"
    )
    assert model.layers[0].weight.to_dense().tolist() == [[1, 0, -2], [0, 3, 0]]
    assert model.layers[0].bias.tolist() == [0.5, -0.5]
    assert model.layers[1].running_variance.tolist() == [3, 4]
    assert model.layers[2].numbers.tolist() == [[0, 0], [0.5, 0.25], [1, 1], [2, 3]]
    assert model.layers[4].weight.tolist() == [[1.5, -0.5]]
    assert repr(model.loss) == "MeanSquaredError(classes=False)"


def test_what_is_written_stays_so(tmp_path, written):
    np.savez(tmp_path / "w.npz", **written)
    nerva.save_weights(nerva.load_weights(tmp_path / "w.npz"), tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as file:
        assert file.files == list(written)
        for name, array in written.items():
            assert file[name].dtype == array.dtype
            assert file[name].shape == array.shape
            assert file[name].tobytes() == array.tobytes()
