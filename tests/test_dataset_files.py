"""Data sets of files: CIFAR-100, MNIST and its kin, IDX and .npz files, and how pixels are preprocessed."""

import gzip
import hashlib
import importlib
import io
import os
import stat
import struct
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import nerva
from nerva.datasets import (
    Dataset,
    Split,
    Standardized,
    checkerboard,
    cifar10,
    cifar100,
    fashion_mnist,
    mini,
    mnist,
    npz,
    read_idx,
    save_npz,
)
from nerva.system.files import check_writable, replacing

# The functions have the names of their modules.
digits = importlib.import_module("nerva.datasets.mnist")
hundred = importlib.import_module("nerva.datasets.cifar100")
ten = importlib.import_module("nerva.datasets.cifar10")


@pytest.fixture(autouse=True)
def _no_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("NERVA_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """Serve files of this machine: `server.files` by path, `server.requests` in order."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests.append(self.path)
            data = server.files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


# ---- preprocessing ----

FORMULAS = {
    "standardize": lambda t, mean, std: (t / 255 - mean) / std,
    "original": lambda t, mean, std: 2 * (t / 255 - 0.5),
    "unit": lambda t, mean, std: t / 255,
    "none": lambda t, mean, std: t,
}


# ---- CIFAR-100 ----

SIZES = {"train": 23, "test": 11}


@pytest.fixture
def images(monkeypatch):
    """Make CIFAR-100 small: coarse labels, fine labels and pixels of each file."""
    monkeypatch.setattr(hundred, "_TRAIN", SIZES["train"])
    monkeypatch.setattr(hundred, "_TEST", SIZES["test"])
    monkeypatch.setattr("nerva.datasets.cifar.PIECE", 8)
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(0, 20, n), rng.integers(0, 100, n), rng.integers(0, 256, (n, 3072), dtype=np.uint8))
        for name, n in SIZES.items()
    }


def content(images):
    return {
        f"{name}.bin": np.column_stack((coarse.astype(np.uint8), fine.astype(np.uint8), pixels)).tobytes()
        for name, (coarse, fine, pixels) in images.items()
    }


def extract(folder, files):
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def pack(path, files, prefix="cifar-100-binary"):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (files | {"fine_label_names.txt": b"apple\n"}).items():
            member = tarfile.TarInfo(f"{prefix}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_cifar100_is_read_from_folder_and_archive(tmp_path, images, monkeypatch):
    folder = extract(tmp_path / "a" / "cifar-100-binary", content(images))
    (tmp_path / "b").mkdir()
    archive = pack(tmp_path / "b" / "cifar-100-binary.tar.gz", content(images))
    renamed = extract(tmp_path / "renamed", content(images))
    monkeypatch.setenv("NERVA_DATA", str(tmp_path / "b"))
    for place in (folder, tmp_path / "a", archive, tmp_path / "b", renamed, None):
        data = cifar100(place, download=False)
        assert (data.name, data.image_shape, len(data.classes)) == ("cifar100", (3, 32, 32), 100)
        for split, name in ((data.train, "train"), (data.test, "test")):
            np.testing.assert_array_equal(split.y, images[name][1])
            np.testing.assert_array_equal(split.X.pixels, images[name][2])
            assert split.y.dtype == np.int64
        red = (images["test"][2][:, :1024] / 255 - 0.5071) / 0.2673
        np.testing.assert_allclose(np.asarray(data.test.X)[:, :1024], red, atol=1e-5)
    data = cifar100(folder, coarse=True)
    np.testing.assert_array_equal(data.train.y, images["train"][0])
    assert len(data.classes) == 20


def test_cifar100_has_the_names_in_order():
    for names, count in ((hundred.FINE, 100), (hundred.COARSE, 20)):
        assert len(names) == len(set(names)) == count
        assert list(names) == sorted(names)


def test_cifar100_is_downloaded_once(tmp_path, images, server, monkeypatch):
    data = pack(tmp_path / "served", content(images)).read_bytes()
    server.files["/cifar-100-binary.tar.gz"] = data
    monkeypatch.setattr(hundred, "_URL", server.url)
    with pytest.raises(ValueError, match="is not the official file, so it was not kept"):
        cifar100()
    assert os.listdir(tmp_path / "cache" / "nerva") == []
    monkeypatch.setattr(hundred, "_MD5", md5(data))
    for _ in range(2):
        np.testing.assert_array_equal(cifar100().train.y, images["train"][1])
    assert len(server.requests) == 2
    assert os.listdir(tmp_path / "cache" / "nerva") == ["cifar-100-binary.tar.gz"]
    server.files.clear()
    (tmp_path / "new").mkdir()
    with pytest.raises(ConnectionError, match="404"):
        cifar100(tmp_path / "new")


def test_cifar100_names_what_is_wrong(tmp_path, images):
    files = content(images)
    cut, odd = files["test.bin"][:-1], b"\0\x64" + files["train.bin"][2:]
    wrong = [
        ({"test.bin": cut}, "test.bin: expected 33814 bytes, found 33813"),
        ({"train.bin": odd}, "train.bin: expected labels from 0 to 99, found 100 in record 0"),
    ]
    for i, (change, message) in enumerate(wrong):
        with pytest.raises(ValueError, match=message):
            cifar100(extract(tmp_path / f"wrong{i}", files | change))
        with pytest.raises(ValueError, match=message):
            cifar100(pack(tmp_path / f"{i}.tar.gz", files | change))
    with pytest.raises(FileNotFoundError, match=r"test.bin: this batch of CIFAR-100 is missing"):
        cifar100(extract(tmp_path / "half", {"train.bin": files["train.bin"]}))
    with pytest.raises(ValueError, match=r"this archive of CIFAR-100 lacks test.bin"):
        cifar100(pack(tmp_path / "half.tar.gz", {"train.bin": files["train.bin"]}))
    whole = pack(tmp_path / "whole.tar.gz", files).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.tar.gz: not a .tar.gz archive, or a truncated or corrupt one"):
        cifar100(tmp_path / "cut.tar.gz")
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no CIFAR-100 in .*looked for cifar-100-binary"):
        cifar100(tmp_path / "none", download=False)
    with pytest.raises(TypeError, match="coarse is 1"):
        cifar100(tmp_path, coarse=1)


@pytest.mark.parametrize("preprocess", [*FORMULAS, "original-python"])
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("read", [cifar10, cifar100], ids=["cifar10", "cifar100"])
def test_colour_images_are_preprocessed(tmp_path, images, monkeypatch, preprocess, interleaved, read):
    """Each variant's values by its formula, and the bytes kept as bytes."""
    if read is cifar100:
        folder, source, pixels = extract(tmp_path / "a", content(images)), hundred, images["test"][2]
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


# ---- IDX ----


def idx(array, code=0x08):
    array = np.asarray(array)
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, np.uint8), (9, np.int8), (0xB, np.int16), (0xC, np.int32), (0xD, np.float32), (0xE, float)]
)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (3, 0)])
def test_idx_is_read_in_every_type(tmp_path, code, dtype, shape):
    array = (np.arange(np.prod(shape)) * 5 - 3).reshape(shape).astype(dtype)
    for name, data in (("a", idx(array, code)), ("b.gz", gzip.compress(idx(array, code)))):
        (tmp_path / name).write_bytes(data)
        found = read_idx(tmp_path / name)
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, array)


def test_idx_names_what_is_wrong(tmp_path):
    good = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))
    packed = gzip.compress(good)
    for data, message in (
        (b"", "not an IDX file; it begins with nothing"),
        (b"PK\3\4", "not an IDX file; it begins with 50 4b 03 04"),
        (b"\0\0\7\1", "not an IDX file"),
        (b"\0\0\x08\0", "not an IDX file"),
        (good[:9], "the file ends within its header"),
        (good[:-1], "expected 12 bytes after the header, found 11"),
        (good + b"\0", "expected 12 bytes after the header, but there are more"),
        (b"\0\0\x08\3" + b"\xff" * 12, "expected 79228162458924105385300197375 bytes after the header, found 0"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", "no array has the shape"),
        (packed[:-9], "a truncated or corrupt .gz file"),
        (packed[:-6] + b"\0\0" + packed[-4:], "a truncated or corrupt .gz file"),
        (packed[:12] + b"\xff" + packed[13:], "a truncated or corrupt .gz file"),
    ):
        (tmp_path / "wrong").write_bytes(data)
        with pytest.raises(ValueError, match=rf"wrong: {message}"):
            read_idx(tmp_path / "wrong")
    with pytest.raises(FileNotFoundError, match="none: there is no such file"):
        read_idx(tmp_path / "none")
    with pytest.raises(ValueError, match="not a file"):
        read_idx(tmp_path)


# ---- MNIST and Fashion-MNIST ----

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


@pytest.mark.parametrize("preprocess", FORMULAS)
def test_drawn_images_are_preprocessed(preprocess):
    data = nerva.datasets.shapes(10, test=5, preprocess=preprocess)
    wanted = FORMULAS[preprocess](data.train.X.pixels, 0.5, 0.28)
    np.testing.assert_allclose(np.asarray(data.train.X), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(data.train.X.pixels, nerva.datasets.shapes(10).train.X.pixels)


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


# ---- .npz files of the original, and ours ----


def splits(X, y, test_X, test_y):
    return Dataset("mine", Split(X, y), Split(test_X, test_y), ("a", "b", "c"))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (13, 6), dtype=np.uint8)


LABELS = np.arange(13) % 3


@pytest.mark.parametrize("piece", [1, 100, 1 << 22])
@pytest.mark.parametrize("kind", ["standardized", "uint8", "float32", "float64", "fortran"])
def test_what_is_saved_is_read_again(tmp_path, pixels, monkeypatch, piece, kind):
    monkeypatch.setattr(importlib.import_module("nerva.datasets.npz"), "PIECE", piece)
    X = {
        "standardized": Standardized(pixels, 0.4, 0.3),
        "fortran": np.asfortranarray(pixels.astype(np.float64)),
    }.get(kind)
    X = pixels.astype(kind) if X is None else X
    path = tmp_path / "saved.npz"
    save_npz(path, splits(X, LABELS.astype(np.int32), X[:4], LABELS[:4]))
    assert os.listdir(tmp_path) == ["saved.npz"]
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["Ttest", "Ttrain", "Xtest", "Xtrain"]
        assert file["Xtrain"].dtype == (np.float64 if kind in ("float64", "fortran") else np.float32)
        assert file["Ttrain"].dtype == np.int64
        assert not file["Xtrain"].flags.f_contiguous
    data = npz(path)
    np.testing.assert_array_equal(data.train.X, np.asarray(X))
    np.testing.assert_array_equal(data.test.X, np.asarray(X[:4]))
    np.testing.assert_array_equal(data.train.y, LABELS)
    np.testing.assert_array_equal(data.test.y, LABELS[:4])


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, pixels, monkeypatch):
    path = tmp_path / "saved.npz"
    save_npz(path, splits(pixels, LABELS, pixels, LABELS))
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "open", full)
        with pytest.raises(OSError, match="No space left"):
            save_npz(path, splits(pixels[:5], LABELS[:5], pixels, LABELS))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["saved.npz"]
    path.chmod(0o600)
    save_npz(path, splits(pixels[:5], LABELS[:5], pixels, LABELS))
    assert len(npz(path).train.y) == 5
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(IsADirectoryError):
        save_npz(tmp_path, splits(pixels, LABELS, pixels, LABELS))
    with pytest.raises(FileNotFoundError):
        save_npz(tmp_path / "no" / "folder.npz", splits(pixels, LABELS, pixels, LABELS))


def test_a_link_leads_to_the_file_that_is_replaced(tmp_path, pixels):
    (tmp_path / "there").mkdir()
    link, file = tmp_path / "link.npz", tmp_path / "there" / "saved.npz"
    link.symlink_to(file)
    for count in (10, 5):  # where nothing is yet, and where something is
        save_npz(link, splits(pixels[:count], LABELS[:count], pixels, LABELS))
        assert link.is_symlink()
        assert len(npz(file).train.y) == count
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "there"]
    assert os.listdir(tmp_path / "there") == ["saved.npz"]


def test_what_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    check_writable(tmp_path / "new.npz")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, error, message in (
        (tmp_path, IsADirectoryError, "a folder, not a file"),
        (tmp_path / "no" / "folder.npz", FileNotFoundError, "cannot be written"),
        (pipe, OSError, "a device or the like"),
        ("/dev/null", OSError, "a device or the like"),
        (3, TypeError, "path is 3; it must be a string or a path"),
    ):
        with pytest.raises(error, match=message):
            check_writable(path)
        with pytest.raises(error, match=message), replacing(path):
            pass
    assert os.listdir(tmp_path) == ["pipe"]
    with pytest.raises(TypeError, match="path is 3"):
        nerva.load_weights(3)


def test_what_cannot_be_read_again_is_not_saved(tmp_path, pixels):
    for changes, error, message in (
        ({"X": pixels.astype(complex)}, ValueError, "the X of dataset.train is a ndarray of complex128"),
        ({"X": pixels[0]}, ValueError, r"uint8, \(6,\); it must be an array of numbers"),
        ({"X": pixels.tolist()}, ValueError, "the X of dataset.train is a list; it must be"),
        ({"X": np.where(pixels == pixels[7, 3], np.nan, 1.0)}, ValueError, "the X of dataset.train holds NaN"),
        ({"test_X": pixels[:, 1:]}, ValueError, "6 features a sample, but dataset.test has 5"),
        ({"y": LABELS[1:]}, ValueError, "the y of dataset.train must be 13 integer labels"),
        ({"y": LABELS.astype(float)}, ValueError, "the y of dataset.train must be 13 integer labels"),
        ({"test_y": LABELS - 1}, ValueError, "the y of dataset.test runs from -1"),
        ({"y": LABELS // 2}, ValueError, "dataset.test holds the label 2, but those of dataset.train end at 1"),
    ):
        data = splits(**({"X": pixels, "y": LABELS, "test_X": pixels, "test_y": LABELS} | changes))
        with pytest.raises(error, match=message):
            save_npz(tmp_path / "a.npz", data)
    with pytest.raises(TypeError, match="dataset is dict"):
        save_npz(tmp_path / "a.npz", {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("D", "K", "train", "test"), [(2, 2, 50, 10), (8, 5, 50, 10), (8, 5, 50, 50)])
def test_a_file_of_the_originals_writer_is_explained(tmp_path, D, K, train, test):
    """Its X has a sample a column, its T as many numbers as there are classes.

    Where both splits have equally many samples, and as many features as classes, nothing tells it from a good one.
    """
    rng = np.random.default_rng(0)
    arrays = {"Xtrain": rng.random((D, train)), "Xtest": rng.random((D, test))}
    arrays |= {"Ttrain": np.arange(K), "Ttest": np.arange(K)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match="looks like a file of the original Nerva's --save-dataset"):
        npz(tmp_path / "a.npz")


# ---- drawn by formula ----


@pytest.mark.parametrize("draw", [checkerboard, mini])
def test_drawn_data_are_the_same_for_the_same_seed(draw):
    data = draw(200, seed=3, test=50)
    assert data.train.X.dtype == np.float32
    assert data.train.y.dtype == np.int64
    assert len(data.train.X) == len(data.train.y) == 200
    assert len(data.test.X) == 50
    np.testing.assert_array_equal(draw(200, 3, test=1).train.X, data.train.X)
    np.testing.assert_array_equal(draw(1, 3, test=50).test.X, data.test.X)
    assert (draw(200, 4).train.X != data.train.X).any()
    assert data.train.X.min() >= 0
    assert data.train.X.max() < 1
    for arguments, error, message in (
        ({"n": 0}, ValueError, "n is 0; it must be at least 1"),
        ({"test": -1}, ValueError, "test is -1"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"n": 2.5}, TypeError, "n is 2.5; it must be an integer"),
    ):
        with pytest.raises(error, match=message):
            draw(**arguments)


def test_a_checkerboard_has_squares_of_two_colours():
    data = checkerboard(5000, squares=4)
    X, y = data.train
    column, row = (X * 4).astype(int).T
    np.testing.assert_array_equal(y, (column + row) & 1)
    assert abs(y.mean() - 0.5) < 0.05
    assert len(np.unique(row * 4 + column)) == 16
    with pytest.raises(ValueError, match="squares is 1; it must be at least 2"):
        checkerboard(squares=1)


def test_a_mini_set_is_learnt():
    data = mini(300, test=100)
    np.testing.assert_array_equal(data.train.y, data.train.X.argmax(axis=1))
    model = nerva.MLP([3, 16, 3], seed=0)
    model.fit(*data.train, epochs=20, batch_size=10, schedule=0.1)
    assert model.evaluate(*data.test).accuracy > 0.9
