"""Times of layers: their three products alone, over densities, and the phases of a training step, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from nerva._kernels import products
from nerva._kernels.csr import CSR
from nerva._kernels.memory import empty_batch, zeros
from nerva._kernels.mkl import set_num_threads
from nerva._kernels.supports import draw_support
from nerva.experiments.paper.peers import MOMENTUM, RATE, network, once, repeated, samples, started
from nerva.experiments.paper.units import Record
from nerva.experiments.rounds import in_turns
from nerva.optimizers import Nesterov
from nerva.training.profiling import profile

PRODUCTS = ("forward", "input gradient", "weight gradient")
DENSITIES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
TURN = 0.02  # seconds
READ = 1 << 16  # numbers of each of two vectors of which a dot product is timed: half of a MiB, which fits into L2


class Products:
    """The products of one layer, W (K, D), with supports drawn uniformly, on a batch of noise.

    What `prepare` takes: a product and a density, such as "forward@0.01", or "forward@0" of a matrix without weights;
    "dense forward" for MKL's dense product; "write Y" and "write DX", which set the results of the forward product and
    of the input gradient to zero; and "read", a dot product.
    """

    def __init__(self, settings: Record) -> None:
        (D, K), N, rng = settings["shape"], settings["batch_size"], np.random.default_rng(0)
        X, DY, Y, DX = (empty_batch(n, N, np.float32) for n in (D, K, K, D))
        X[:], DY[:] = rng.standard_normal(X.shape), rng.standard_normal(DY.shape)
        vectors = rng.standard_normal((2, READ), np.float32)
        self._works: dict[str, Callable[[], object]] = {
            "write Y": lambda: Y.fill(0.0),
            "write DX": lambda: DX.fill(0.0),
            "read": lambda: np.dot(*vectors),
        }
        for density in (0.0, *settings["densities"]):
            count = round(density * D * K)
            values = rng.standard_normal(count).astype(np.float32)
            W, DW = CSR((K, D), *draw_support(K, D, count, rng), values), zeros(count, np.float32)
            own = (_forward(W, X, Y), _input_gradient(W, DY, DX), _weight_gradient(W, DY, X, DW))
            self._works |= {f"{name}@{density:g}": work for name, work in zip(PRODUCTS, own, strict=True)}
        V, DV = rng.standard_normal((K, D)).astype(np.float32), np.empty((K, D), np.float32)
        dense = (
            lambda: products.gemm(V, X, Y),
            lambda: products.gemm(V, DY, DX, transpose_a=True),
            lambda: products.gemm(DY, X, DV, transpose_b=True),
        )
        self._works |= {f"dense {name}": work for name, work in zip(PRODUCTS, dense, strict=True)}

    def prepare(self, work: str, threads: int, amount: int) -> None:
        """Choose what `run` does; `amount` is of no matter."""
        set_num_threads(threads)
        self._work = self._works[work]

    def run(self) -> None:
        """Do what was prepared."""
        self._work()


def _forward(W: CSR, X: Any, Y: Any) -> Callable[[], object]:
    return lambda: products.spmm(W, X, Y)


def _input_gradient(W: CSR, DY: Any, DX: Any) -> Callable[[], object]:
    return lambda: products.spmm_t(W, DY, DX)


def _weight_gradient(W: CSR, DY: Any, X: Any, DW: Any) -> Callable[[], object]:
    return lambda: products.sddmm(W, DY, X, DW)


def measure_products(settings: Record, folder: Path) -> Record:
    """Return the rounds of turns, which are called such as "forward@0.01/2": by work and number of threads."""
    works = [f"{name}@{density:g}" for name in PRODUCTS for density in (0.0, *settings["densities"])]
    works += [f"dense {name}" for name in PRODUCTS] + ["write Y", "write DX"]
    with started((Products, settings)) as (worker,):
        runs = {f"{w}/{t}": repeated(worker, w, t, 0, turn=TURN) for t in settings["threads"] for w in works}
        runs["read/1"] = repeated(worker, "read", 1, 0, turn=TURN)
        return {"rounds": in_turns(runs, settings["rounds"])}


class Profiled:
    """Networks of several sparsities, of which one is trained under a profile, on samples of noise."""

    def __init__(self, settings: Record) -> None:
        self._models = {f"{s:g}": network(settings | {"sparsity": s}) for s in settings["sparsities"]}
        self._batch, (self._X, self._y) = settings["batch_size"], samples(settings)
        self._optimizers = {name: Nesterov(MOMENTUM) for name in self._models}
        self.found: dict[str, list[Record]] = {}

    def prepare(self, work: str, threads: int, amount: int) -> None:
        """Choose the network, and train it for `amount` steps to warm up."""
        set_num_threads(threads)
        self._name, self._threads = work, threads
        self._fit(slice(0, amount * self._batch))

    def run(self) -> None:
        """Train for an epoch, and keep the seconds of each phase of each layer in a step."""
        with profile() as found:
            self._fit(slice(None))
        steps = found.steps
        rows = [{"layer": r.layer, "phase": r.phase, "seconds": r.seconds / sum(steps.values())} for r in found.rows]
        self.found.setdefault(f"{self._name}/{self._threads}", []).append({"rows": rows, "steps": steps})

    def profiles(self) -> Record:
        """Return what was kept, a list of the rounds by sparsity and number of threads, such as "0.99/2"."""
        return self.found

    def densities(self) -> Record:
        """Return the density of each layer by sparsity."""
        return {name: [layer.density for layer in model.layers] for name, model in self._models.items()}

    def _fit(self, rows: slice) -> None:
        settings: Any = {"optimizer": self._optimizers[self._name], "schedule": RATE, "verbose": False}
        self._models[self._name].fit(self._X[rows], self._y[rows], epochs=1, batch_size=self._batch, **settings)


def measure_steps(settings: Record, folder: Path) -> Record:
    """Return the rounds of turns, which are called such as "0.99/2", the profile of each, and the layers' densities."""
    with started((Profiled, settings)) as (worker,):
        names = [f"{sparsity:g}" for sparsity in settings["sparsities"]]
        runs = {f"{name}/{t}": once(worker, name, t, 2) for t in settings["threads"] for name in names}
        rounds = in_turns(runs, settings["rounds"])
        return {"rounds": rounds, "profiles": worker.call("profiles"), "densities": worker.call("densities")}


class Fit(NamedTuple):
    """A line through times t over densities d, t = floor + rate d, by relative least squares, and what it explains.

    Attributes
    ----------
    floor, rate : seconds of a product without weights, and of one with all of them beyond that
    bend : the density at which the floor is half of the time
    below, above : the slopes of log t over log d on both sides of the bend; None with fewer than two densities
    worst : the largest deviation of a time from the line, relative to the time
    """

    floor: float
    rate: float
    bend: float
    below: float | None
    above: float | None
    worst: float


def fit(densities: Sequence[float], times: Sequence[float]) -> Fit:
    """Return the line through times over densities.

    >>> line = fit([0.001, 0.01, 0.1, 1.0], [0.011, 0.02, 0.11, 1.01])
    >>> [round(float(x), 6) for x in line[:3]]
    [0.01, 1.0, 0.01]
    """
    d, t = np.asarray(densities, float), np.asarray(times, float)
    floor, rate = np.linalg.lstsq(np.stack([1 / t, d / t], axis=1), np.ones(len(t)), rcond=None)[0]
    if floor < 0:
        floor, rate = 0.0, float((d / t).sum() / ((d / t) ** 2).sum())
    bend = floor / rate if rate > 0 else float("inf")
    worst = float(np.abs((floor + rate * d) / t - 1).max())
    return Fit(float(floor), float(rate), float(bend), _slope(d, t, d <= bend), _slope(d, t, d >= bend), worst)


def _slope(d: Any, t: Any, chosen: Any) -> float | None:
    """Return the slope of log t over log d of the points chosen, None of fewer than two."""
    if chosen.sum() < 2:
        return None
    return float(np.polyfit(np.log(d[chosen]), np.log(t[chosen]), 1)[0])


def equal_at(densities: Sequence[float], times: Sequence[float], limit: float) -> float | None:
    """Return the density at which the times reach a limit, between two of them on a line of logarithms; None if none.

    >>> equal_at([0.01, 0.1, 1.0], [1.0, 10.0, 100.0], 50.0)
    0.5
    """
    for i, time in enumerate(times):
        if time >= limit:
            if i == 0:
                return densities[0]
            (x, y), (a, b) = np.log([densities[i - 1], times[i - 1]]), np.log([densities[i], time])
            return round(float(np.exp(x + (np.log(limit) - y) * (a - x) / (b - y))), 12)
    return None


def phases(profiles: Sequence[Record]) -> dict[tuple[str, str], float]:
    """Return the median seconds in a step of each phase of each layer over the rounds, by (layer, phase)."""
    found: dict[tuple[str, str], list[float]] = {}
    for each in profiles:
        for row in each["rows"]:
            found.setdefault((row["layer"], row["phase"]), []).append(row["seconds"])
    return {key: median(seconds) for key, seconds in found.items()}
