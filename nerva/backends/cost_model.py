"""What the products of a sparse layer cost by each backend, and the choice that `backend="auto"` makes from it.

Seconds are a measured rate (see nerva.calibration) times the work that a backend does: W's non-zeros and a few for each
row it writes, or all K x D numbers, times the batch. Rates depend on density and batch, and are interpolated.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nerva._kernels.dense import block_nbytes

T = TypeVar("T")

FORWARD, INPUT, WEIGHT = "forward", "input gradient", "weight gradient"
CANDIDATES = {FORWARD: ("native", "mkl", "dense"), INPUT: ("native", "mkl", "dense"), WEIGHT: ("native", "dense")}

# Where rates are measured. Beyond the first and the last they count as constant.
DENSITIES = (0.05, 0.25, 0.5, 1.0)
BATCHES = (1, 16, 100, 512)

# Another backend must be predicted so much faster: own kernels give the same bits for any number of threads.
MARGIN = 1.15
# Without measuring it is native: for little work (weights x batch), for few rows or columns, and, up to MUCH work, for
# a density at which gemm would do seven times the work and own kernels run at what the caches give.
LITTLE, MUCH, NARROW, THIN = 1 << 22, 1 << 26, 64, 0.15
ROW = 4  # what a row costs beside its non-zeros, in non-zeros, as native/parallel.h has it
LARGEST_BLOCK = 2**31  # bytes


@dataclass(frozen=True)
class Costs:
    """Measured rates of one machine, number type and number of threads.

    rates : by direction and backend, seconds for a unit of work, [density][batch] at DENSITIES and BATCHES
    step : seconds for each weight of an optimizer's step that is not fused with the weight gradient
    """

    rates: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]
    step: float


class Plan(NamedTuple):
    """The backend of each product of a layer: W X, (W' DY, DY X'), and DY X' where nobody wants W' DY."""

    forward: str
    backward: tuple[str, str]
    weight_alone: str


FIXED = {
    "native": Plan("native", ("native", "native"), "native"),
    "mkl": Plan("mkl", ("mkl", "native"), "native"),
    "dense": Plan("dense", ("dense", "dense"), "dense"),
}


def is_open(K: int, D: int, nnz: int, N: int) -> bool:
    """Tell whether another backend than native may be worth measuring for nnz weights of K x D and a batch of N."""
    work = nnz * N
    return min(K, D) >= NARROW and work >= LITTLE and (work >= MUCH or nnz >= THIN * K * D)


def work(direction: str, backend: str, K: int, D: int, nnz: int, N: int) -> float:
    """Return how much a product does: non-zeros, or all numbers, times columns of the batch."""
    if backend == "dense":
        return K * D * N
    return (nnz + ROW * {FORWARD: K, INPUT: D, WEIGHT: 0}[direction]) * N


def seconds(costs: Costs, direction: str, backend: str, K: int, D: int, nnz: int, N: int) -> float:
    """Return the predicted seconds of a product of nnz weights, at least one, of K x D with a batch of N."""
    i, across = _between(DENSITIES, nnz / (K * D))
    j, along = _between(BATCHES, N)
    table = costs.rates[direction][backend]
    low, high = ((1 - along) * log(row[j]) + along * log(row[j + 1]) for row in (table[i], table[i + 1]))
    return exp((1 - across) * low + across * high) * work(direction, backend, K, D, nnz, N)


def choose(costs: Costs, K: int, D: int, nnz: int, N: int, dtype: np.dtype[Any]) -> Plan:
    """Return the cheapest backend of each product; native unless another is predicted MARGIN times as fast.

    The two products on the way back are chosen together: where both are native, they and the optimizer's step are one.
    """

    def cost(direction: str, backend: str) -> float:
        return seconds(costs, direction, backend, K, D, nnz, N)

    def candidates(direction: str) -> list[str]:
        too_large = block_nbytes(K, D, dtype) > LARGEST_BLOCK
        return [backend for backend in CANDIDATES[direction] if not (backend == "dense" and too_large)]

    forward = {backend: cost(FORWARD, backend) for backend in candidates(FORWARD)}
    apart = costs.step * nnz
    alone = {b: cost(WEIGHT, b) + (b != "native") * apart for b in candidates(WEIGHT)}
    backward = {
        (a, b): cost(INPUT, a) + cost(WEIGHT, b) + ((a, b) != ("native", "native")) * apart
        for a in candidates(INPUT)
        for b in candidates(WEIGHT)
    }
    return Plan(_cheapest(forward, "native"), _cheapest(backward, ("native", "native")), _cheapest(alone, "native"))


def _cheapest(costs: Mapping[T, float], native: T) -> T:
    best = min(costs, key=costs.__getitem__)
    return best if costs[best] * MARGIN <= costs[native] else native


def _between(points: Sequence[float], x: float) -> tuple[int, float]:
    """Return the last point but one at or below x, and how far x is on the way to the next, by logarithms."""
    x = min(max(x, points[0]), points[-1])
    i = min(bisect_right(points, x), len(points) - 1) - 1
    return i, log(x / points[i]) / log(points[i + 1] / points[i])
