"""Numbers by PyTorch's names: in SciPy, and in safetensors files that other packages read."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import scipy.sparse

import nerva

from .exported import mixed, network, outputs, samples


def test_scipy_computes_the_network():
    model = network("tanh", "float64")
    arrays, X = nerva.to_scipy(model), samples(model)
    Z = X.T
    for i in range(3):
        Z = arrays[f"{i}.weight"] @ Z + arrays[f"{i}.bias"][:, None]
        Z = np.tanh(Z) if i < 2 else Z
    np.testing.assert_allclose(Z.T, outputs(model, X), rtol=1e-12)
    assert [type(arrays[f"{i}.weight"]) for i in range(3)] == [
        scipy.sparse.csr_array,
        np.ndarray,
        scipy.sparse.csr_array,
    ]


def test_names_are_those_of_pytorch_and_arrays_are_copies():
    model = mixed("float32")
    arrays = nerva.to_scipy(model)
    norm = model.layers[0]
    np.testing.assert_array_equal(arrays["0.weight"], norm.gamma)
    np.testing.assert_array_equal(arrays["0.bias"], norm.beta)
    np.testing.assert_array_equal(arrays["0.running_mean"], norm.running_mean)
    np.testing.assert_array_equal(arrays["0.running_var"], norm.running_variance)
    np.testing.assert_array_equal(arrays["7.t_r"], model.layers[7].numbers[2])
    assert "2.bias" not in arrays
    before = model.state_dict()
    for array in arrays.values():
        (array.data if scipy.sparse.issparse(array) else array)[...] = 7
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_safetensors_file_holds_csr_or_dense_weights(tmp_path, dtype):
    model = mixed(dtype)
    arrays = nerva.to_scipy(model)
    nerva.export_safetensors(model, tmp_path / "csr")
    nerva.export_safetensors(model, tmp_path / "dense", layout="dense")
    csr, dense = (safetensors.numpy.load_file(tmp_path / name) for name in ("csr", "dense"))
    assert set(dense) == set(arrays)
    for name, array in arrays.items():
        wanted = array.toarray() if scipy.sparse.issparse(array) else array
        np.testing.assert_array_equal(dense[name], wanted)
        assert dense[name].dtype == dtype
        if scipy.sparse.issparse(array):
            prefix = name.removesuffix("weight")
            parts = csr[f"{prefix}values"], csr[f"{prefix}indices"], csr[f"{prefix}indptr"]
            np.testing.assert_array_equal(scipy.sparse.csr_array(parts, shape=array.shape).toarray(), wanted)
            assert name not in csr
        else:
            np.testing.assert_array_equal(csr[name], wanted)
    with safetensors.safe_open(tmp_path / "csr", framework="np") as file:
        about = file.metadata()
    assert about["format"] == "pt"
    assert [layer["kind"] for layer in json.loads(about["layers"])] == [type(layer).__name__ for layer in model.layers]


def test_it_is_no_model_of_nerva_and_load_says_so(tmp_path):
    nerva.export_safetensors(network("relu", "float32"), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w.safetensors: its header is not that of a file of nerva"):
        nerva.load(tmp_path / "w.safetensors")


def test_what_is_refused(tmp_path):
    model = network("relu", "float32")
    with pytest.raises(ValueError, match="layout is 'coo'"):
        nerva.export_safetensors(model, tmp_path / "w", layout="coo")
    model.layers[0].bias[0] = np.nan
    for ask in (nerva.to_scipy, lambda model: nerva.export_safetensors(model, tmp_path / "w")):
        with pytest.raises(ValueError, match=r"model.layers\[0\] is SparseLinear, whose bias"):
            ask(model)
        with pytest.raises(TypeError, match="model is str"):
            ask("model")
    assert not [*tmp_path.iterdir()]
