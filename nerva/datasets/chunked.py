"""Samples that are more than fit in memory, read by chunks, in an order that is random and still reads large pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerva.datasets.columns import is_table
from nerva.datasets.dataset import Standardized
from nerva.datasets.sources import CSRRows, dtype_of, name_of, open_rows
from nerva.validation import as_generator, check_integer

Rows = NDArray[np.int64]
CHUNK_BYTES = 1 << 21
WINDOW_BYTES = 1 << 28


class Chunked:
    """Samples on disk, read by chunks while a network trains on them: X of `fit`, `evaluate` and `predict`.

    A chunk is rows that are read at once. In every epoch the chunks come in a new random order; as many of them as a
    window has are in memory together, and their rows are shuffled. A thread reads the next window meanwhile, so that
    two windows are in memory, `nbytes` in all. What is read is trained on with the same bits as in memory, in the same
    order.

    Parameters
    ----------
    source : a path of a .npy file; a .parquet, .arrow or .feather file; or a .npz file of
        scipy.sparse.save_npz(..., compressed=False); a numpy.memmap, a data set of h5py, an array of Zarr, or any
        object with a length and slices, whose rows (n, ...) are flattened; or sparse rows (data, indices, indptr), as
        SciPy takes them, each of any such kind
    chunk : rows of a chunk; None is about 2 MiB of them, and what the source stores together
    window : chunks that are shuffled together; None is 256 MiB of them
    mean, std : of bytes, as of Standardized; both or none
    shape : (n, features) of sparse rows
    columns : the names of the columns of a .parquet, .arrow or .feather file; None for all

    Raises TypeError or ValueError, which names the argument, or the file; OSError where a file cannot be read.

    >>> np.save("X.npy", np.arange(12.0).reshape(6, 2))
    >>> X = Chunked("X.npy", chunk=2, window=1)
    >>> X.shape, X.order(0).tolist()
    ((6, 2), [5, 4, 0, 1, 2, 3])
    """

    def __init__(
        self,
        source: Any,
        *,
        chunk: int | None = None,
        window: int | None = None,
        mean: ArrayLike | None = None,
        std: ArrayLike | None = None,
        shape: tuple[int, int] | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        self.name = name_of(source[0] if isinstance(source, tuple) else source)
        self._rows = _opened(source, shape, columns)
        self.sparse = isinstance(self._rows, CSRRows)
        self.dtype = dtype_of(self._rows)
        self.shape = _shape_of(self._rows, self.name)
        if self.dtype.kind not in "iufb":
            raise TypeError(f"source has dtype {self.dtype}; it must be real numbers, such as float32 or uint8")
        self.scale, self.shift = _scaling(self, mean, std)
        self.starts: Rows = _starts(self, chunk)
        n = len(self.starts) - 1
        own = max(WINDOW_BYTES // max(self.chunk_bytes, 1), 1)
        self.window = min(own if window is None else check_integer(window, "window", least=1), n)

    @property
    def source(self) -> Any:
        """Where the rows lie, opened."""
        return self._rows

    @property
    def chunk_bytes(self) -> int:
        """The bytes of the largest chunk."""
        if isinstance(self._rows, CSRRows):
            entries = int(np.diff(self._rows.indptr[self.starts]).max())
            return entries * (4 + self.dtype.itemsize) + 8 * int(np.diff(self.starts).max())
        return int(np.diff(self.starts).max()) * self.shape[1] * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of the chunks in memory while a network trains on them: two windows, if there are so many."""
        return min(2 * self.window, len(self.starts) - 1) * self.chunk_bytes

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        kind = "sparse " if self.sparse else ""
        return (
            f"Chunked({self.name}: {len(self):,} {kind}samples of {self.shape[1]:,} features, {self.dtype}, in "
            f"{len(self.starts) - 1:,} chunks, {self.window:,} to a window)"
        )

    def order(self, rng: np.random.Generator | int | None, rows: Rows | None = None) -> Rows:
        """Return the numbers of the samples in the order of an epoch, which depends on `rng` and the chunks alone.

        Parameters
        ----------
        rng : generator or seed
        rows : ascending numbers of the samples that take part; None for all
        """
        rng = as_generator(rng)
        rows = np.arange(len(self), dtype=np.int64) if rows is None else rows
        cuts, order, at = np.searchsorted(rows, self.starts), np.empty_like(rows), 0
        chunks = rng.permutation(len(self.starts) - 1)
        for first in range(0, len(chunks), self.window):
            begin = at
            for chunk in chunks[first : first + self.window]:
                own = rows[cuts[chunk] : cuts[chunk + 1]]
                order[at : at + len(own)] = own
                at += len(own)
            rng.shuffle(order[begin:at])
        return order

    def chunk_of(self, rows: Rows) -> Rows:
        """Return the numbers of the chunks that samples are in."""
        size = int(self.starts[1])
        if len(self.starts) < 3 or (np.diff(self.starts[:-1]) == size).all():
            return rows // size
        return np.searchsorted(self.starts, rows, side="right") - 1

    def will_need(self, chunk: int) -> None:
        """Let the system begin to read a chunk, where it can: `read` is about to ask for it."""
        tell = getattr(self._rows, "will_need", None)
        if tell is not None:
            tell(int(self.starts[chunk]), int(self.starts[chunk + 1]))

    def read(self, first: int, last: int, out: NDArray[Any]) -> None:
        """Read the dense samples first to last - 1 into `out`, (last - first, features).

        Raises ValueError or TypeError where they have another shape or dtype than the source had, or fewer.
        """
        first, last = index(first), index(last)
        direct = getattr(self._rows, "read_into", None)
        if direct is not None and self._rows.dtype == out.dtype and out.flags.c_contiguous:
            direct(first, out)
            return
        found = np.asarray(self._rows[first:last])
        if found.dtype != self.dtype:
            raise TypeError(f"they have dtype {found.dtype}; the source had {self.dtype}")
        if len(found) != last - first:
            raise ValueError(f"there are {len(found)} rows, not {last - first}: the source has become shorter")
        if prod(found.shape[1:]) != self.shape[1]:
            raise ValueError(f"they have shape {found.shape[1:]}; the source had {self.shape[1]} features")
        with np.errstate(over="ignore"):  # what overflows is not finite, which is found later
            out[:] = found.reshape(len(found), -1)


def _opened(source: Any, shape: tuple[int, int] | None, columns: Sequence[str] | None) -> Any:
    """Return the rows of a source; raise TypeError or ValueError where an argument does not go with it."""
    if columns is not None and not is_table(source):
        raise ValueError("columns is given, but source is not the path of a .parquet, .arrow or .feather file")
    if isinstance(source, tuple) and len(source) == 3:
        if not isinstance(shape, (tuple, list)) or len(shape) != 2:
            raise ValueError(f"shape is {shape!r}; of (data, indices, indptr) it must be (n, features)")
        n, features = (check_integer(size, f"shape[{i}]", least=1) for i, size in enumerate(shape))
        return CSRRows(*source, (n, features))
    if shape is not None:
        raise ValueError(f"shape is {shape}, but source is not (data, indices, indptr), which it is for")
    if hasattr(source, "tocsr"):
        matrix = source.tocsr()
        return CSRRows(matrix.data, matrix.indices, matrix.indptr, matrix.shape)
    rows = open_rows(source, None if columns is None else list(columns))
    if isinstance(rows, CSRRows):
        return rows
    sliced = hasattr(rows, "__getitem__") and not isinstance(rows, dict)
    if not sliced or not (hasattr(rows, "shape") or hasattr(rows, "__len__")):
        raise TypeError(f"source is {type(source).__name__}; it must have a length and slices, or be a path")
    return rows


def _shape_of(rows: Any, name: str) -> tuple[int, int]:
    """Return (samples, features); raise ValueError where there are none."""
    shape = tuple(getattr(rows, "shape", ())) or (len(rows), *np.asarray(rows[0:1]).shape[1:])
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"source ({name}) has shape {shape}; it must be (samples, features), and not empty")
    return int(shape[0]), int(prod(shape[1:]))


def _scaling(X: Chunked, mean: ArrayLike | None, std: ArrayLike | None) -> tuple[Any, Any]:
    """Return scale and shift of bytes, as of Standardized; None for both without mean and std."""
    if mean is None and std is None:
        return None, None
    if mean is None or std is None:
        raise ValueError(f"{'mean' if mean is None else 'std'} is None, but the other is not; give both or neither")
    if X.sparse or X.dtype != np.uint8:
        kind = "sparse" if X.sparse else f"of {X.dtype}"
        raise TypeError(f"mean and std are given, but source is {kind}; they are for bytes, in units of bytes / 255")
    like = Standardized(np.zeros((1, X.shape[1]), np.uint8), mean, std)
    return like.scale, like.shift


def _starts(X: Chunked, chunk: int | None) -> Rows:
    """Return the first rows of the chunks, and the number of rows."""
    rows, n = X.source, len(X)
    if isinstance(rows, CSRRows):
        row_bytes = int(rows.indptr[-1] - rows.indptr[0]) * (4 + X.dtype.itemsize) / n + 8
    else:
        row_bytes = X.shape[1] * X.dtype.itemsize
    wanted = max(int(CHUNK_BYTES // row_bytes), 1)
    own = getattr(rows, "starts", None)  # of the row groups of a table
    if chunk is None and own is not None:
        return _joined(own, wanted)
    if chunk is not None:
        size = check_integer(chunk, "chunk", least=1)
    else:
        together = _stored_together(rows)
        size = max(wanted // together, 1) * together
    return np.append(np.arange(0, n, size), n).astype(np.int64)


def _stored_together(rows: Any) -> int:
    """Return how many rows HDF5 or Zarr stores together; 1 where any can be read."""
    for name in ("shards", "chunks"):
        stored = getattr(rows, name, None)
        if isinstance(stored, (tuple, list)) and stored and isinstance(stored[0], (int, np.integer)) and stored[0] > 0:
            return int(stored[0])
    return 1


def _joined(starts: Rows, wanted: int) -> Rows:
    """Return the boundaries of groups of rows with small neighbours joined, up to so many rows."""
    kept = [0]
    for start, end in pairwise(starts.tolist()):
        if end - kept[-1] > wanted and start > kept[-1]:
            kept.append(start)
    return np.array([*kept, starts[-1]], np.int64)
