"""IDX files, the format of MNIST: a dtype, a shape, and the elements of an array."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The third byte of the file (Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits).
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_PIECE = 1 << 24  # bytes read at a time, so that a corrupt header cannot allocate more memory than the file has bytes


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, plain or compressed by gzip, as an array.

    It has the shape and the dtype of the file (uint8, int8, int16, int32, float32 or float64), in native byte order.
    Raises FileNotFoundError if there is no such file, ValueError, which names the file, if it is no IDX file, has fewer
    or more bytes than its header says, or is corrupt.

    >>> with open("labels.idx", "wb") as file:
    ...     _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> read_idx("labels.idx")
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if compressed else path.open("rb") as stream:
            return _read(stream, path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: a truncated or corrupt .gz file ({error})") from error


def _read(stream: Any, path: Path) -> NDArray[Any]:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES or start[3] == 0:
        raise ValueError(f"{path}: not an IDX file; it begins with {start.hex(' ') or 'nothing'}")
    axes = start[3]
    lengths = stream.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise ValueError(f"{path}: the file ends within its header")
    shape = tuple(np.frombuffer(lengths, ">u4").tolist())
    dtype = np.dtype(TYPES[start[2]])
    expected = math.prod(shape) * dtype.itemsize
    content = bytearray()
    while len(content) < expected:
        piece = stream.read(min(_PIECE, expected - len(content)))
        if not piece:
            raise ValueError(f"{path}: expected {expected} bytes after the header, found {len(content)}")
        content += piece
    if stream.read(1):
        raise ValueError(f"{path}: expected {expected} bytes after the header, but there are more")
    try:
        numbers = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # more axes than NumPy has
        raise ValueError(f"{path}: no array has the shape {shape} ({error})") from error
    return numbers.astype(dtype.newbyteorder("="), copy=False)
