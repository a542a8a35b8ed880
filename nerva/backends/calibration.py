"""How fast the backends are here: measured once, in about a second, and kept in the user's cache.

One file for each machine, version, number type and number of threads, in the folder that NERVA_CACHE names, or else
`nerva` in XDG_CACHE_HOME or ~/.cache. Without a usable file, or a folder to write to, it is measured by each process.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import chain, product
from math import isfinite
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels import isa, mkl, products
from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array, empty_batch, zeros
from nerva._kernels.supports import draw_support
from nerva._kernels.updates import Update
from nerva.backends.config import package_version, processor
from nerva.backends.cost_model import (
    BATCHES,
    CANDIDATES,
    DENSITIES,
    FIXED,
    FORWARD,
    INPUT,
    WEIGHT,
    Costs,
    Plan,
    choose,
    is_open,
    work,
)
from nerva.validation import real_dtype

SHAPE = (384, 1024)
FEWEST_ROUNDS, MOST_ROUNDS, ENOUGH = 2, 6, 0.6  # seconds
HOPELESS = 2.0  # times as long as by own kernels

Run = Callable[[], None]

_known: dict[tuple[str, str, int], Costs] = {}
_lock = threading.Lock()


def plan(backend: str, K: int, D: int, nnz: int, N: int, dtype: np.dtype[Any]) -> Plan:
    """Return the backend of each product of a layer with nnz weights of K x D, for a batch of N and these threads.

    `backend` is "native", "mkl", "dense", or "auto", which measures where it matters and nobody did.
    """
    if backend in FIXED:
        return FIXED[backend]
    if backend != "auto":
        raise ValueError(f"backend is {backend!r}; it must be one of auto, {', '.join(FIXED)}")
    return choose(costs(dtype), K, D, nnz, N, dtype) if is_open(K, D, nnz, N) else FIXED["native"]


def costs(dtype: npt.DTypeLike) -> Costs:
    """Return the costs of this machine for a dtype and the threads of now: known, read or else measured."""
    with _lock:
        return _find(real_dtype(dtype)) or _measure_and_keep(real_dtype(dtype))


def known(dtype: npt.DTypeLike) -> Costs | None:
    """Return the same where they need not be measured, or None."""
    with _lock:
        return _find(real_dtype(dtype))


def calibrate(dtype: npt.DTypeLike) -> Costs:
    """Measure the costs anew, whatever is known, and keep them."""
    with _lock:
        return _measure_and_keep(real_dtype(dtype))


def _find(dtype: np.dtype[Any]) -> Costs | None:
    found = _known.get(_key(dtype))
    if found is None:
        found = load(cache_file(dtype), identity(dtype))
        if found is not None:
            _known[_key(dtype)] = found
    return found


def _measure_and_keep(dtype: np.dtype[Any]) -> Costs:
    found = _known[_key(dtype)] = measure(dtype)
    save(cache_file(dtype), identity(dtype), found)
    return found


def _key(dtype: np.dtype[Any]) -> tuple[str, str, int]:
    return isa.chosen(), dtype.name, mkl.get_num_threads()


# ---- the cache


def identity(dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return what costs hold for, and no other."""
    return {
        "processor": processor(),
        "instruction set": isa.chosen(),
        "nerva": package_version(),
        "MKL": mkl.version(),
        "dtype": dtype.name,
        "threads": mkl.get_num_threads(),
        "densities": list(DENSITIES),
        "batches": list(BATCHES),
    }


def cache_file(dtype: npt.DTypeLike) -> Path | None:
    """Return the file for a dtype and the threads of now, whether it exists or not; None where there is no home."""
    dtype = real_dtype(dtype)
    named, base = os.environ.get("NERVA_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(named) if named else (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "nerva"
    except RuntimeError:
        return None
    digest = sha256(json.dumps(identity(dtype)).encode()).hexdigest()
    return folder / f"costs-{dtype.name}-{mkl.get_num_threads()}-{digest[:12]}.json"


def load(path: Path | None, wanted: dict[str, Any]) -> Costs | None:
    """Return the costs in a file, or None where it cannot be read, is broken, or is about something else."""
    try:
        content = json.loads(path.read_bytes()) if path is not None else {}
        if any(content[name] != value for name, value in wanted.items()):
            return None
        rates = {
            direction: {backend: _table(content["rates"][direction][backend]) for backend in backends}
            for direction, backends in CANDIDATES.items()
        }
        return Costs(rates, _positive(content["step"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _table(rows: Any) -> list[list[float]]:
    table = [[_positive(rate) for rate in row] for row in rows]
    if [len(row) for row in table] != [len(BATCHES)] * len(DENSITIES):
        raise ValueError("a table of another shape")
    return table


def _positive(x: Any) -> float:
    if not isinstance(x, float) or not isfinite(x) or x <= 0:
        raise ValueError("no rate")
    return x


def save(path: Path | None, about: dict[str, Any], costs: Costs) -> None:
    """Write costs to a file, all or nothing; where that cannot be done, do nothing."""
    if path is None:
        return
    text = json.dumps({**about, "step": costs.step, "rates": costs.rates}, indent=1)
    with suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = mkstemp(dir=path.parent, prefix=".costs-")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


# ---- the measurement


def measure(dtype: np.dtype[Any]) -> Costs:
    """Measure the costs for a dtype and the threads of now, on a layer of SHAPE.

    Each product is timed once in a round, and the least of the rounds counts, so that another process that takes the
    processor for some milliseconds is seen in one of them only. Products beyond hope are left out of later rounds.
    """
    (K, D), rng = SHAPE, np.random.default_rng(0)
    batches = [[empty_batch(n, N, dtype) for n in (D, K, K, D)] for N in BATCHES]
    for array in chain(*batches):
        array[:] = rng.random(array.shape)
    matrices, gradient, velocity = [], zeros(K * D, dtype), zeros(K * D, dtype)
    for density in DENSITIES:
        nnz = round(density * K * D)
        matrices.append(CSR(SHAPE, *draw_support(K, D, nnz, rng), rng.random(nnz).astype(dtype)))
    taken = {
        (direction, backend): np.full((len(DENSITIES), len(BATCHES)), np.inf)
        for direction, backends in CANDIDATES.items()
        for backend in backends
    }
    step, update, start = float("inf"), Update("nesterov", 1e-6, 0.9, 0.0), time.perf_counter()
    for rounds in range(MOST_ROUNDS):
        if rounds >= FEWEST_ROUNDS and time.perf_counter() - start > ENOUGH:
            break
        for (i, W), (j, arrays) in product(enumerate(matrices), enumerate(batches)):
            for (direction, backend), times in taken.items():
                if rounds < FEWEST_ROUNDS or times[i, j] < HOPELESS * taken[direction, "native"][i, j]:
                    run = _product(direction, backend, W, arrays, gradient[: W.nnz])
                    times[i, j] = min(times[i, j], _time(run))
        step = min(step, _time(lambda: update(gradient, velocity, matrices[-1].values)))
    rates: dict[str, dict[str, list[list[float]]]] = {direction: {} for direction in CANDIDATES}
    for (direction, backend), times in taken.items():
        least = _ascending(times)
        rates[direction][backend] = [
            [_rounded(least[i, j] / work(direction, backend, K, D, W.nnz, N)) for j, N in enumerate(BATCHES)]
            for i, W in enumerate(matrices)
        ]
    return Costs(rates, _rounded(step / (K * D)))


def _ascending(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return times in which no product takes longer than one with more weights or a larger batch."""
    for axis in (0, 1):
        times = np.flip(np.minimum.accumulate(np.flip(times, axis), axis), axis)
    return times


def _product(direction: str, backend: str, W: CSR, arrays: Sequence[Array], gradient: Array) -> Run:
    X, DY, Y, DX = arrays
    return {
        FORWARD: lambda: products.spmm(W, X, Y, backend=backend),
        INPUT: lambda: products.spmm_t(W, DY, DX, backend),
        WEIGHT: lambda: products.sddmm(W, DY, X, gradient, backend),
    }[direction]


def _time(run: Run) -> float:
    """Return the seconds of a run; of a short one, the least of a few, since the first finds the caches cold."""
    best, spent = float("inf"), 0.0
    while spent < 0.0005 and spent < 3 * best:
        start = time.perf_counter()
        run()
        taken = max(time.perf_counter() - start, 1e-9)
        best, spent = min(best, taken), spent + taken
    return best


def _rounded(x: float) -> float:
    return float(f"{x:.4g}")


# ---- what `nerva info` shows


def describe(dtype: npt.DTypeLike, N: int = 100) -> str:
    """Return what is known about a dtype and the threads of now, as a table for a batch of N."""
    dtype, costs = real_dtype(dtype), known(dtype)
    name = f"{dtype.name}, {mkl.get_num_threads()} thread{'s' * (mkl.get_num_threads() > 1)}"
    if costs is None:
        return f"backends, {name}: not measured yet, which `nerva info --calibrate` does"
    path = cache_file(dtype)
    (K, D), j = SHAPE, BATCHES.index(N)
    lines = [
        f"backends, {name}, {D} x {K} weights, batch {N}: {path if path and path.exists() else 'kept nowhere'}",
        f"  {'GFLOP/s of the weights that exist':<36}" + "".join(f"{f'{density:.0%}':>8}" for density in DENSITIES),
    ]
    for direction, backends in CANDIDATES.items():
        for backend in backends:
            cells = ""
            for density, row in zip(DENSITIES, costs.rates[direction][backend], strict=True):
                nnz = round(density * K * D)
                speed = 2e-9 * nnz * N / (row[j] * work(direction, backend, K, D, nnz, N))
                cells += f"{speed:8.3g}"
            lines.append(f"  {direction:<16}{backend:<20}{cells}")
    plans = {d: choose(costs, K, D, round(d / 100 * K * D), N, dtype) for d in range(1, 101)}
    for direction, taken in (
        (FORWARD, {d: plan.forward for d, plan in plans.items()}),
        (INPUT, {d: plan.backward[0] for d, plan in plans.items()}),
        (WEIGHT, {d: plan.backward[1] for d, plan in plans.items()}),
    ):
        dense = [d for d, backend in taken.items() if backend == "dense"]
        lines.append(f"  {direction:<16}{f'dense from a density of {min(dense)}%' if dense else 'never dense'}")
    return "\n".join(lines)
