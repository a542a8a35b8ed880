"""The dense layout of the original Nerva: W1, b1, W2, ..., and the files that it scrambles."""

import numpy as np
import pytest

import nerva

from ..weights_reference import assert_same, network, of_every_kind, trained


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
