"""The file formats that CIFAR-10 and CIFAR-100 share: archives, binary records, and images as samples."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerva.datasets.dataset import Standardized
from nerva.datasets.preprocess import Preprocess, statistics
from nerva.validation import check_flag

URL = "https://www.cs.toronto.edu/~kriz/"
IMAGE_SHAPE = (3, 32, 32)
FEATURES = 3 * 32 * 32
PIECE = 500  # images read at a time

Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]
# Reads one file, given as a stream, its size in bytes, and its name in an error.
Reader = Callable[[Any, int, str], None]


def empty(n: int) -> tuple[Bytes, Labels]:
    """Return uninitialized arrays for n images and their labels."""
    return np.empty((n, FEATURES), dtype=np.uint8), np.empty(n, dtype=np.int64)


def read_folder(folder: Path, readers: Mapping[str, Reader], title: str) -> None:
    """Read these files of the folder; raise FileNotFoundError if one is missing."""
    for name, read in readers.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: this batch of {title} is missing")
        with path.open("rb") as stream:
            read(stream, path.stat().st_size, str(path))


def read_archive(path: Path, readers: Mapping[str, tuple[str, Reader]], title: str) -> None:
    """Read files out of a .tar.gz in one pass; nothing is extracted to the disk.

    Parameters
    ----------
    path : the archive
    readers : by file name, the batch that the file holds and its reader
    title : the name of the data set, for errors

    Raises ValueError if a batch is missing or comes twice, or the archive is corrupt.
    """
    missing = {batch for batch, _ in readers.values()}
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:
                for member in tar:
                    file = PurePosixPath(member.name).name
                    content = tar.extractfile(member) if file in readers and member.isreg() else None
                    if content is None:
                        continue
                    batch, read = readers[file]
                    if batch not in missing:
                        raise ValueError(f"{path}: holds {batch} twice")
                    missing.remove(batch)
                    read(content, member.size, f"{path}: {member.name}")
            while stream.read(1 << 20):  # gzip verifies its checksum only when the end of the stream is read
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a .tar.gz archive, or a truncated or corrupt one ({error})") from error
    if missing:
        raise ValueError(f"{path}: this archive of {title} lacks {', '.join(sorted(missing))}")


def record_reader(pixels: Bytes, labels: Labels, classes: int, *, column: int = 0, columns: int = 1) -> Reader:
    """Return a reader of records of `columns` label bytes, of which `column` is the label, and 3,072 pixel bytes."""

    def read(stream: Any, size: int, where: str) -> None:
        record = columns + FEATURES
        expected = len(labels) * record
        if size != expected:
            raise ValueError(f"{where}: expected {expected} bytes, found {size}")
        for start in range(0, len(labels), PIECE):
            rows = slice(start, min(start + PIECE, len(labels)))
            data = stream.read((rows.stop - start) * record)
            if len(data) != (rows.stop - start) * record:
                raise ValueError(f"{where}: expected {size} bytes, but the file ended before")
            records = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
            labels[rows], pixels[rows] = records[:, column], records[:, columns:]
        check_labels(labels, classes, where)

    return read


def check_labels(labels: NDArray[Any], classes: int, where: str) -> None:
    """Raise ValueError if a label is not within 0 to classes - 1."""
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        raise ValueError(
            f"{where}: expected labels from 0 to {classes - 1}, found {labels[bad][0]} in record {bad.argmax()}"
        )


def check_options(preprocess: Preprocess, interleaved: bool, mean: Sequence[float], std: Sequence[float]) -> None:
    """Raise TypeError or ValueError for a wrong argument of `samples`, before anything is read."""
    statistics(preprocess, mean, std)
    check_flag(interleaved, "interleaved")


def samples(
    pixels: Bytes, preprocess: Preprocess, interleaved: bool, mean: Sequence[float], std: Sequence[float]
) -> Standardized:
    """Return images, stored as planes of red, green and blue, as samples; `interleaved` reorders them in place."""
    center, spread = statistics(preprocess, mean, std)
    if not interleaved:
        return Standardized(pixels, np.repeat(center, FEATURES // 3), np.repeat(spread, FEATURES // 3))
    for start in range(0, len(pixels), PIECE):
        part = pixels[start : start + PIECE]
        part[:] = part.reshape(-1, 3, FEATURES // 3).transpose(0, 2, 1).reshape(part.shape)
    return Standardized(pixels, np.tile(center, FEATURES // 3), np.tile(spread, FEATURES // 3))
