"""Data sets: Standardized samples, the drawn shapes, CIFAR-10 in all its layouts, and .npz files."""

import gzip
import hashlib
import importlib
import io
import os
import pickle
import struct
import tarfile
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from nerva.datasets import Dataset, Split, Standardized, cifar10, npz, shapes

# `nerva.datasets.cifar10` is the function; this is the module of that name.
cifar = importlib.import_module("nerva.datasets.cifar10")

RECORDS = 20
BATCHES = [f"data_batch_{b}" for b in range(1, 6)] + ["test_batch"]
ARCHIVES = {"bin": "cifar-10-binary.tar.gz", "py": "cifar-10-python.tar.gz"}


# ---- Standardized ----


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, size=(12, 5), dtype=np.uint8)


def test_standardized_computes_the_values(pixels):
    mean, std = np.linspace(0.1, 0.9, 5), np.linspace(0.2, 0.4, 5)
    X = Standardized(pixels, mean, std)
    expected = (pixels / 255 - mean) / std
    values = np.asarray(X)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, atol=2e-6)
    np.testing.assert_array_equal(values, pixels * X.scale + X.shift)
    np.testing.assert_array_equal(X[3], values[3])
    np.testing.assert_array_equal(X[np.int64(-1)], values[-1])
    assert np.asarray(X, dtype=np.float64).dtype == np.float64
    np.testing.assert_allclose(Standardized(pixels, 0.5, 0.25), (pixels / 255 - 0.5) / 0.25, atol=2e-6)


def test_standardized_describes_itself(pixels):
    X = Standardized(pixels, 0.5, 0.25)
    assert (X.shape, X.ndim, X.dtype, len(X), X.nbytes) == ((12, 5), 2, np.float32, 12, 60 + 20 + 20)
    assert X.scale.dtype == X.shift.dtype == np.float32
    assert X.scale.shape == X.shift.shape == (5,)
    assert "12 samples of 5 features" in repr(X)


def test_standardized_selects_samples(pixels):
    X = Standardized(pixels, 0.5, 0.25)
    mask = pixels[:, 0] > 100
    indices = np.array([3, -1, 3])
    for rows in (slice(2, 7), slice(None, None, -2), indices, [3, 1], mask, [], slice(5, 5)):
        part = X[rows]
        chosen = np.asarray(rows, dtype=np.intp) if isinstance(rows, list) else rows
        assert isinstance(part, Standardized)
        assert part.pixels.flags.c_contiguous
        assert part.scale is X.scale
        assert part.shift is X.shift
        np.testing.assert_array_equal(part.pixels, pixels[chosen])
    assert np.shares_memory(X[2:7].pixels, pixels)
    assert X.pixels is pixels


@pytest.mark.parametrize(
    "rows", [(0, 1), 1.5, None, "a", np.zeros((2, 2), int), np.zeros(2), 12, [12], np.ones(3, bool)]
)
def test_standardized_refuses_other_selections(pixels, rows):
    with pytest.raises(IndexError):
        Standardized(pixels, 0.5, 0.25)[rows]


def test_standardized_refuses_bad_input(pixels):
    for wrong, error, message in (
        (pixels.astype(np.float32), TypeError, "uint8, found float32"),
        (pixels.tolist(), TypeError, "uint8, found list"),
        (pixels[0], ValueError, r"found \(5,\)"),
        (pixels[:, :0], ValueError, r"found \(12, 0\)"),
    ):
        with pytest.raises(error, match=message):
            Standardized(wrong, 0.5, 0.25)
    for mean, std, message in (
        (np.zeros(4), 1.0, r"mean must be a scalar or have the shape \(5,\), found \(4,\)"),
        (0.0, np.ones((5, 1)), r"std must be a scalar .* found \(5, 1\)"),
        (np.nan, 1.0, "mean must be finite"),
        (0.0, np.inf, "std must be finite"),
        (0.0, [1, 1, 0, 1, 1], "std must be positive, found 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            Standardized(pixels, mean, std)
    with pytest.raises(ValueError, match="without a copy"):
        np.array(Standardized(pixels, 0.5, 0.25), copy=False)


def test_standardized_copies_what_is_not_contiguous(pixels):
    X = Standardized(np.asfortranarray(pixels), 0.5, 0.25)
    assert X.pixels.flags.c_contiguous
    np.testing.assert_array_equal(X.pixels, pixels)


# ---- shapes ----


def test_shapes_have_the_layout_of_images():
    data = shapes(203, seed=1, test=57)
    assert isinstance(data, Dataset)
    assert (data.name, len(data.classes), data.image_shape) == ("shapes", 10, (3, 32, 32))
    for split, n in ((data.train, 203), (data.test, 57)):
        assert isinstance(split, Split)
        assert split.X.shape == (n, 3072)
        assert split.X.pixels.dtype == np.uint8
        assert split.y.shape == (n,)
        assert split.y.dtype == np.int64
        counts = np.bincount(split.y, minlength=10)
        assert counts.max() - counts.min() == 1
        assert (np.diff(split.y) < 0).any()


def test_shapes_are_the_same_bytes_for_the_same_seed():
    def digest(split):
        return hashlib.sha256(split.X.pixels.tobytes() + split.y.astype("<i8").tobytes()).hexdigest()[:16]

    data = shapes(300, seed=0, test=100)
    assert (digest(data.train), digest(data.test)) == ("3028818e1d82bb54", "29b1245965ba2c07")
    assert digest(shapes(300, seed=0, test=7).train) == digest(data.train)
    assert digest(shapes(7, seed=0, test=100).test) == digest(data.test)
    assert digest(shapes(300, seed=1, test=7).train) != digest(data.train)
    assert not (data.test.X.pixels[:, None, ::97] == data.train.X.pixels[None, :, ::97]).all(axis=2).any()


def test_shapes_are_standardised():
    values = np.asarray(shapes(2000, test=1).train.X).reshape(2000, 3, 1024)
    np.testing.assert_allclose(values.mean(axis=(0, 2)), 0, atol=0.05)
    np.testing.assert_allclose(values.std(axis=(0, 2)), 1, atol=0.05)


def test_shapes_cover_the_pixels_they_are_named_for():
    """Compare without noise, at the centre: every shape as a small picture."""
    module = importlib.import_module("nerva.datasets.shapes")
    axis = np.arange(-4, 5, dtype=np.int32)
    u, v = np.meshgrid(axis, axis)
    drawn = {k: f(u, v, np.maximum(abs(u), abs(v)), np.int32(4)) for k, f in module.SHAPES.items()}
    areas = {name: int(mask.sum()) for name, mask in drawn.items()}
    assert areas["square"] == 81
    assert areas["frame"] == 81 - 25
    assert areas["disk"] == 49
    assert areas["ring"] == 49 - 13
    np.testing.assert_array_equal(drawn["rows"], drawn["columns"].T)
    for name in ("disk", "ring", "square", "frame", "plus", "cross"):
        np.testing.assert_array_equal(drawn[name], np.rot90(drawn[name]))
    np.testing.assert_array_equal(drawn["triangle"].sum(axis=1), [1, 1, 3, 3, 5, 5, 7, 7, 9])


def linear_accuracy(train_X, train_y, test_X, test_y):
    """Give the best test accuracy of a linear softmax classifier over three learning rates and all epochs."""
    best, rng = 0.0, np.random.default_rng(0)
    targets = np.eye(10, dtype=np.float32)[train_y]
    for rate in (1e-2, 1e-3, 1e-4):
        W, b = np.zeros((3072, 10), np.float32), np.zeros(10, np.float32)
        for _ in range(4):
            for batch in np.array_split(rng.permutation(len(train_X)), len(train_X) // 50):
                Y = train_X[batch] @ W + b
                P = np.exp(Y - Y.max(axis=1, keepdims=True))
                G = (P / P.sum(axis=1, keepdims=True) - targets[batch]) / len(batch)
                W -= rate * 10 * (train_X[batch].T @ G)
                b -= rate * 10 * G.sum(axis=0)
            best = max(best, float((np.argmax(test_X @ W + b, axis=1) == test_y).mean()))
    return best


def test_shapes_are_too_hard_for_a_linear_classifier():
    data = shapes(5000, seed=0, test=1000)
    train, test = np.asarray(data.train.X), np.asarray(data.test.X)
    assert linear_accuracy(train, data.train.y, test, data.test.y) < 0.35

    # The same classifier does well once the shapes are told from the background, so it is the images that are hard.
    def contrast(X):
        planes = X.reshape(-1, 3, 1024)
        return abs(planes - planes[:, :, :32].mean(axis=2, keepdims=True)).reshape(X.shape)

    assert linear_accuracy(contrast(train), data.train.y, contrast(test), data.test.y) > 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"n": 0}, "n must be at least 1, found 0"), ({"test": -1}, "test must be"), ({"seed": -1}, "seed must be")],
)
def test_shapes_refuse_impossible_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        shapes(**arguments)


# ---- CIFAR-10 ----


@pytest.fixture
def records(monkeypatch):
    """Make batches of 20 images: the labels and pixels of each."""
    monkeypatch.setattr(cifar, "_RECORDS", RECORDS)
    monkeypatch.setattr("nerva.datasets.cifar.PIECE", 8)
    monkeypatch.delenv("NERVA_DATA", raising=False)
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(0, 10, RECORDS), rng.integers(0, 256, (RECORDS, 3072), dtype=np.uint8)) for name in BATCHES
    }


def binary(labels, pixels):
    return np.column_stack((labels.astype(np.uint8), pixels)).tobytes()


def python2_pickle(labels, pixels, *, dtype=b"u1", fortran=False, content=None):
    """Pickle a batch as Python 2 did for the official archive, protocol 2 with its byte strings."""

    def string(text):
        return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text

    def number(value):
        return b"J" + struct.pack("<i", value)

    content = pixels.tobytes("F" if fortran else "C") if content is None else content
    rows, columns = map(number, pixels.shape)
    state = b"(K\x03" + string(b"|") + b"NNN" + number(-1) + number(-1) + b"K\x00tb"
    parts = [
        b"\x80\x02}(" + string(b"batch_label") + string(b"training batch 1 of 5"),
        string(b"labels") + b"](" + b"".join(map(number, labels.tolist())) + b"e",
        string(b"data") + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + string(b"b") + b"tR",
        b"(K\x01" + rows + columns + b"\x86cnumpy\ndtype\n(" + string(dtype) + b"K\x00K\x01tR" + state,
        (b"\x88" if fortran else b"\x89") + string(content) + b"tb",
        string(b"filenames") + b"](" + b"".join(string(b"%d.png" % i) for i in range(len(labels))) + b"eu.",
    ]
    return b"".join(parts)


def files(records, layout):
    """Give the files of a layout, as the official archives hold them."""
    make, end = (binary, ".bin") if layout == "bin" else (python2_pickle, "")
    content = {name + end: make(*batch) for name, batch in records.items()}
    return {"batches.meta.txt" if layout == "bin" else "batches.meta": b"airplane\n", **content, "readme.html": b"<p>"}


def extract(folder, content):
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def pack(path, content, prefix):
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo(prefix)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in content.items():
            member = tarfile.TarInfo(f"{prefix}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def check(data, records):
    train = [np.concatenate([records[name][k] for name in BATCHES[:5]]) for k in (0, 1)]
    assert (data.name, data.image_shape) == ("cifar10", (3, 32, 32))
    assert data.classes[0] == "airplane"
    assert data.classes[9] == "truck"
    for split, (labels, pixels) in ((data.train, train), (data.test, records["test_batch"])):
        assert split.y.dtype == np.int64
        np.testing.assert_array_equal(split.y, labels)
        np.testing.assert_array_equal(split.X.pixels, pixels)
    red, green, blue = np.asarray(data.test.X).reshape(RECORDS, 3, 1024).transpose(1, 0, 2)
    raw = records["test_batch"][1].reshape(RECORDS, 3, 1024) / 255
    np.testing.assert_allclose(red, (raw[:, 0] - 0.4914) / 0.2470, atol=1e-5)
    np.testing.assert_allclose(green, (raw[:, 1] - 0.4822) / 0.2435, atol=1e-5)
    np.testing.assert_allclose(blue, (raw[:, 2] - 0.4465) / 0.2616, atol=1e-5)


@pytest.mark.parametrize("layout", ["bin", "py"])
def test_cifar10_is_read_in_every_layout(tmp_path, records, layout, monkeypatch):
    prefix = f"cifar-10-batches-{layout}"
    content = files(records, layout)
    batches = extract(tmp_path / "a" / prefix, content)
    renamed = extract(tmp_path / "renamed", content)
    (tmp_path / "b").mkdir()
    archive = pack(tmp_path / "b" / ARCHIVES[layout], content, prefix)
    other = pack(tmp_path / "other.tgz", content, "./some/folder")
    for place in (tmp_path / "a", batches, renamed, tmp_path / "b", archive, other, str(archive)):
        check(cifar10(place, download=False), records)
    monkeypatch.setenv("NERVA_DATA", str(tmp_path / "b"))
    check(cifar10(download=False), records)


def test_cifar10_is_kept_as_bytes(tmp_path, records):
    data = cifar10(extract(tmp_path / "cifar-10-batches-bin", files(records, "bin")))
    assert data.train.X.nbytes == 5 * RECORDS * 3072 + 2 * 4 * 3072


def test_cifar10_in_fortran_order_is_read(tmp_path, records):
    content = files(records, "py") | {"data_batch_2": python2_pickle(*records["data_batch_2"], fortran=True)}
    check(cifar10(extract(tmp_path / "cifar-10-batches-py", content)), records)


def test_cifar10_that_is_nowhere_is_named(tmp_path, records, monkeypatch):
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match=r"missing \(dir\) does not exist.*mkdir -p"):
        cifar10(missing)
    monkeypatch.setenv("NERVA_DATA", str(missing))
    with pytest.raises(FileNotFoundError, match=r"missing \(NERVA_DATA\) does not exist"):
        cifar10()
    with pytest.raises(FileNotFoundError, match=r"no CIFAR-10 in .*cifar-10-binary.tar.gz"):
        cifar10(tmp_path, download=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("layout", ["bin", "py"])
def test_cifar10_names_a_missing_batch(tmp_path, records, layout):
    content = files(records, layout)
    lost = next(name for name in content if name.startswith("data_batch_4"))
    del content[lost]
    with pytest.raises(FileNotFoundError, match=f"{lost}: this batch of CIFAR-10 is missing"):
        cifar10(extract(tmp_path / f"cifar-10-batches-{layout}", content))
    with pytest.raises(ValueError, match=r"other.tar.gz: this archive of CIFAR-10 lacks data_batch_4$"):
        cifar10(pack(tmp_path / "other.tar.gz", content, "x"))


def damaged(records):
    """Give files that are wrong, and what the message has to say."""
    labels, pixels = records["data_batch_3"]
    bad = labels.copy()
    bad[7] = 10
    good = python2_pickle(labels, pixels)
    size = RECORDS * 3073
    yield "data_batch_3.bin", binary(labels, pixels)[:-1], f"expected {size} bytes, found {size - 1}"
    yield "data_batch_3.bin", binary(labels, pixels) + b"x", f"expected {size} bytes, found {size + 1}"
    yield "data_batch_3.bin", b"", f"expected {size} bytes, found 0"
    yield "data_batch_3.bin", binary(bad, pixels), "expected labels from 0 to 9, found 10 in record 7"
    yield "data_batch_3", python2_pickle(bad, pixels), "expected labels from 0 to 9, found 10 in record 7"
    yield "data_batch_3", python2_pickle(bad - 9, pixels), "expected labels from 0 to 9, found -"
    yield "data_batch_3", python2_pickle(labels[:-1], pixels), "expected 20 whole numbers as labels, found 19"
    yield "data_batch_3", python2_pickle(labels, pixels[:-1]), r"shape \(20, 3072\), found \(19, 3072\)"
    yield "data_batch_3", python2_pickle(labels, pixels, content=b"abc"), "expected 61440 bytes of data, found 3"
    yield "data_batch_3", python2_pickle(labels, pixels, dtype=b"O8"), "the array does not hold bytes"
    yield "data_batch_3", good[: len(good) // 2], "or a damaged one"
    yield "data_batch_3", b"", "or a damaged one"
    yield "data_batch_3", b"hello", "or a damaged one"
    yield "data_batch_3", pickle.dumps([1, 2], 2), "not a batch of CIFAR-10: it has no array 'data'"
    yield "data_batch_3", good.replace(b"U\x04data", b"U\x04Data"), "it has no array 'data'"
    yield "data_batch_3", good.replace(b"U\x06labels", b"U\x06Labels"), "no list 'labels'"


def test_cifar10_names_a_damaged_batch(tmp_path, records):
    for k, (name, data, message) in enumerate(damaged(records)):
        layout = "bin" if name.endswith(".bin") else "py"
        content = files(records, layout) | {name: data}
        for place in (
            extract(tmp_path / f"{k}" / f"cifar-10-batches-{layout}", content),
            pack(tmp_path / f"{k}.tar.gz", content, "x"),
        ):
            with pytest.raises(ValueError, match=f"{name}: .*{message}"):
                cifar10(place)


def test_cifar10_runs_no_code_of_a_pickle(tmp_path, records):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    class Sneaky:
        def __reduce__(self):
            return getattr, (np.ndarray, "tofile")

    for k, evil in enumerate((Evil(), {b"data": Sneaky()}, {b"labels": np.float64})):
        content = files(records, "py") | {"data_batch_1": pickle.dumps(evil, 2)}
        with pytest.raises(ValueError, match=r"data_batch_1: .*it asks for \w+\.\w+, which no batch"):
            cifar10(extract(tmp_path / f"{k}" / "cifar-10-batches-py", content))
    assert not (tmp_path / "executed").exists()


def test_cifar10_names_a_damaged_archive(tmp_path, records):
    content = files(records, "bin")
    good = pack(tmp_path / "good.tar.gz", content, "x").read_bytes()
    middle = len(good) // 2
    flipped = bytearray(good)
    flipped[middle] ^= 0x40
    unchecked = bytearray(good)
    unchecked[-6] ^= 1  # in gzip's checksum: only who reads to the end notices
    tar = gzip.decompress(good)
    padded = bytearray(gzip.compress(tar.ljust(1 << 20, b"\0")))
    padded[-6] ^= 1
    # A broken block in the midst of a batch: the archive is read in pieces of 1 MiB, and the second begins there.
    filled = gzip.decompress(pack(tmp_path / "a.tar.gz", {"filler": bytes(900_000), **content}, "x").read_bytes())
    deflate = zlib.compressobj(wbits=31)
    broken = deflate.compress(filled[: 1 << 20]) + deflate.flush(zlib.Z_FULL_FLUSH) + b"\x07" * 20
    path = tmp_path / "bad.tar.gz"
    for data in (
        good[:middle],
        good[:-4],
        bytes(flipped),
        bytes(unchecked),
        bytes(padded),
        broken,
        tar,
        b"",
        b"hello" * 1000,
        gzip.compress(b"hello" * 1000),
        gzip.compress(tar[: len(tar) // 2]),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"bad.tar.gz: not a .tar.gz archive, or a truncated or corrupt one"):
            cifar10(path)
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(ValueError, match=r"bad.tar.gz: "):
        cifar10(path)


def test_cifar10_extracts_nothing_from_an_archive(tmp_path, records, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    content = {"../../escaped.txt": b"x", **files(records, "bin")}
    check(cifar10(pack(tmp_path / "a.tar.gz", content, "..")), records)
    assert os.listdir(home) == []
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "home"]


def test_cifar10_follows_no_link_and_takes_no_batch_twice(tmp_path, records):
    content = files(records, "bin")
    linked = {name: data for name, data in content.items() if name != "data_batch_1.bin"}
    path = pack(tmp_path / "a.tar.gz", linked, "x")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as target, tarfile.open(path) as source:
        link = tarfile.TarInfo("x/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        target.addfile(link)
        for member in source:
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
    path.write_bytes(tar.getvalue())
    with pytest.raises(ValueError, match="lacks data_batch_1"):
        cifar10(path)
    with pytest.raises(ValueError, match="holds data_batch_2 twice"):
        cifar10(pack(path, content | {"copy/data_batch_2.bin": content["data_batch_2.bin"]}, "x"))


# ---- download ----


@pytest.fixture
def server(tmp_path_factory, records, monkeypatch):
    """Serve a small archive from this machine, in the ways a server can."""
    path = pack(tmp_path_factory.mktemp("server") / "served.tar.gz", files(records, "bin"), "cifar-10-batches-bin")
    content = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests.append(self.path)
            self.send_response({"missing": 404, "broken": 500}.get(server.mode, 200))
            data = content[:-1] + b"?" if server.mode == "altered" else content
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if server.mode == "interrupted" else data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.requests = "good", []
    monkeypatch.setattr(cifar, "_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setitem(cifar._SHA256, ARCHIVES["bin"], hashlib.sha256(content).hexdigest())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_cifar10_is_downloaded_once(tmp_path, records, server, monkeypatch):
    check(cifar10(tmp_path), records)
    check(cifar10(tmp_path), records)
    assert server.requests == ["/" + ARCHIVES["bin"]]
    assert os.listdir(tmp_path) == [ARCHIVES["bin"]]
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    check(cifar10(), records)
    assert os.listdir(tmp_path / "cache" / "nerva") == [ARCHIVES["bin"]]


@pytest.mark.parametrize(
    ("mode", "error", "message"),
    [
        ("altered", ValueError, "is not the official file, so it was not kept"),
        ("missing", ConnectionError, "404"),
        ("broken", ConnectionError, "500"),
        ("interrupted", ConnectionError, "cannot download"),
    ],
)
def test_cifar10_keeps_nothing_of_a_failed_download(tmp_path, server, mode, error, message):
    server.mode = mode
    with pytest.raises(error, match=rf"http://127.*cifar-10-binary.tar.gz.*{message}|{message}.*http://127.*by hand"):
        cifar10(tmp_path)
    assert os.listdir(tmp_path) == []


def test_cifar10_says_so_when_offline(tmp_path, records, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=r"cannot download http://127.*by hand into"):
        cifar10(tmp_path)
    assert os.listdir(tmp_path) == []


def test_cifar10_names_the_folder_it_cannot_store_into(tmp_path, server, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pooch.retrieve", full)
    with pytest.raises(OSError, match=r"cannot store cifar-10-binary.tar.gz in .*No space left"):
        cifar10(tmp_path)


# ---- .npz ----


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "Xtrain": rng.standard_normal((6, 4)).astype(np.float32),
        "Ttrain": np.array([0, 1, 2, 2, 1, 0]),
        "Xtest": rng.standard_normal((3, 4)).astype(np.float32),
        "Ttest": np.array([2, 0, 1]),
    }


def save(path, arrays, **changes):
    np.savez(path, **(arrays | changes))
    return path


def test_npz_is_read(tmp_path, arrays):
    data = npz(str(save(tmp_path / "mine.npz", arrays)))
    assert (data.name, data.classes, data.image_shape) == ("mine", ("0", "1", "2"), None)
    for split, end in ((data.train, "train"), (data.test, "test")):
        np.testing.assert_array_equal(split.X, arrays["X" + end])
        np.testing.assert_array_equal(split.y, arrays["T" + end])
        assert split.X.dtype == np.float32
        assert split.y.dtype == np.int64
    np.savez_compressed(tmp_path / "small.npz", extra=1, **arrays)
    np.testing.assert_array_equal(npz(tmp_path / "small.npz").train.X, arrays["Xtrain"])


@pytest.mark.parametrize(
    ("stored", "read"), [("f8", "f8"), (">f4", "f4"), ("u1", "u1"), ("f2", "f4"), ("i8", "f4"), ("?", "f4")]
)
def test_npz_keeps_what_trains_and_converts_the_rest(tmp_path, arrays, stored, read):
    X = (arrays["Xtrain"] > 0).astype(stored)
    data = npz(save(tmp_path / "a.npz", arrays, Xtrain=np.asfortranarray(X)))
    assert data.train.X.dtype == np.dtype(read)
    assert data.train.X.dtype.isnative
    assert data.train.X.flags.c_contiguous
    np.testing.assert_array_equal(data.train.X, X)


def test_npz_flattens_images_and_takes_whole_float_labels(tmp_path, arrays):
    images = np.asfortranarray(np.arange(6 * 2 * 2).reshape(6, 2, 2).astype(np.float32))
    data = npz(save(tmp_path / "a.npz", arrays, Xtrain=images, Ttrain=arrays["Ttrain"].astype(np.float32)))
    np.testing.assert_array_equal(data.train.X, np.arange(24).reshape(6, 4))
    np.testing.assert_array_equal(data.train.y, arrays["Ttrain"])
    assert data.train.y.dtype == np.int64


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("Xtrain", np.zeros((5, 4)), "Xtrain has 5 samples, but Ttrain has 6 labels"),
        ("Ttest", [0, 1], "Xtest has 3 samples, but Ttest has 2 labels"),
        ("Xtest", np.zeros((3, 5)), "Xtrain has 4 features a sample, but Xtest has 5"),
        ("Xtest", np.zeros((0, 4)), r"Xtest is empty, its shape is \(0, 4\)"),
        ("Xtest", np.zeros((3, 0)), r"Xtest is empty, its shape is \(3, 0\)"),
        ("Xtest", np.zeros(3), r"Xtest must have the shape \(samples, features\), found \(3,\)"),
        ("Xtest", np.zeros((3, 4), complex), "Xtest must hold real numbers, found complex128"),
        ("Xtest", np.full((3, 4), "a"), "Xtest must hold real numbers, found <U1"),
        ("Xtest", np.full((3, 4), None), "Xtest cannot be read .*allow_pickle=False"),
        ("Xtrain", np.where(np.arange(24) == 9, np.nan, 0).reshape(6, 4), "Xtrain holds NaN or infinity.*sample 2"),
        ("Xtrain", np.where(np.arange(24) == 23, -np.inf, 0).reshape(6, 4), "Xtrain holds NaN or infinity.*sample 5"),
        ("Ttrain", [0, 1, 0.5, 1, 0, 1], "labels of Ttrain must be whole numbers, found 0.5 in sample 2"),
        ("Ttrain", [0, 1, np.nan, 1, 0, 1], "labels of Ttrain must be whole numbers, found nan in sample 2"),
        ("Ttrain", [0, 1, 1, np.inf, 0, 1], "labels of Ttrain must be below 1,000,000, found inf in sample 3"),
        ("Ttrain", [0, 1, 1, 10**12, 0, 1], "labels of Ttrain must be below 1,000,000, found 1000000000000"),
        ("Ttrain", np.full(6, 2**64 - 1, np.uint64), "labels of Ttrain must be below 1,000,000"),
        ("Ttest", [0, -1, 1], "labels of Ttest must not be negative, found -1 in sample 1"),
        ("Ttest", [0, 3, 1], "Ttest holds the label 3, but the labels of Ttrain end at 2"),
        ("Ttest", np.zeros((3, 3), int), r"Ttest must have the shape \(samples,\), one label each, found \(3, 3\)"),
        ("Ttest", [], "Ttest is empty"),
        ("Ttest", ["a", "b", "c"], "Ttest must hold whole numbers, found <U1"),
    ],
)
def test_npz_names_what_is_wrong(tmp_path, arrays, key, value, message):
    with pytest.raises(ValueError, match=rf"wrong.npz: .*{message}"):
        npz(save(tmp_path / "wrong.npz", arrays, **{key: np.asarray(value)}))


def test_npz_names_missing_arrays(tmp_path, arrays):
    del arrays["Ttrain"], arrays["Xtest"]
    with pytest.raises(ValueError, match=r"a.npz: lacks Ttrain, Xtest; it holds Xtrain, Ttest, y"):
        npz(save(tmp_path / "a.npz", arrays, y=np.zeros(1)))


def test_npz_names_an_unreadable_file(tmp_path, arrays):
    with pytest.raises(FileNotFoundError, match=r"none.npz: there is no such file"):
        npz(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=": not a file"):
        npz(tmp_path)
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, **arrays)
    good = path.read_bytes()
    single = io.BytesIO()
    np.save(single, arrays["Xtrain"])
    for data in (b"", b"hello", good[: len(good) // 2], single.getvalue()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"bad.npz: not an .npz file, or a truncated one"):
            npz(path)
    corrupt = bytearray(good)
    corrupt[80] ^= 0xFF  # in the first array's data
    path.write_bytes(corrupt)
    with pytest.raises(ValueError, match=r"bad.npz: Xtrain cannot be read"):
        npz(path)
