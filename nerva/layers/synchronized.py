"""Batch normalization over the samples of several ranks: the sums that they exchange."""

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.layers.ranks import Ranks

KIND = "statistics"


def moments(X: Array, ranks: Ranks) -> tuple[Array, Array, int]:
    """Return mean and variance of each row of X (features, batch) over the samples of all ranks, and their number.

    In two sums over the ranks, in float64: squares about zero would cancel where the mean is large.
    """
    K, N = X.shape
    sums: npt.NDArray[np.float64] = np.empty(K + 1)
    sums[:K], sums[K] = X.sum(axis=1, dtype=np.float64), N
    sums = ranks.sum(sums, KIND)
    mean, total = sums[:K] / sums[K], int(sums[K])
    if total < 2:
        raise ValueError(f"all ranks have {total} sample; batch normalization needs at least two in training")
    squares = np.square(X - mean[:, None]).sum(axis=1)
    variance = ranks.sum(squares, KIND) / total
    return mean.astype(X.dtype), variance.astype(X.dtype), total


def mean_gradients(Dgamma: Array, Dbeta: Array, total: int, ranks: Ranks) -> tuple[Array, Array]:
    """Return the sums of both gradients over the ranks, divided by the number of samples of all."""
    K = len(Dgamma)
    sums = ranks.sum(np.concatenate([Dgamma, Dbeta], dtype=np.float64), KIND) / total
    return sums[:K].astype(Dgamma.dtype), sums[K:].astype(Dbeta.dtype)
