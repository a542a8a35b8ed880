"""MNIST and Fashion-MNIST."""

import gzip
import importlib
import os
from dataclasses import replace

import numpy as np
import pytest

import nerva
from nerva.datasets import fashion_mnist, mnist

from .sources import FORMULAS, idx, md5

# The functions have the names of their modules.
digits = importlib.import_module("nerva.datasets.mnist")

KIN = {"mnist": (mnist, "_MNIST", "mnist", "MNIST/raw"), "fashion": (fashion_mnist, "_FASHION", "fashion-mnist", "x")}


@pytest.fixture
def grey():
    """Give the four arrays of a small MNIST."""
    rng = np.random.default_rng(1)
    arrays = []
    for n in (17, 6):
        arrays += [rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.uint8)]
    return dict(zip(digits.FILES, arrays, strict=True))


def write(folder, arrays, end=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        data = idx(array)
        (folder / f"{name}{end}").write_bytes(gzip.compress(data) if end.endswith(".gz") else data)
    return folder


@pytest.mark.parametrize("read", [mnist, fashion_mnist])
@pytest.mark.parametrize("preprocess", FORMULAS)
def test_grey_images_are_read(tmp_path, grey, read, preprocess):
    source = digits._MNIST if read is mnist else digits._FASHION
    dotted = {name.replace("-idx", ".idx"): array for name, array in grey.items()}
    places = [
        write(tmp_path / "plain", grey),
        write(tmp_path / "gz", grey, ".gz"),
        write(tmp_path / "dots", dotted),
        *(
            write(tmp_path / str(i) / folder, grey).parents[folder.count("/")]
            for i, folder in enumerate(source.folders)
        ),
    ]
    for place in places:
        data = read(place, preprocess=preprocess, download=False)
        assert (data.name, data.image_shape, len(data.classes)) == (source.name, (1, 28, 28), 10)
        train_X, train_y, test_X, test_y = grey.values()
        for split, X, y in ((data.train, train_X, train_y), (data.test, test_X, test_y)):
            np.testing.assert_array_equal(split.X.pixels, X.reshape(len(X), 784))
            np.testing.assert_array_equal(split.y, y)
            wanted = FORMULAS[preprocess](X.reshape(len(X), 784), source.mean, source.std)
            np.testing.assert_allclose(np.asarray(split.X), wanted, rtol=1e-5, atol=1e-5)
            assert split.X.nbytes == len(X) * 784 + 2 * 4 * 784


def test_grey_images_are_augmented_in_training(tmp_path, grey):
    data = mnist(write(tmp_path / "mnist", grey))
    model = nerva.MLP([784, 16, 10], density=0.2)
    model.fit(*data.train, epochs=2, batch_size=5, augment=nerva.Augment(data.image_shape, padding=2, flip=False))


def test_a_folder_of_the_environment_tells_the_data_sets_apart(tmp_path, grey, monkeypatch):
    """Both have files of the same names: those that lie anywhere are taken for neither."""
    monkeypatch.setenv("NERVA_DATA", str(write(tmp_path / "data", grey)))
    for read in (mnist, fashion_mnist):
        with pytest.raises(FileNotFoundError, match="no train-images-idx3-ubyte"):
            read(download=False)
    write(tmp_path / "data" / "fashion-mnist", grey)
    assert len(fashion_mnist(download=False).train.y) == 17


@pytest.mark.parametrize("kin", KIN)
def test_what_is_missing_is_downloaded_once(tmp_path, grey, server, monkeypatch, kin):
    read, attribute, folder, _ = KIN[kin]
    served = {f"{name}.gz": gzip.compress(idx(array)) for name, array in grey.items()}
    sums = {name.removesuffix(".gz"): md5(data) for name, data in served.items()}
    monkeypatch.setattr(digits, attribute, replace(getattr(digits, attribute), url=server.url, md5=sums))
    server.files = {f"/{name}": data for name, data in served.items()}
    lost = server.files.pop("/t10k-labels-idx1-ubyte.gz")
    (tmp_path / "data").mkdir()
    with pytest.raises(ConnectionError, match=r"t10k-labels-idx1-ubyte.gz .*404"):
        read(tmp_path / "data")
    assert len(os.listdir(tmp_path / "data" / folder)) == 3
    server.files["/t10k-labels-idx1-ubyte.gz"] = lost[:-1]
    with pytest.raises(ValueError, match="not the official file"):
        read(tmp_path / "data")
    assert len(os.listdir(tmp_path / "data" / folder)) == 3
    server.files["/t10k-labels-idx1-ubyte.gz"] = lost
    for _ in range(2):
        np.testing.assert_array_equal(read(tmp_path / "data").test.y, grey["t10k-labels-idx1-ubyte"])
    assert len(server.requests) == 6
    np.testing.assert_array_equal(read().test.y, grey["t10k-labels-idx1-ubyte"])
    assert len(os.listdir(tmp_path / "cache" / "nerva" / folder)) == 4


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-images-idx3-ubyte", np.zeros((17, 28, 27), np.uint8), r"expected bytes of shape \(images, 28, 28\)"),
        ("train-images-idx3-ubyte", np.zeros((0, 28, 28), np.uint8), r"found uint8 of \(0, 28, 28\)"),
        ("train-images-idx3-ubyte", np.zeros(17, np.uint8), r"found uint8 of \(17,\)"),
        ("t10k-labels-idx1-ubyte", np.zeros(5, np.uint8), r"expected bytes of shape \(6,\), found uint8 of \(5,\)"),
        ("t10k-labels-idx1-ubyte", np.array([0, 1, 2, 10, 4, 5], np.uint8), "expected labels from 0 to 9, found 10 in"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_named(tmp_path, grey, name, array, message):
    with pytest.raises(ValueError, match=rf"{name}: .*{message}"):
        mnist(write(tmp_path / "mnist", grey | {name: array}))
    with pytest.raises(FileNotFoundError, match=f"no {name} of MNIST in"):
        mnist(write(tmp_path / "less", {other: a for other, a in grey.items() if other != name}), download=False)
    with pytest.raises(ValueError, match="a file; it must be a folder"):
        mnist(tmp_path / "mnist" / name)
