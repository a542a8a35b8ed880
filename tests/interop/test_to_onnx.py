"""Networks in ONNX: what its checker accepts, and what onnxruntime computes."""

import json
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest

import nerva

from .exported import ACTIVATIONS, LOSSES, TOLERANCE, mixed, network, outputs, samples


def exported(folder, model, **settings):
    """The file as onnx reads it, checked, and a function of samples by onnxruntime."""
    nerva.export_onnx(model, folder / "net.onnx", **settings)
    graph = onnx.load(folder / "net.onnx")
    # Inference of shapes, the full check, takes a sparse initializer for no tensor.
    onnx.checker.check_model(graph, full_check=not graph.graph.sparse_initializer)
    session = onnxruntime.InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    return graph, lambda X: session.run(["output"], {"input": X})[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_every_activation(tmp_path, activation, dtype):
    model = network(activation, dtype)
    _, run = exported(tmp_path, model)
    for n in (1, 20):
        X = samples(model, n)
        np.testing.assert_allclose(run(X), outputs(model, X), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sparse", [True, False])
def test_every_layer_and_its_predictions(tmp_path, dtype, sparse):
    model = mixed(dtype)
    _, run = exported(tmp_path, model, sparse=sparse)
    X = samples(model, 200)
    found = run(X)
    assert found.dtype == model.dtype
    np.testing.assert_allclose(found, outputs(model, X), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    np.testing.assert_array_equal(found.argmax(axis=1), model.predict(X))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda case: type(case[0]).__name__)
def test_probabilities_are_those_of_predict_proba(tmp_path, loss):
    model = network("tanh", "float32", output=loss[1])
    model.loss = loss[0]
    X = samples(model)
    _, run = exported(tmp_path, model, proba=True)
    np.testing.assert_allclose(run(X), model.predict_proba(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sparse", [True, False])
def test_a_layer_without_weights_and_one_of_zeros_that_are_weights(tmp_path, sparse):
    empty, zeros = (nerva.SparseLinear(5, 4, density=density, rng=0, init="zeros") for density in (0.0, 0.5))
    for model in (nerva.Sequential([empty]), nerva.Sequential([zeros])):
        model.layers[0].bias = [1, 2, 3, 4]
        _, run = exported(tmp_path, model, sparse=sparse)
        np.testing.assert_array_equal(run(samples(model)), outputs(model, samples(model)))


def test_gelu_of_doubles_far_from_zero(tmp_path):
    model = nerva.Sequential([nerva.Linear(1, 1, init="zeros", dtype="float64", activation="gelu")])
    model.layers[0].weight[:] = 1
    X = np.concatenate([np.linspace(-40, 40, 999), [-1e6, 1e6]])[:, None]
    _, run = exported(tmp_path, model)
    np.testing.assert_allclose(run(X), outputs(model, X), rtol=1e-12, atol=1e-300)


def test_sparse_initializers_hold_the_weights_and_nothing_else(tmp_path):
    model = nerva.MLP([50, 40, 10], density=0.05, seed=0)
    graph, _ = exported(tmp_path, model)
    assert [onnx.numpy_helper.to_array(one.values).size for one in graph.graph.sparse_initializer] == [
        layer.nnz for layer in model.layers
    ]
    for one, layer in zip(graph.graph.sparse_initializer, model.layers, strict=True):
        dense = np.zeros(tuple(one.dims), np.float32)
        dense.reshape(-1)[onnx.numpy_helper.to_array(one.indices)] = onnx.numpy_helper.to_array(one.values)
        np.testing.assert_array_equal(dense, layer.dense_weight())
    small = (tmp_path / "net.onnx").stat().st_size
    nerva.export_onnx(model, tmp_path / "net.onnx", sparse=False)
    assert not onnx.load(tmp_path / "net.onnx").graph.sparse_initializer
    assert small < (tmp_path / "net.onnx").stat().st_size / 3


def test_classes_are_metadata_and_the_file_is_the_same_again(tmp_path):
    model = network("relu", "float32")
    model.classes = ("a", "b", "ü", '"')
    graph, _ = exported(tmp_path, model)
    assert {one.key: json.loads(one.value) for one in graph.metadata_props} == {"classes": [*model.classes]}
    before = (tmp_path / "net.onnx").read_bytes()
    nerva.export_onnx(model, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == before


def test_more_than_a_file_holds_is_refused_before_it_is_made(tmp_path):
    model = nerva.Sequential([nerva.SparseLinear(60_000, 50_000, density=1e-8)])
    with pytest.raises(ValueError, match=r"12,000,000,000 bytes.*sparse=True"):
        nerva.export_onnx(model, tmp_path / "net.onnx", sparse=False)
    nerva.export_onnx(model, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").stat().st_size < 300_000


def test_wrong_arguments_and_no_package(tmp_path, monkeypatch):
    model = network("relu", "float32")
    for settings in ({"sparse": 1}, {"proba": None}):
        with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
            nerva.export_onnx(model, tmp_path / "net.onnx", **settings)
    with pytest.raises(TypeError, match="model is int"):
        nerva.export_onnx(3, tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"nerva-sparse\[onnx\]"):
        nerva.export_onnx(model, tmp_path / "net.onnx")
    assert not [*tmp_path.iterdir()]
