"""Predict what each backend takes for the products of a sparse layer, and choose for `backend="auto"`.

The prediction is a measured rate (see nerva.backends.calibration), in seconds per unit of work, times the work: for
"dense" all K x D weights, for the others W's non-zeros and a few for each row that is written, times the batch. Rates
depend on density and batch; between those measured, their logarithms are interpolated linearly in the logarithms of
both.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any, Literal, NamedTuple

import numpy as np

from nerva._kernels.dense import block_nbytes

Backend = Literal["native", "mkl", "dense"]
BackendSetting = Literal["auto", "native", "mkl", "dense"]
Product = Literal["forward", "input gradient", "weight gradient"]

FORWARD: Product = "forward"
INPUT: Product = "input gradient"
WEIGHT: Product = "weight gradient"
# MKL has no product of dense matrices at the positions of a sparse one, which the weight gradient is.
CANDIDATES: dict[Product, tuple[Backend, ...]] = {
    FORWARD: ("native", "mkl", "dense"),
    INPUT: ("native", "mkl", "dense"),
    WEIGHT: ("native", "dense"),
}

# Where rates are measured; beyond the first and the last they are taken as constant.
DENSITIES = (0.05, 0.25, 0.5, 1.0)
BATCHES = (1, 16, 100, 512)

# Another backend must be predicted so many times as fast as native, which gives the same bits with any number of
# threads.
MARGIN = 1.15
# Where native is chosen without a measurement: for little work (non-zeros x batch), for few rows or columns, and, below
# LARGE_WORK, for a density at which gemm has seven times the work of native kernels, which run at the speed of the
# caches; and for one at which it has more than thirty times the work, which is too much wherever they run.
SMALL_WORK, LARGE_WORK, NARROW, LOW_DENSITY, LEAST_DENSITY = 1 << 22, 1 << 26, 64, 0.15, 0.03
ROW_WORK = 4  # what a row costs beside its non-zeros, in non-zeros; native/parallel.h has the same figure
LARGEST_BLOCK = 2**31  # bytes


@dataclass(frozen=True)
class Costs:
    """Measured rates of one machine, dtype and number of threads.

    Attributes
    ----------
    rates : by product and backend, seconds per unit of work, [density][batch] at DENSITIES and BATCHES
    """

    rates: Mapping[Product, Mapping[Backend, Sequence[Sequence[float]]]]


class BackendChoice(NamedTuple):
    """The backend of each product of a layer: W X, W' DY, and DY X' on the pattern of W."""

    forward: Backend
    input_gradient: Backend
    weight_gradient: Backend


FIXED: dict[str, BackendChoice] = {
    "native": BackendChoice("native", "native", "native"),
    "mkl": BackendChoice("mkl", "mkl", "native"),
    "dense": BackendChoice("dense", "dense", "dense"),
}


def is_open(K: int, D: int, nnz: int, N: int) -> bool:
    """Tell whether another backend than native may pay for nnz weights of K x D and a batch of N."""
    work = nnz * N
    least = LEAST_DENSITY if work >= LARGE_WORK else LOW_DENSITY
    return min(K, D) >= NARROW and work >= SMALL_WORK and nnz >= least * K * D


def work(product: Product, backend: Backend, K: int, D: int, nnz: int, N: int) -> float:
    """Return the work of a product: weights, and a few for each row that is written, times columns of the batch."""
    if backend == "dense":
        return K * D * N
    return (nnz + ROW_WORK * {FORWARD: K, INPUT: D, WEIGHT: 0}[product]) * N


def seconds(costs: Costs, product: Product, backend: Backend, K: int, D: int, nnz: int, N: int) -> float:
    """Return the predicted seconds of a product of nnz weights, at least one, of K x D with a batch of N."""
    i, across = _interval(DENSITIES, nnz / (K * D))
    j, along = _interval(BATCHES, N)
    table = costs.rates[product][backend]
    low, high = ((1 - along) * log(row[j]) + along * log(row[j + 1]) for row in (table[i], table[i + 1]))
    return exp((1 - across) * low + across * high) * work(product, backend, K, D, nnz, N)


def choose(costs: Costs, K: int, D: int, nnz: int, N: int, dtype: np.dtype[Any]) -> BackendChoice:
    """Return the fastest backend of each product; native unless another is predicted to be MARGIN times as fast."""
    dense_fits = block_nbytes(K, D, dtype) <= LARGEST_BLOCK

    def fastest(product: Product) -> Backend:
        predicted = {
            backend: seconds(costs, product, backend, K, D, nnz, N)
            for backend in CANDIDATES[product]
            if dense_fits or backend != "dense"
        }
        best = min(predicted, key=predicted.__getitem__)
        return best if predicted[best] * MARGIN <= predicted["native"] else "native"

    return BackendChoice(fastest(FORWARD), fastest(INPUT), fastest(WEIGHT))


def _interval(points: Sequence[float], x: float) -> tuple[int, float]:
    """Return i with points[i] <= x <= points[i + 1], x clipped to them, and how far x is between, by logarithms."""
    x = min(max(x, points[0]), points[-1])
    i = min(bisect_right(points, x), len(points) - 1) - 1
    return i, log(x / points[i]) / log(points[i + 1] / points[i])
