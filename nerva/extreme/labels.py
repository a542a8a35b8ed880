"""Labels of many samples as a sparse matrix, and how likely a label that applies is to be among them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva.validation import check_positive

Ints = npt.NDArray[np.int64]


class Labels(NamedTuple):
    """The labels of samples in compressed sparse rows: those of sample i are indices[indptr[i]:indptr[i + 1]].

    They are sorted, each once. `total` is the number of labels that there are.
    """

    indptr: Ints
    indices: Ints
    total: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def of(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return (label, place in `rows`) of every label of some samples, sorted by label."""
        lengths = self.indptr[rows + 1] - self.indptr[rows]
        places = np.repeat(np.arange(len(rows)), lengths)
        starts = np.repeat(self.indptr[rows] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        labels = self.indices[starts + np.arange(len(starts))]
        order = np.argsort(labels, kind="stable")
        return labels[order], places[order]


def as_labels(Y: Any, samples: int, count: int, name: str = "Y") -> Labels:
    """Return a SciPy sparse matrix (samples, labels), whose entries that are not zero are labels, as Labels.

    Raises TypeError for anything else, ValueError for another shape, an index out of range or a NaN.
    """
    if not hasattr(Y, "tocsr"):
        raise TypeError(f"{name} is {type(Y).__name__}; it must be a SciPy sparse matrix (samples, labels)")
    if Y.shape != (samples, count):
        raise ValueError(f"{name} has shape {Y.shape}; it must be {(samples, count)}: samples and labels")
    matrix = Y.tocsr()
    indptr = np.asarray(matrix.indptr, np.int64)
    indices, values = np.asarray(matrix.indices, np.int64), np.asarray(matrix.data)
    if len(indptr) != samples + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any() or indptr[-1] > len(indices):
        raise ValueError(f"{name}.indptr does not ascend from 0 to the number of entries")
    indices, values = indices[: indptr[-1]], values[: indptr[-1]]
    if len(indices) and not 0 <= indices.min() <= indices.max() < count:
        raise ValueError(
            f"{name} has labels from {indices.min()} to {indices.max()}; they must be within 0 to {count - 1}"
        )
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(f"{name} holds NaN")
    rows = np.repeat(np.arange(samples), np.diff(indptr))[values != 0]
    flat = np.unique(rows * count + indices[values != 0])  # sorted within each sample, and each once
    rows, indices = flat // count, flat % count
    return Labels(np.searchsorted(rows, np.arange(samples + 1)), indices, count)


def propensities(Y: Any, A: float = 0.55, B: float = 1.5) -> npt.NDArray[np.float64]:
    """Return how likely each label is to be told of a sample that it applies to, shape (labels,).

    p_l = 1 / (1 + C (N_l + B)^-A) with C = (log N - 1) (B + 1)^A, for N samples of which N_l have label l.

    Parameters
    ----------
    Y : SciPy sparse matrix (samples, labels), of the training data
    A, B : positive; 0.55 and 1.5 are for most data, 0.5 and 0.4 for Wikipedia, 0.6 and 2.6 for Amazon's

    Raises TypeError or ValueError where Y is none or has no samples.

    >>> import scipy.sparse
    >>> nerva.extreme.propensities(scipy.sparse.csr_array([[1, 0], [1, 0], [1, 1], [1, 0]])).round(2)
    array([0.8 , 0.72])

    H. Jain, Y. Prabhu & M. Varma, Extreme multi-label loss functions for recommendation, tagging, ranking & other
    missing label applications, KDD 2016, section 4.
    """
    check_positive(A, "A"), check_positive(B, "B")
    shape = getattr(Y, "shape", (0, 0))
    labels = as_labels(Y, *shape)
    if not len(labels):
        raise ValueError(f"Y has shape {shape}; it holds no samples")
    counts = np.bincount(labels.indices, minlength=labels.total)
    C = (np.log(len(labels)) - 1) * (B + 1) ** A
    return np.asarray(1 / (1 + C * (counts + B) ** -A))
