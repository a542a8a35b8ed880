"""Samples: the rows of a user's data, dense or sparse, checked once before training or evaluation."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva._kernels.sparse_batch import SparseBatch
from nerva.datasets.chunked import Chunked
from nerva.datasets.dataset import Standardized
from nerva.losses import Loss
from nerva.losses.targets import weighted
from nerva.training.inputs import as_dense
from nerva.training.labels import encode
from nerva.training.trainable import Trainable

CHUNK = 1 << 24  # bytes checked at a time, so that checking takes little memory beside the data
PIECE = 1 << 22  # entries of sparse data checked at a time


class Entries(NamedTuple):
    """The arrays of a matrix in compressed sparse rows, as SparseSamples takes it."""

    data: Array
    indices: Array
    indptr: Array
    shape: tuple[int, int]

    def tocsr(self) -> "Entries":
        """Return itself, which it is already."""
        return self


class SparseSamples:
    """The rows of a user's sparse matrix, checked.

    Parameters
    ----------
    X : (samples, features), with a method `tocsr()` that returns `indptr`, `indices`, `data` and `shape`, as SciPy's
    features : that the network takes
    dtype : of the network: values must be finite in it
    name, first : of X in the messages of errors, and the number of its first sample there

    Of a CSR matrix, `data` is copied where it is of integers or booleans other than uint8, and `indptr` where it is
    int32; nothing else. Column indices need not be sorted within a row; values of duplicate entries are summed.

    Raises TypeError for another dtype, ValueError for another shape, no samples, an index out of range, an `indptr`
    that decreases, or values that are not finite.
    """

    def __init__(self, X: Any, features: int, dtype: npt.DTypeLike, name: str = "X", *, first: int = 0) -> None:
        if len(getattr(X, "shape", (0, 0))) == 2:  # SciPy makes no rows of a vector
            X = _as_csr(X, name)
        if len(X.shape) != 2 or X.shape[1] != features:
            raise ValueError(f"{name} has shape {tuple(X.shape)}; it must be (samples, {features})")
        if X.shape[0] == 0:
            raise ValueError(f"{name} has shape {tuple(X.shape)}; it holds no samples")
        self.features, self.dtype = features, np.dtype(dtype)
        self.indptr = _integers(X.indptr, f"{name}.indptr").astype(np.int64, copy=False)
        self.indices = _integers(X.indices, f"{name}.indices")
        if self.indices.dtype.type not in (np.int32, np.int64):
            self.indices = self.indices.astype(np.int64)
        self.data = _numbers(X.data, f"{name}.data", self.dtype)
        if len(self.indptr) != X.shape[0] + 1:
            raise ValueError(f"{name}.indptr has length {len(self.indptr)}; it must be samples + 1 = {X.shape[0] + 1}")
        if len(self.data) != len(self.indices):
            raise ValueError(f"{name}.data has length {len(self.data)}, {name}.indices {len(self.indices)}")
        falls = np.diff(self.indptr) < 0
        if self.indptr[0] < 0 or self.indptr[-1] > len(self.indices) or falls.any():
            at = int(falls.argmax()) + 1 if falls.any() else 0 if self.indptr[0] < 0 else X.shape[0]
            raise ValueError(
                f"{name}.indptr[{at}] is {self.indptr[at]}; it must ascend from 0 to at most {len(self.indices)}"
            )
        self._check_entries(name, first)

    def _check_entries(self, name: str, first_row: int) -> None:
        """Raise ValueError, which names the entry, for a column out of range or a value that is not finite."""
        for first in range(int(self.indptr[0]), int(self.indptr[-1]), PIECE):
            own = slice(first, min(first + PIECE, int(self.indptr[-1])))
            columns = self.indices[own]
            if columns.min() < 0 or columns.max() >= self.features:
                bad = int(((columns < 0) | (columns >= self.features)).argmax())
                raise ValueError(
                    f"{name}.indices[{first + bad}] is {columns[bad]}; it must be within 0 to {self.features - 1}"
                )
            with np.errstate(over="ignore"):
                finite = np.isfinite(self.data[own].astype(self.dtype, copy=False))
            if not finite.all():
                bad = int(finite.argmin())
                row = int(np.searchsorted(self.indptr, first + bad, side="right")) - 1
                raise ValueError(
                    f"{name}[{first_row + row}, {columns[bad]}] is {self.data[first + bad]}; every number must be "
                    f"finite in {self.dtype}"
                )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def batch(self, size: int) -> SparseBatch:
        """Return an empty batch with room for any `size` of the samples: for the entries of those with most."""
        return room(np.diff(self.indptr), size, self.features, self.dtype)

    def gather(self, rows: npt.NDArray[np.int64], batch: SparseBatch) -> None:
        """Copy these samples into the batch."""
        batch.gather(self.indptr, self.indices, self.data, rows)


class Samples:
    """The rows of a user's data, dense or sparse, checked.

    Parameters
    ----------
    X : (samples, features), of real numbers or booleans, a data frame of such columns, a datasets.Standardized, or a
        SciPy sparse matrix
    features, dtype, name : as of SparseSamples
    check : False leaves it to those who read the samples to look for values that are not finite; see `check_finite`

    Dense data are in `array`, with `scale` and `shift` of a Standardized; sparse data in `sparse`, without an `array`.
    Dense data of float32, float64, uint8 or booleans are copied only where the features of a sample are not contiguous.

    Raises TypeError for another dtype or a masked array, ValueError for another shape, no samples, or values that are
    not finite.
    """

    def __init__(self, X: object, features: int, dtype: npt.DTypeLike, name: str = "X", *, check: bool = True) -> None:
        self.checked = True  # whether all values are known to be finite
        self.scale: Array | None = None
        self.shift: Array | None = None
        self.sparse: SparseSamples | None = None
        self.features = features
        if hasattr(X, "tocsr"):
            self.sparse = SparseSamples(X, features, dtype, name)
            return
        if isinstance(X, Standardized):
            self.array, self.scale, self.shift = X.pixels, X.scale, X.shift
        else:
            self.array = as_dense(X, name, np.dtype(dtype))
        if self.array.ndim != 2 or self.array.shape[1] != features:
            raise ValueError(f"{name} has shape {self.array.shape}; it must be (samples, {features})")
        if len(self.array) == 0:
            raise ValueError(f"{name} has shape {self.array.shape}; it holds no samples")
        if not self._rows_are_usable():
            self.array = np.array(self.array, dtype=self.array.dtype.newbyteorder("="), order="C")
        self._name, self._dtype = name, np.dtype(dtype)
        self.checked = self.array.dtype.kind != "f"
        if check:
            self.check_finite()

    def _rows_are_usable(self) -> bool:
        """Whether the gathering kernel can read the rows: contiguous, aligned, one after another."""
        item = self.array.itemsize
        across, along = self.array.strides
        return (
            (along == item or self.array.shape[1] == 1)
            and across % item == 0
            and across >= item * self.array.shape[1]
            and self.array.flags.aligned
            and self.array.dtype.isnative
        )

    def lies_as(self, dtype: npt.DTypeLike) -> bool:
        """Whether the array holds the features as they are, in this dtype."""
        return self.sparse is None and self.array.dtype == dtype and self.scale is None

    def check_finite(self) -> None:
        """Raise ValueError, which names the entry, for one that is not finite in the dtype of the network."""
        if self.array.dtype.kind != "f":
            return
        name, dtype = self._name, self._dtype
        rows = max(1, CHUNK // max(1, self.array.shape[1] * self.array.itemsize))
        for first in range(0, len(self.array), rows):
            refuse_not_finite(self.array[first : first + rows], name, dtype, first)
        self.checked = True

    def __len__(self) -> int:
        return len(self.array if self.sparse is None else self.sparse)


class ChunkedSamples:
    """Samples that are read by chunks, checked as far as they can be without reading them.

    Parameters
    ----------
    X, features, dtype, name : as of Samples

    Raises ValueError for another number of features.
    """

    def __init__(self, X: Chunked, features: int, dtype: npt.DTypeLike, name: str = "X") -> None:
        if X.shape[1] != features:
            raise ValueError(f"{name} has shape {X.shape}; it must be (samples, {features})")
        self.X, self.features, self.dtype, self.name = X, features, np.dtype(dtype), name

    def __len__(self) -> int:
        return len(self.X)


def as_samples(
    X: object, features: int, dtype: npt.DTypeLike, name: str = "X", *, check: bool = True
) -> Samples | ChunkedSamples:
    """Return samples of any kind, checked; arguments and errors as of Samples."""
    if isinstance(X, Chunked):
        return ChunkedSamples(X, features, dtype, name)
    return Samples(X, features, dtype, name, check=check)


def labelled_samples(
    model: Trainable,
    X: object,
    y: npt.ArrayLike,
    loss: Loss,
    sample_weight: npt.ArrayLike | None = None,
    prefix: str = "",
    *,
    check: bool = True,
) -> tuple[Samples | ChunkedSamples, Any]:
    """Return samples X and targets y (weighted, where there are weights), checked for this network and this loss.

    `prefix` goes before "X" and "y" in the messages of errors; `check` is as of Samples.
    """
    samples = as_samples(X, model.in_features, model.dtype, f"{prefix}X", check=check)
    y = encode(y, getattr(model, "classes", None), f"{prefix}y")
    targets = loss.check_targets(y, len(samples), model.out_features, f"{prefix}y")
    return samples, weighted(targets, sample_weight, len(samples))


def room(lengths: npt.NDArray[np.int64], size: int, features: int, dtype: npt.DTypeLike) -> SparseBatch:
    """Return an empty batch with room for any `size` of samples that have so many entries."""
    n = len(lengths)
    size = min(size, n)
    return SparseBatch(features, dtype, size, int(np.partition(lengths, n - size)[n - size :].sum()))


def refuse_not_finite(rows: Array, name: str, dtype: np.dtype[Any], first: int) -> None:
    """Raise ValueError, which names the entry, for one that is not finite; `first` is the number of the first row."""
    finite = _finite(rows, dtype)  # once: another thread may write meanwhile
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name}[{first + row}, {column}] is {rows[row, column]}; every number must be finite in {dtype}"
        )


def _finite(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return which values are finite in a dtype."""
    if array.dtype == dtype:
        return np.isfinite(array)
    with np.errstate(over="ignore"):
        finite: Array = np.isfinite(array.astype(dtype))
    return finite


def _as_csr(X: Any, name: str) -> Any:
    """Return X in compressed sparse rows."""
    # SciPy converts without bounds checks: indices out of range would be read and written outside its arrays.
    kind = getattr(X, "format", "csr")
    try:
        if kind in ("csc", "bsr"):
            X.check_format(full_check=True)
        if kind == "coo" and X.nnz:
            for axis, coordinates in enumerate((X.row, X.col)):
                if coordinates.min() < 0 or coordinates.max() >= X.shape[axis]:
                    raise ValueError(f"its coordinates leave the shape {X.shape}")
        return X.tocsr()
    except ValueError as error:
        raise ValueError(f"{name} is no sparse matrix: {error}") from error


def _integers(array: Any, name: str) -> Array:
    """Return a contiguous vector of integers; raise TypeError for anything else."""
    array = np.asarray(array)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"{name} is {array.dtype} of shape {array.shape}; it must be a vector of integers")
    return _contiguous(array)


def _numbers(array: Any, name: str, dtype: np.dtype[Any]) -> Array:
    """Return a contiguous vector of values, integers other than uint8 as `dtype`; raise TypeError for anything else."""
    array = np.asarray(array)
    if array.ndim != 1 or array.dtype.kind not in "iubf" or (array.dtype.kind == "f" and array.itemsize not in (4, 8)):
        raise TypeError(
            f"{name} is {array.dtype} of shape {array.shape}; it must be a vector of float32, float64, integers or "
            "booleans"
        )
    if array.dtype.kind != "f" and array.dtype != np.uint8:
        array = array.astype(dtype)
    return _contiguous(array)


def _contiguous(array: Array) -> Array:
    """Return the vector in native byte order, contiguous and aligned, copied only if need be."""
    return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])
