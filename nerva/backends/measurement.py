"""Measure what each backend takes for the products of a sparse layer: about a second for a dtype."""

import time
from collections.abc import Callable, Sequence
from itertools import product as every_pair
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels import products
from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array, empty_batch, zeros
from nerva._kernels.supports import draw_support
from nerva.backends.cost_model import (
    BATCHES,
    CANDIDATES,
    DENSITIES,
    FORWARD,
    INPUT,
    WEIGHT,
    Backend,
    Costs,
    Product,
    work,
)

SHAPE = (384, 1024)
FEWEST_ROUNDS, MOST_ROUNDS, TIME_LIMIT = 2, 6, 0.6  # seconds after which no further round begins
HOPELESS = 2.0  # times as long as native: not measured in later rounds

Run = Callable[[], None]
Times = dict[tuple[Product, Backend], npt.NDArray[np.float64]]  # seconds, [density][batch]


class Workload(NamedTuple):
    """Matrices W of SHAPE, one for each density, the arrays X, DY, Y and DX for each batch, and a weight gradient."""

    matrices: list[CSR]
    batches: list[list[Array]]
    gradient: Array


def measure(dtype: np.dtype[Any]) -> Costs:
    """Measure the costs for a dtype and the present number of threads, on a layer of SHAPE.

    A round times each product once, and the shortest time of all rounds counts: another process that takes a core for
    some milliseconds is seen in one round only.
    """
    workload = _workload(dtype)
    times: Times = {
        (product, backend): np.full((len(DENSITIES), len(BATCHES)), np.inf)
        for product, backends in CANDIDATES.items()
        for backend in backends
    }
    start = time.perf_counter()
    for rounds in range(MOST_ROUNDS):
        if rounds >= FEWEST_ROUNDS and time.perf_counter() - start > TIME_LIMIT:
            break
        _time_products(workload, times, every=rounds < FEWEST_ROUNDS)
    return Costs(_rates(times, workload.matrices))


def _workload(dtype: np.dtype[Any]) -> Workload:
    (K, D), rng = SHAPE, np.random.default_rng(0)
    batches = [[empty_batch(n, N, dtype) for n in (D, K, K, D)] for N in BATCHES]
    for arrays in batches:
        for array in arrays:
            array[:] = rng.random(array.shape)
    matrices = []
    for density in DENSITIES:
        nnz = round(density * K * D)
        matrices.append(CSR(SHAPE, *draw_support(K, D, nnz, rng), rng.random(nnz).astype(dtype)))
    return Workload(matrices, batches, zeros(K * D, dtype))


def _time_products(workload: Workload, times: Times, *, every: bool) -> None:
    """Time each product once, of the hopeless ones only where `every` one is wanted, and keep the shorter time."""
    for (i, W), (j, arrays) in every_pair(enumerate(workload.matrices), enumerate(workload.batches)):
        for (product, backend), own in times.items():
            if every or own[i, j] < HOPELESS * times[product, "native"][i, j]:
                run = _product(product, backend, W, arrays, workload.gradient[: W.nnz])
                own[i, j] = min(own[i, j], _time(run))


def _product(product: Product, backend: Backend, W: CSR, arrays: Sequence[Array], gradient: Array) -> Run:
    X, DY, Y, DX = arrays
    return {
        FORWARD: lambda: products.spmm(W, X, Y, backend=backend),
        INPUT: lambda: products.spmm_t(W, DY, DX, backend),
        WEIGHT: lambda: products.sddmm(W, DY, X, gradient, backend),
    }[product]


def _time(run: Run) -> float:
    """Return the seconds of a run; of a short one, the least of a few, since the first finds the caches cold."""
    best, spent = float("inf"), 0.0
    while spent < 0.0005 and spent < 3 * best:
        start = time.perf_counter()
        run()
        taken = max(time.perf_counter() - start, 1e-9)
        best, spent = min(best, taken), spent + taken
    return best


def _rates(times: Times, matrices: Sequence[CSR]) -> dict[Product, dict[Backend, list[list[float]]]]:
    """Return seconds per unit of work by product and backend, [density][batch]."""
    K, D = SHAPE
    rates: dict[Product, dict[Backend, list[list[float]]]] = {product: {} for product in CANDIDATES}
    for (product, backend), own in times.items():
        least = _ascending(own)
        rates[product][backend] = [
            [_rounded(least[i, j] / work(product, backend, K, D, W.nnz, N)) for j, N in enumerate(BATCHES)]
            for i, W in enumerate(matrices)
        ]
    return rates


def _ascending(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return times of which none is above that of a product with more weights or a larger batch."""
    for axis in (0, 1):
        times = np.flip(np.minimum.accumulate(np.flip(times, axis), axis), axis)
    return times


def _rounded(x: float) -> float:
    return float(f"{x:.4g}")
