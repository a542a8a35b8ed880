"""Arrays in an .npz file, read one by one: what they are is known, and can be checked, before any is expanded."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerva.system.files import BAD_ZIP, as_path
from nerva.system.tensors import is_tensors

LONGEST_HEADER = 10_000  # characters, as numpy's own limit
FREE = 1 << 28  # bytes that a file may always expand to
MOST_EXPANSION = 100  # times the size of the file, beyond that; weights hardly compress


class Head(NamedTuple):
    """What the header of an array says."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """The bytes of the array."""
        return prod(self.shape) * self.dtype.itemsize


class NpzArchive(Mapping[str, NDArray[Any]]):
    """The arrays of an .npz file by name; each is read when it is asked for, and not kept.

    `heads` holds shape and dtype of each, which agree with the sizes of the entries. Opening it raises
    FileNotFoundError if there is no such file; that and reading raise ValueError, which names the array, for a file
    that is damaged, holds anything but plain arrays, or would expand to far more than its own size.

    >>> np.savez("a.npz", x=np.arange(3.0))
    >>> with NpzArchive("a.npz") as arrays:
    ...     arrays.heads["x"].shape, arrays["x"].tolist()
    ((3,), [0.0, 1.0, 2.0])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = as_path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file")
        if not path.is_file():
            raise ValueError("not a file")
        try:
            self._file = zipfile.ZipFile(path)
        except (*BAD_ZIP, ValueError, NotImplementedError):
            if is_tensors(path):
                raise ValueError("not an .npz file, but of the safetensors layout: nerva.load reads a model") from None
            raise ValueError("not an .npz file, or a truncated one (no end of a zip archive found)") from None
        try:
            self.heads = {entry.filename.removesuffix(".npy"): self._head(entry) for entry in self._file.infolist()}
            if len(self.heads) < len(self._file.infolist()):
                raise ValueError("two of its arrays have one name")
            self._check_size(path.stat().st_size)
        except BaseException:
            self.close()
            raise

    def _check_size(self, size: int) -> None:
        """Raise ValueError where the arrays are out of all proportion to the size of the file."""
        expanded = sum(head.nbytes for head in self.heads.values())
        if expanded > max(FREE, MOST_EXPANSION * size):
            raise ValueError(
                f"its {size / 1e6:,.1f} MB would become {expanded / 1e6:,.0f} MB of arrays; weights do not compress "
                f"to less than 1 in {MOST_EXPANSION}"
            )

    def _head(self, entry: zipfile.ZipInfo) -> Head:
        """Return what the header of an entry says; raise ValueError where it is none, or the entry of another size."""
        name = entry.filename.removesuffix(".npy")
        try:
            with self._file.open(entry) as stream:
                head = _read_head(stream)
                if head.dtype.hasobject or head.nbytes + stream.tell() != entry.file_size:
                    raise ValueError(f"{head.dtype} of shape {head.shape} is not what it holds")
        except (*_FAILURES, *BAD_ZIP) as error:
            raise ValueError(f"{name} cannot be read ({error})") from error
        return head

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.heads:
            raise KeyError(name)
        try:
            # Entries are named with and without a suffix; heads knows that it is one of both.
            full = f"{name}.npy" if f"{name}.npy" in self._file.NameToInfo else name
            with self._file.open(full) as stream:
                array: NDArray[Any] = np.lib.format.read_array(stream, max_header_size=LONGEST_HEADER)
                stream.read(1)  # at the end, the checksum is compared
        except (*_FAILURES, *BAD_ZIP) as error:
            raise ValueError(f"{name} cannot be read ({error})") from error
        return array

    def __contains__(self, name: object) -> bool:
        return name in self.heads

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> NpzArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_FAILURES = (ValueError, EOFError, KeyError, NotImplementedError, OSError, RuntimeError)


def _read_head(stream: IO[bytes]) -> Head:
    """Read the header of an array, short of memory for one that claims to be long."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version} of the format is not known")
    at, wide = stream.tell(), 2 if version == (1, 0) else 4
    length = int.from_bytes(stream.read(wide), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header has {length:,} characters")
    stream.seek(at)
    read = np.lib.format.read_array_header_1_0 if wide == 2 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream, max_header_size=LONGEST_HEADER)
    if any(n < 0 for n in shape):
        raise ValueError(f"its shape is {shape}")
    return Head(shape, dtype)
