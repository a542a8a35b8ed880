"""How pixels become features."""

import importlib

import numpy as np
import pytest

import nerva
from nerva.datasets import cifar10, cifar100, fashion_mnist, mnist

from .sources import FORMULAS, cifar100_files, extract

# The functions have the names of their modules.
ten = importlib.import_module("nerva.datasets.cifar10")
hundred = importlib.import_module("nerva.datasets.cifar100")


@pytest.mark.parametrize("preprocess", [*FORMULAS, "original-python"])
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("read", [cifar10, cifar100], ids=["cifar10", "cifar100"])
def test_colour_images_are_preprocessed(tmp_path, images, monkeypatch, preprocess, interleaved, read):
    """Each variant's values by its formula, and the bytes kept as bytes."""
    if read is cifar100:
        folder, source, pixels = extract(tmp_path / "a", cifar100_files(images)), hundred, images["test"][2]
    else:
        monkeypatch.setattr(ten, "_RECORDS", 11)
        pixels = images["test"][2]
        batch = np.column_stack((images["test"][0].astype(np.uint8) % 10, pixels)).tobytes()
        folder, source = extract(tmp_path / "a", {f"{name}.bin": batch for name in ten.BATCHES}), ten
    data = read(folder, preprocess=preprocess, interleaved=interleaved)
    formula = FORMULAS.get(preprocess, FORMULAS["standardize"])
    mean, std = source.MEAN, source.STD
    if preprocess == "original-python":
        mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    wanted = formula(pixels.reshape(-1, 3, 1024), np.array(mean)[:, None], np.array(std)[:, None])
    if interleaved:
        wanted = wanted.transpose(0, 2, 1)
    values = np.asarray(data.test.X)
    np.testing.assert_allclose(values, wanted.reshape(len(pixels), -1), rtol=1e-5, atol=1e-5)
    assert data.test.X.pixels.dtype == np.uint8
    assert data.image_shape == (None if interleaved else (3, 32, 32))


@pytest.mark.parametrize("preprocess", FORMULAS)
def test_drawn_images_are_preprocessed(preprocess):
    data = nerva.datasets.shapes(10, test=5, preprocess=preprocess)
    wanted = FORMULAS[preprocess](data.train.X.pixels, 0.5, 0.28)
    np.testing.assert_allclose(np.asarray(data.train.X), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(data.train.X.pixels, nerva.datasets.shapes(10).train.X.pixels)


def test_wrong_options_are_refused_before_anything_is_read(tmp_path):
    for read in (cifar10, cifar100, mnist, fashion_mnist):
        with pytest.raises(ValueError, match=r"preprocess is 'zca'; it must be one of standardize, original, "):
            read(tmp_path / "nowhere", preprocess="zca")
        with pytest.raises(ValueError, match="preprocess is None"):
            read(tmp_path / "nowhere", preprocess=None)
    for read in (mnist, fashion_mnist):
        with pytest.raises(ValueError, match="for three channels; these images have 1"):
            read(tmp_path / "nowhere", preprocess="original-python")
    for read in (cifar10, cifar100):
        with pytest.raises(TypeError, match="interleaved is 'yes'"):
            read(tmp_path / "nowhere", interleaved="yes")
