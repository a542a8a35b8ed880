"""Know how fast the backends are on this machine: costs that were measured before, or are measured when needed.

They are measured once, in about a second, and kept in the user's cache (see nerva.backends.cost_files). Without a file
that can be used, or a folder to write to, each process measures for itself.
"""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels import isa, mkl
from nerva.backends.cost_files import cache_file, identity, load, save
from nerva.backends.cost_model import (
    BATCHES,
    CANDIDATES,
    DENSITIES,
    FORWARD,
    INPUT,
    WEIGHT,
    Costs,
    choose,
    work,
)
from nerva.backends.measurement import SHAPE, measure
from nerva.validation import real_dtype

_known: dict[tuple[str, str, int], Costs] = {}
_lock = threading.Lock()


def costs(dtype: npt.DTypeLike) -> Costs:
    """Return the costs for a dtype and the present number of threads: known, read from a file, or else measured."""
    with _lock:
        return _find(real_dtype(dtype)) or _measure_and_save(real_dtype(dtype))


def known(dtype: npt.DTypeLike) -> Costs | None:
    """Return the costs for a dtype and the present number of threads, or None where they have not been measured."""
    with _lock:
        return _find(real_dtype(dtype))


def calibrate(dtype: npt.DTypeLike) -> Costs:
    """Measure the costs for a dtype and the present number of threads anew, and save them."""
    with _lock:
        return _measure_and_save(real_dtype(dtype))


def _find(dtype: np.dtype[Any]) -> Costs | None:
    found = _known.get(_key(dtype))
    if found is None:
        found = load(cache_file(dtype), identity(dtype))
        if found is not None:
            _known[_key(dtype)] = found
    return found


def _measure_and_save(dtype: np.dtype[Any]) -> Costs:
    found = _known[_key(dtype)] = measure(dtype)
    save(cache_file(dtype), identity(dtype), found)
    return found


def _key(dtype: np.dtype[Any]) -> tuple[str, str, int]:
    return isa.chosen(), dtype.name, mkl.get_num_threads()


def describe(dtype: npt.DTypeLike, N: int = 100) -> str:
    """Return what is known for a dtype and the present number of threads, as the table of `nerva info`.

    N : batch, one of BATCHES
    """
    dtype, costs = real_dtype(dtype), known(dtype)
    name = f"{dtype.name}, {mkl.get_num_threads()} thread{'s' * (mkl.get_num_threads() > 1)}"
    if costs is None:
        return f"backends, {name}: not measured yet, which `nerva info --calibrate` does"
    path = cache_file(dtype)
    K, D = SHAPE
    lines = [
        f"backends, {name}, {D} x {K} weights, batch {N}: {path if path and path.exists() else 'kept nowhere'}",
        f"  {'GFLOP/s of the weights that exist':<36}" + "".join(f"{f'{density:.0%}':>8}" for density in DENSITIES),
        *_speeds(costs, N),
        *_thresholds(costs, N, dtype),
    ]
    return "\n".join(lines)


def _speeds(costs: Costs, N: int) -> list[str]:
    """Return a line for each product and backend with its GFLOP/s at each density, zeros not counted."""
    (K, D), j, lines = SHAPE, BATCHES.index(N), []
    for product, backends in CANDIDATES.items():
        for backend in backends:
            cells = ""
            for density, row in zip(DENSITIES, costs.rates[product][backend], strict=True):
                nnz = round(density * K * D)
                speed = 2e-9 * nnz * N / (row[j] * work(product, backend, K, D, nnz, N))
                cells += f"{speed:8.3g}"
            lines.append(f"  {product:<16}{backend:<20}{cells}")
    return lines


def _thresholds(costs: Costs, N: int, dtype: np.dtype[Any]) -> list[str]:
    """Return a line for each product with the density from which it is dense."""
    K, D = SHAPE
    choices = {d: choose(costs, K, D, round(d / 100 * K * D), N, dtype) for d in range(1, 101)}
    lines = []
    for product, taken in (
        (FORWARD, {d: choice.forward for d, choice in choices.items()}),
        (INPUT, {d: choice.input_gradient for d, choice in choices.items()}),
        (WEIGHT, {d: choice.weight_gradient for d, choice in choices.items()}),
    ):
        dense = [d for d, backend in taken.items() if backend == "dense"]
        lines.append(f"  {product:<16}{f'dense from a density of {min(dense)}%' if dense else 'never dense'}")
    return lines
