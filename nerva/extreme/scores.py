"""How good the best predictions of a sample are: precision at k, and that by propensities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.extreme.labels import Labels, as_labels
from nerva.validation import check_integer


def precision_at_k(Y: Any, top: npt.ArrayLike, k: int = 1, propensities: npt.ArrayLike | None = None) -> float:
    """Return the part of the k best predictions that are labels of their sample.

    P@k = 1/(n k) sum of [prediction is a label]. With propensities p, PSP@k: each hit counts 1/p_l, and the sum is
    divided by the largest there could be, that of the k labels of each sample with the least p_l.

    Parameters
    ----------
    Y : SciPy sparse matrix (samples, labels)
    top : (samples, K) predicted labels, the best first, K at least k
    k : how many of them count
    propensities : (labels,), above 0 and at most 1, such as nerva.extreme.propensities of the training labels

    Raises TypeError or ValueError, which names the argument that is wrong.

    >>> import scipy.sparse
    >>> nerva.extreme.precision_at_k(scipy.sparse.csr_array([[1, 0, 1], [0, 1, 0]]), [[2, 1], [0, 1]], k=2)
    0.5

    K. Bhatia et al., The extreme classification repository: multi-label datasets and code, 2016; Jain et al., KDD 2016.
    """
    k = check_integer(k, "k", least=1)
    predicted = np.asarray(top)
    if predicted.ndim != 2 or predicted.dtype.kind not in "iu":
        raise TypeError(f"top is {predicted.dtype} of shape {predicted.shape}; it must be integers (samples, K)")
    labels = as_labels(Y, len(predicted), np.shape(Y)[-1] if hasattr(Y, "tocsr") else 0)
    if predicted.shape[1] < k:
        raise ValueError(f"top has {predicted.shape[1]} predictions a sample; k is {k}")
    hits = are_labels(labels, predicted[:, :k])
    if propensities is None:
        return float(hits.mean()) if hits.size else 0.0
    p = np.asarray(propensities, np.float64)
    if p.shape != (labels.total,) or not ((p > 0) & (p <= 1)).all():
        raise ValueError(f"propensities have shape {p.shape}; they must be {(labels.total,)}, above 0 and at most 1")
    gained = np.where(hits, 1 / p[np.where(hits, predicted[:, :k], 0)], 0.0).sum()
    largest = _largest_gain(labels, 1 / p, k)
    return float(gained / largest) if largest else 0.0


def are_labels(labels: Labels, predicted: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which predictions (samples, k) are labels of their sample."""
    rows = np.repeat(np.arange(len(labels)), np.diff(labels.indptr))
    known = rows * labels.total + labels.indices  # sorted
    asked = np.arange(len(predicted))[:, None] * labels.total + predicted
    at = np.searchsorted(known, asked)
    found: npt.NDArray[np.bool_] = np.zeros(asked.shape, bool)
    inside = at < len(known)
    found[inside] = known[at[inside]] == asked[inside]
    return found & (predicted >= 0) & (predicted < labels.total)


def _largest_gain(labels: Labels, gains: npt.NDArray[np.float64], k: int) -> float:
    """Return the sum over the samples of the k largest gains of their labels."""
    rows = np.repeat(np.arange(len(labels)), np.diff(labels.indptr))
    own = gains[labels.indices]
    order = np.lexsort((-own, rows))
    rank = np.arange(len(rows)) - labels.indptr[rows]
    return float(own[order][rank < k].sum())
