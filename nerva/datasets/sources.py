"""Where rows of samples lie: files, read at an offset, and anything else with a length and slices."""

from __future__ import annotations

import os
import weakref
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerva.datasets.columns import is_table, open_table
from nerva.datasets.direct import open_direct
from nerva.system.files import BAD_ZIP

Array = NDArray[Any]
CSR_MEMBERS = ("data", "indices", "indptr", "shape", "format")  # of scipy.sparse.save_npz


class FileArray:
    """An array in a file, C order, whose rows are read when they are asked for: the file is not mapped.

    A mapped file counts as memory of the process, and one that is cut short ends the process. One of more than half of
    the machine's memory is read past the system's cache, where its file system can.

    Parameters
    ----------
    path : of the file, which is opened and stays open
    offset : bytes before the array
    shape, dtype : of the array

    Raises OSError where the file cannot be opened, ValueError where it is shorter than the array.
    """

    def __init__(self, path: str | os.PathLike[str], offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.offset, self.shape, self.dtype = os.path.abspath(path), offset, shape, np.dtype(dtype)
        self._row = self.dtype.itemsize * prod(shape[1:])
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        there, wanted = os.fstat(self._descriptor).st_size, offset + shape[0] * self._row
        if there < wanted:
            raise ValueError(f"{path}: has {there:,} bytes; an array of shape {shape} ends at {wanted:,}")
        self._direct = open_direct(self.path, wanted - offset)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        first, last, _ = rows.indices(len(self))
        out = np.empty((max(last - first, 0), *self.shape[1:]), self.dtype)
        self.read_into(first, out)
        return out

    def read_into(self, first: int, out: Array) -> None:
        """Read rows from `first` on into an array, contiguous and of this dtype, that says by its size how many.

        Raises EOFError where the file ends before.
        """
        left, at = memoryview(out.reshape(-1).view(np.uint8).data), self.offset + first * self._row
        while left.nbytes:
            if self._direct is not None:
                count = self._direct.read_into(left, at)
            else:
                count = os.preadv(self._descriptor, [left], at)
            if count == 0:
                raise EOFError(f"the file ends at byte {at:,}: it was cut short after it was opened")
            left, at = left[count:], at + count

    def will_need(self, first: int, last: int) -> None:
        """Let the system begin to read rows first to last - 1, which are read soon."""
        if self._direct is not None:
            return
        size = (last - first) * self._row
        os.posix_fadvise(self._descriptor, self.offset + first * self._row, size, os.POSIX_FADV_WILLNEED)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileArray, (self.path, self.offset, self.shape, self.dtype)


class CSRRows:
    """Sparse rows whose entries are read when they are asked for; where rows begin is in memory, 8 bytes a row.

    Parameters
    ----------
    data, indices : entries, and the features they are of: arrays, or anything with a length and slices
    indptr : (rows + 1,) where the entries of each row begin, which is read whole
    shape : (rows, features)

    Raises TypeError or ValueError where they do not fit together.
    """

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        self.data, self.indices = open_rows(data), open_rows(indices)
        whole = indptr[:] if isinstance(indptr, FileArray) or not isinstance(indptr, np.ndarray) else indptr
        pointers = np.asarray(whole)
        if pointers.ndim != 1 or pointers.dtype.kind not in "iu":
            raise TypeError(f"indptr is {pointers.dtype} of shape {pointers.shape}; it must be a vector of integers")
        self.indptr: NDArray[np.int64] = pointers.astype(np.int64, copy=False)
        self.shape = (int(shape[0]), int(shape[1]))
        if len(self.indptr) != self.shape[0] + 1:
            raise ValueError(f"indptr has length {len(self.indptr)}; it must be rows + 1 = {self.shape[0] + 1}")
        entries = length_of(self.data)
        if entries != length_of(self.indices):
            raise ValueError(f"data has length {entries}, indices {length_of(self.indices)}")
        falls = np.diff(self.indptr) < 0
        if self.indptr[0] < 0 or self.indptr[-1] > entries or falls.any():
            at = int(falls.argmax()) + 1 if falls.any() else 0 if self.indptr[0] < 0 else self.shape[0]
            raise ValueError(f"indptr[{at}] is {self.indptr[at]}; it must ascend from 0 to at most {entries}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the entries."""
        return dtype_of(self.data)

    def __len__(self) -> int:
        return self.shape[0]

    def entries(self, first: int, last: int) -> tuple[Array, Array]:
        """Return the features and values of the entries of rows first to last - 1."""
        own = slice(int(self.indptr[first]), int(self.indptr[last]))
        indices, data = np.asarray(self.indices[own]), np.asarray(self.data[own])
        for name, found in (("indices", indices), ("data", data)):
            if found.shape != (own.stop - own.start,):
                raise ValueError(f"{name}[{own.start}:{own.stop}] has shape {found.shape}: it has changed")
        return indices, data


def open_rows(source: Any, columns: list[str] | None = None) -> Any:
    """Return what has a length and slices: of a path, what is in the file; of a mapped array, its file; else itself.

    Raises ValueError for a file of another kind.
    """
    if isinstance(source, (str, os.PathLike)):
        kind = Path(source).suffix.lower()
        if is_table(source):
            return open_table(source, columns)
        if kind == ".npy":
            return _of_npy(source)
        if kind == ".npz":
            return _of_npz(source)
        known = "must be .npy, .npz, .parquet, .arrow or .feather; of HDF5 and Zarr, give the opened data set"
        raise ValueError(f"source is {os.fspath(source)!r}; a file {known}")
    return _file_of(source) if isinstance(source, np.memmap) else source


def dtype_of(rows: Any) -> np.dtype[Any]:
    """Return the dtype of what has one, or of its first row."""
    dtype = getattr(rows, "dtype", None)
    return dtype if isinstance(dtype, np.dtype) else np.asarray(rows[0:1]).dtype


def length_of(rows: Any) -> int:
    """Return the number of rows."""
    return int(rows.shape[0]) if hasattr(rows, "shape") else len(rows)


def name_of(source: Any) -> str:
    """Return a few words for where rows lie, for messages."""
    path = source if isinstance(source, (str, os.PathLike)) else getattr(source, "path", None)
    path = getattr(source, "filename", path)  # of a mapped array
    path = getattr(getattr(source, "file", None), "filename", path)  # of a data set of h5py
    if isinstance(path, (str, os.PathLike)):
        inner = getattr(source, "name", None)
        return f"{os.fspath(path)}:{inner}" if isinstance(inner, str) else os.fspath(path)
    return type(source).__name__


def _of_npy(path: str | os.PathLike[str]) -> Any:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{os.fspath(path)}: is no .npy file, or a truncated one ({error})") from error
    if array.ndim and not array.flags.c_contiguous:
        raise ValueError(f"{os.fspath(path)}: is in Fortran order, a feature after another; write it in C order")
    return _file_of(array)


def _file_of(array: Any) -> Any:
    """Return a mapped array as one in a file, where its rows lie one after another there; else the array."""
    root = array
    while isinstance(root.base, np.memmap):
        root = root.base
    if not array.flags.c_contiguous or array.ndim == 0 or root.mode == "c" or array.filename is None:
        return array
    offset = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return FileArray(array.filename, offset, array.shape, array.dtype)


def _of_npz(path: str | os.PathLike[str]) -> CSRRows:
    """Return the matrix that scipy.sparse.save_npz wrote, not compressed."""
    found: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for name in CSR_MEMBERS:
                if name not in members:
                    raise ValueError("it must hold a matrix as scipy.sparse.save_npz writes it")
                if members[name].compress_type != zipfile.ZIP_STORED:
                    raise ValueError("it is compressed, and can be read only whole; write it with compressed=False")
                found[name] = _stored(path, archive, members[name])
    except (ValueError, *BAD_ZIP) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    if bytes(found["format"]) != b"csr":
        raise ValueError(f"{os.fspath(path)}: holds a {bytes(found['format']).decode()} matrix; it must be csr")
    rows, features = found["shape"][:]
    return CSRRows(found["data"], found["indices"], found["indptr"], (rows, features))


def _stored(path: str | os.PathLike[str], archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    """Return an array that lies in an archive as it is: a scalar, or where it is."""
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        head, size = stream.tell(), info.file_size
        if dtype.hasobject or head + prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{info.filename} is {dtype} of shape {shape}, which is not what it holds")
        if not shape:
            return stream.read(dtype.itemsize)
    with open(path, "rb") as file:
        file.seek(info.header_offset + 26)
        lengths = np.frombuffer(file.read(4), "<u2")
    return FileArray(path, info.header_offset + 30 + int(lengths.sum()) + head, shape, dtype)
