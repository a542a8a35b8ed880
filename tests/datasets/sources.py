"""The files of data sets as their authors publish them, but small, and the formulas of preprocessing."""

import hashlib
import io
import struct
import tarfile

import numpy as np

RECORDS = 20
BATCHES = [f"data_batch_{b}" for b in range(1, 6)] + ["test_batch"]
ARCHIVES = {"bin": "cifar-10-binary.tar.gz", "py": "cifar-10-python.tar.gz"}
SIZES = {"train": 23, "test": 11}

FORMULAS = {
    "standardize": lambda t, mean, std: (t / 255 - mean) / std,
    "original": lambda t, mean, std: 2 * (t / 255 - 0.5),
    "unit": lambda t, mean, std: t / 255,
    "none": lambda t, mean, std: t,
}


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def extract(folder, files):
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def pack(path, content, prefix="cifar-100-binary"):
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo(prefix)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in content.items():
            member = tarfile.TarInfo(f"{prefix}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


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


def cifar10_files(records, layout):
    """Give the files of a layout, as the official archives hold them."""
    make, end = (binary, ".bin") if layout == "bin" else (python2_pickle, "")
    content = {name + end: make(*batch) for name, batch in records.items()}
    return {"batches.meta.txt" if layout == "bin" else "batches.meta": b"airplane\n", **content, "readme.html": b"<p>"}


def check_cifar10(data, records):
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


def cifar100_files(images):
    return {"fine_label_names.txt": b"apple\n"} | {
        f"{name}.bin": np.column_stack((coarse.astype(np.uint8), fine.astype(np.uint8), pixels)).tobytes()
        for name, (coarse, fine, pixels) in images.items()
    }


def idx(array, code=0x08):
    array = np.asarray(array)
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()
