"""CIFAR-10: 60,000 colour photographs in ten classes (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

import hashlib
import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nerva.datasets.cifar import (
    IMAGE_SHAPE,
    URL,
    Bytes,
    Labels,
    Reader,
    check_labels,
    check_options,
    empty,
    read_archive,
    read_folder,
    record_reader,
    samples,
)
from nerva.datasets.dataset import Dataset, Split
from nerva.datasets.download import data_home
from nerva.datasets.download import download as fetch
from nerva.datasets.preprocess import Preprocess

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")

# Mean and standard deviation of the training set's red, green and blue values / 255.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

_URL = URL
_SHA256 = {
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
}
_RECORDS = 10_000  # images in a batch


def cifar10(
    dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    preprocess: Preprocess = "standardize",
    interleaved: bool = False,
) -> Dataset:
    """Read CIFAR-10, and download it first if it is missing.

    Parameters
    ----------
    dir : a folder or an archive; by default the folder that the environment variable NERVA_DATA names, or else the
        user's cache. A folder may be, or hold, cifar-10-batches-bin or cifar-10-batches-py, or hold
        cifar-10-binary.tar.gz or cifar-10-python.tar.gz. An archive is read as it is, not extracted
    download : whether to download the binary version (170 MB) into the folder if it holds no CIFAR-10
    preprocess : the feature that a pixel t becomes: "standardize" by channel, "original" 2 (t / 255 - 1/2) as in the
        original Nerva's C++ tool, "original-python" (t / 255 - mean) / std with the numbers of its Python tool, "unit"
        t / 255, "none" t
    interleaved : whether the features are red, green and blue of one pixel after another, as in the original's C++ tool

    Returns a Dataset of 50,000 training and 10,000 test images. X is Standardized, with 3,072 features: 1,024 of the
    red channel, row by row, then green, then blue. Interleaved, it has no image_shape, and cannot be augmented.

    Raises
    ------
    FileNotFoundError : the folder does not exist, lacks a batch, or holds no CIFAR-10 and `download` is False
    TypeError, ValueError : an argument is wrong; a file is truncated, corrupt or of another format; the download has
        the wrong checksum
    ConnectionError : the download fails
    """
    check_options(preprocess, interleaved, MEAN, STD)
    found = data_home(dir, "CIFAR-10")
    source = _find(found)
    if source is None:
        if not download:
            raise FileNotFoundError(
                f"no CIFAR-10 in {found}: looked for {', '.join(FOLDERS + ARCHIVES)}; it is at {_URL}{ARCHIVES[0]}"
            )
        source = fetch(_URL + ARCHIVES[0], f"sha256:{_SHA256[ARCHIVES[0]]}", found, "CIFAR-10")

    train, test = empty(5 * _RECORDS), empty(_RECORDS)
    slots = {BATCHES[b]: (train[0][own], train[1][own]) for b in range(5) for own in [_slice(b)]}
    slots[BATCHES[5]] = test
    binary = {name: record_reader(*slot, len(CLASSES)) for name, slot in slots.items()}
    pickled = {name: partial(_read_pickle, *slot) for name, slot in slots.items()}
    if source.is_dir():
        of_bytes = source.name == FOLDERS[0] or any((source / f"{name}.bin").exists() for name in BATCHES)
        in_folder = {f"{name}.bin": read for name, read in binary.items()} if of_bytes else pickled
        read_folder(source, in_folder, "CIFAR-10")
    else:
        in_archive: dict[str, tuple[str, Reader]] = {name: (name, read) for name, read in pickled.items()}
        in_archive |= {f"{name}.bin": (name, read) for name, read in binary.items()}
        read_archive(source, in_archive, "CIFAR-10")
    first, second = (
        Split(samples(pixels, preprocess, interleaved, MEAN, STD), labels) for pixels, labels in (train, test)
    )
    return Dataset("cifar10", first, second, CLASSES, None if interleaved else IMAGE_SHAPE)


def located(dir: str | os.PathLike[str] | None = None) -> tuple[Path, bool] | None:
    """Return the folder or archive that `cifar10` would read, and whether it is an official archive, by its SHA-256.

    None where it would download one. Raises FileNotFoundError as `cifar10` does.
    """
    source = _find(data_home(dir, "CIFAR-10"))
    if source is None:
        return None
    if source.is_dir():
        return source, False
    with source.open("rb") as stream:
        return source, hashlib.file_digest(stream, "sha256").hexdigest() in _SHA256.values()


def _slice(batch: int) -> slice:
    return slice(batch * _RECORDS, (batch + 1) * _RECORDS)


def _find(place: Path) -> Path | None:
    """Return the folder of batches or the archive that is, or lies in, `place`; None if there is neither."""
    if place.is_file():
        return place
    if place.name in FOLDERS or any((place / (name + end)).exists() for name in BATCHES for end in (".bin", "")):
        return place
    return next((place / name for name in FOLDERS + ARCHIVES if (place / name).exists()), None)


def _read_pickle(pixels: Bytes, labels: Labels, stream: Any, size: int, where: str) -> None:
    """Read a pickled dict of the labels, a list, and the data, an array of one image per row."""
    try:
        batch = _Unpickler(stream, encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise almost anything
        raise ValueError(f"{where}: not a batch of CIFAR-10's python version, or a damaged one ({error})") from error
    data = batch.get(b"data") if isinstance(batch, dict) else None
    found = batch.get(b"labels") if isinstance(batch, dict) else None
    if not isinstance(data, _Array) or not isinstance(found, list):
        raise ValueError(f"{where}: not a batch of CIFAR-10: it has no array 'data' or no list 'labels'")
    if data.shape != pixels.shape:
        raise ValueError(f"{where}: expected data of shape {pixels.shape}, found {data.shape}")
    if len(data.content) != pixels.size:
        raise ValueError(f"{where}: expected {pixels.size} bytes of data, found {len(data.content)}")
    if len(found) != len(labels) or not all(type(label) is int for label in found):
        raise ValueError(f"{where}: expected {len(labels)} whole numbers as labels, found {len(found)} items")
    check_labels(np.asarray(found), len(CLASSES), where)
    labels[:] = found
    pixels[:] = np.frombuffer(data.content, dtype=np.uint8).reshape(pixels.shape, order=data.order)


class _Array:
    """Stand for numpy.ndarray in a pickle: it checks the state, and makes no array of it."""

    shape: Any = None
    order: Any = "C"
    content: bytes = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, dtype, fortran, content = state
        if not isinstance(dtype, _DType) or dtype.name != b"u1" or not isinstance(content, bytes):
            raise pickle.UnpicklingError("the array does not hold bytes")
        self.content, self.order = content, "F" if fortran else "C"


class _DType:
    """Stand for numpy.dtype in a pickle."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name.encode() if isinstance(name, str) else name

    def __setstate__(self, state: Any) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Unpickle dicts, lists, numbers, strings and stand-ins of NumPy's arrays: nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return lambda *_: _Array()
        if module == "numpy" and name in ("ndarray", "dtype"):
            return _Array if name == "ndarray" else _DType
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of CIFAR-10 needs")
