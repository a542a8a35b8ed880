"""Losses of a tile of labels: their value and gradient, in place of the logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nerva._kernels.memory import Array
from nerva.extreme.labels import Ints

TileLoss = Callable[[Array, Ints, Ints], float]


def binary_cross_entropy(Z: Array, rows: Ints, columns: Ints) -> float:
    """Replace logits Z (labels, batch) by the gradient sigmoid(z) - y, and return the sum of -log p(y | z).

    y is 1 at (rows, columns), 0 elsewhere.
    """
    # log(1 + e^z) = max(z, 0) + log(1 + e^-|z|), and sigmoid(z) = e^min(z, 0) / (1 + e^-|z|): no exp overflows.
    value = -float(Z[rows, columns].sum(dtype=np.float64))
    exponential = np.exp(-np.abs(Z))
    value += float(np.maximum(Z, 0).sum(dtype=np.float64)) + float(np.log1p(exponential).sum(dtype=np.float64))
    np.divide(np.where(Z >= 0, 1, exponential), 1 + exponential, out=Z)
    Z[rows, columns] -= 1
    return value


def squared_hinge(Z: Array, rows: Ints, columns: Ints) -> float:
    """Replace logits Z (labels, batch) by the gradient of the sum of max(0, 1 - t z)^2, and return that sum.

    t is 1 at (rows, columns), -1 elsewhere.
    """
    positive = Z[rows, columns]
    Z += 1
    np.maximum(Z, 0, out=Z)
    value = float(np.einsum("ij,ij->", Z, Z, dtype=np.float64)) - float(
        np.square(Z[rows, columns], dtype=np.float64).sum()
    )
    Z *= 2
    short = np.maximum(1 - positive, 0)
    Z[rows, columns] = -2 * short
    return value + float(np.square(short, dtype=np.float64).sum())


LOSSES: dict[str, TileLoss] = {"binary-cross-entropy": binary_cross_entropy, "squared-hinge": squared_hinge}
