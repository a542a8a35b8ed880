"""CIFAR-10: 60,000 colour photographs in ten classes (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

import contextlib
import gzip
import os
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset, Split, Standardized

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
IMAGE_SHAPE = (3, 32, 32)
FEATURES = 3 * 32 * 32
FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")

# Mean and standard deviation of the training set's red, green and blue values / 255.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

_URL = "https://www.cs.toronto.edu/~kriz/"
_SHA256 = {
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
}
_RECORDS = 10_000  # images in a batch
_PIECE = 500  # images read at a time

Bytes = NDArray[np.uint8]


def cifar10(dir: str | os.PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """Read CIFAR-10, and download it first where there is none.

    The folder to look in is ``dir``, or else what the environment variable NERVA_DATA names, or else the user's cache.
    It may be, or hold, ``cifar-10-batches-bin`` or ``cifar-10-batches-py``, or hold ``cifar-10-binary.tar.gz`` or
    ``cifar-10-python.tar.gz``; ``dir`` may also be one of these archives. An archive is read as it is, not extracted.

    Parameters
    ----------
    dir : str or path, optional
        A folder, or an archive.
    download : bool
        Whether to download the binary version (170 MB) into the folder where nothing is found in it.

    Returns
    -------
    Dataset
        50,000 training and 10,000 test images. ``X`` is ``Standardized`` by channel, with 3,072 features: 1,024 of
        the red channel, row by row, then green, then blue.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, lacks a batch, or holds no CIFAR-10 and ``download`` is false.
    ValueError
        If a file is truncated, corrupt or not what its name says, or the download has the wrong checksum.
    ConnectionError
        If the download fails.
    """
    place = _place(dir)
    source = _find(place)
    if source is None:
        if not download:
            raise FileNotFoundError(
                f"no CIFAR-10 in {place}: looked for {', '.join(FOLDERS + ARCHIVES)}; it is at {_URL}{ARCHIVES[0]}"
            )
        source = _download(place)

    train = np.empty((5 * _RECORDS, FEATURES), dtype=np.uint8), np.empty(5 * _RECORDS, dtype=np.int64)
    test = np.empty((_RECORDS, FEATURES), dtype=np.uint8), np.empty(_RECORDS, dtype=np.int64)
    slots = {BATCHES[b]: tuple(a[b * _RECORDS : (b + 1) * _RECORDS] for a in train) for b in range(5)}
    slots[BATCHES[5]] = test
    if source.is_dir():
        _read_folder(source, slots)
    else:
        _read_archive(source, slots)
    mean, std = np.repeat(MEAN, FEATURES // 3), np.repeat(STD, FEATURES // 3)
    first, second = (Split(Standardized(pixels, mean, std), labels) for pixels, labels in (train, test))
    return Dataset("cifar10", first, second, CLASSES, IMAGE_SHAPE)


def _place(dir: str | os.PathLike[str] | None) -> Path:
    """Give the folder or archive to look in; only the user's cache need not exist."""
    origin = "dir"
    if dir is None and os.environ.get("NERVA_DATA"):
        dir, origin = os.environ["NERVA_DATA"], "NERVA_DATA"
    if dir is None:
        import pooch

        return Path(pooch.os_cache("nerva"))
    place = Path(dir).expanduser()
    if not place.exists():
        raise FileNotFoundError(
            f"{place} ({origin}) does not exist: name a folder or archive that holds CIFAR-10, "
            f"or create the folder (mkdir -p {place}) to have CIFAR-10 downloaded into it"
        )
    return place


def _find(place: Path) -> Path | None:
    """Give the folder of batches or the archive that is, or lies in, ``place``; None where there is neither."""
    if place.is_file():
        return place
    if place.name in FOLDERS or any((place / (name + end)).exists() for name in BATCHES for end in (".bin", "")):
        return place
    return next((place / name for name in FOLDERS + ARCHIVES if (place / name).exists()), None)


def _read_folder(folder: Path, slots: dict[str, tuple[NDArray[Any], ...]]) -> None:
    binary = folder.name == FOLDERS[0] or any((folder / f"{name}.bin").exists() for name in BATCHES)
    for name, (pixels, labels) in slots.items():
        path = folder / (f"{name}.bin" if binary else name)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: this batch of CIFAR-10 is missing")
        with path.open("rb") as stream:
            read = _read_binary if binary else _read_pickle
            read(stream, path.stat().st_size, str(path), pixels, labels)


def _read_archive(path: Path, slots: dict[str, tuple[NDArray[Any], ...]]) -> None:
    """Read the batches out of a .tar.gz from front to back; nothing is extracted to the disk."""
    missing = set(slots)
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:
                for member in tar:
                    file = PurePosixPath(member.name).name
                    name = file.removesuffix(".bin")
                    content = tar.extractfile(member) if name in slots and member.isreg() else None
                    if content is None:
                        continue
                    if name not in missing:
                        raise ValueError(f"{path}: holds {name} twice")
                    missing.remove(name)
                    read = _read_pickle if file == name else _read_binary
                    read(content, member.size, f"{path}: {member.name}", *slots[name])
            while stream.read(1 << 20):  # to the end, where gzip keeps the checksum of all that was read
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a .tar.gz archive, or a truncated or corrupt one ({error})") from error
    if missing:
        raise ValueError(f"{path}: this archive of CIFAR-10 lacks {', '.join(sorted(missing))}")


def _read_binary(stream: Any, size: int, where: str, pixels: Bytes, labels: NDArray[np.int64]) -> None:
    """Read records of one byte, the label, and 3,072 bytes, the pixels."""
    expected = len(labels) * (1 + FEATURES)
    if size != expected:
        raise ValueError(f"{where}: expected {expected} bytes, found {size}")
    for start in range(0, len(labels), _PIECE):
        rows = slice(start, min(start + _PIECE, len(labels)))
        data = stream.read((rows.stop - start) * (1 + FEATURES))
        if len(data) != (rows.stop - start) * (1 + FEATURES):
            raise ValueError(f"{where}: expected {size} bytes, but the file ended before")
        records = np.frombuffer(data, dtype=np.uint8).reshape(-1, 1 + FEATURES)
        labels[rows], pixels[rows] = records[:, 0], records[:, 1:]
    _check_labels(labels, where)


def _read_pickle(stream: Any, size: int, where: str, pixels: Bytes, labels: NDArray[np.int64]) -> None:
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
    _check_labels(np.asarray(found), where)
    labels[:] = found
    pixels[:] = np.frombuffer(data.content, dtype=np.uint8).reshape(pixels.shape, order=data.order)


def _check_labels(labels: NDArray[Any], where: str) -> None:
    bad = (labels < 0) | (labels >= len(CLASSES))
    if bad.any():
        raise ValueError(f"{where}: expected labels from 0 to 9, found {labels[bad][0]} in record {bad.argmax()}")


class _Array:
    """Stand for numpy.ndarray in a pickle: it takes the state, which is looked at, and makes no array of it."""

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


def _download(folder: Path) -> Path:
    """Download the binary version; the archive appears in the folder when it is complete and its checksum is right."""
    import pooch
    import requests

    file, url = ARCHIVES[0], _URL + ARCHIVES[0]
    by_hand = f"download it by hand into {folder}, or name a folder that holds it"
    try:
        with _progress() as bar:
            get = pooch.HTTPDownloader(progressbar=bar, timeout=30)
            return Path(pooch.retrieve(url, f"sha256:{_SHA256[file]}", fname=file, path=folder, downloader=get))
    except requests.RequestException as error:
        raise ConnectionError(f"cannot download {url} ({error}); {by_hand}") from error
    except ValueError as error:
        raise ValueError(f"{url} is not the official archive, so it was not kept ({error}); {by_hand}") from error
    except OSError as error:
        raise OSError(f"cannot store {file} in {folder}: {error}") from error


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """Show a progress bar on a terminal, with the methods that pooch calls."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("CIFAR-10", total=None)

        class Bar:
            total: int | None = None

            def update(self, count: int) -> None:
                progress.update(task, advance=count, total=self.total or None)

            def reset(self) -> None:
                progress.reset(task)

            def close(self) -> None:
                pass

        yield Bar()
