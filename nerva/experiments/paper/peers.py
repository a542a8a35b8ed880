"""Who is timed: nerva as users run it, and PyTorch with masked and with dense weights, each in a process of its own.

All have the same network. nerva's `fit` reads samples that are bytes and standardizes them a mini-batch at a time;
PyTorch gathers rows of a float32 tensor that was standardized in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from nerva._kernels.mkl import set_num_threads
from nerva.datasets import Dataset
from nerva.datasets.dataset import Split, Standardized
from nerva.experiments.paper.masked import Masked, require_torch
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.units import Record
from nerva.experiments.workers import Times, Worker
from nerva.models.mlp import MLP
from nerva.optimizers import Nesterov

RATE = 1e-4  # so low that the weights hardly change, however often a turn is repeated
MOMENTUM = 0.9
WARM_UP = 2  # mini-batches before each turn, in which threads start
FEWEST, MOST = 3, 5000  # calls in a turn that is repeated

# Seconds for each weight and sample of a training step, and of each step, on one core; of a process until it is ready.
PER_WEIGHT, PER_DENSE_WEIGHT, STEP, START = 1.1e-10, 6.3e-11, 1e-4, 2.0


def setting(
    sizes: tuple[int, ...], sparsity: float, batch_size: int, samples: int, protocol: Protocol | None = None
) -> Record:
    """Return the settings of a network and its samples: noise, or the first ones of a protocol's data."""
    data = {} if protocol is None else {"data": protocol.data, "label": protocol.label}
    return {"sizes": list(sizes), "sparsity": sparsity, "batch_size": batch_size, "samples": samples, **data}


def network(settings: Record) -> MLP:
    """Return the network: Erdos-Renyi supports, Xavier values, of seed 0."""
    return MLP(settings["sizes"], density=1.0 - settings["sparsity"], seed=0)


def samples(settings: Record) -> Split:
    """Return the samples as bytes, and their labels."""
    sizes, count = settings["sizes"], settings["samples"]
    if "data" in settings:
        found: Dataset = Protocol(data=settings["data"], samples=count).load()
        return found.train
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, sizes[0]), np.uint8)
    return Split(Standardized(pixels, 0.5, 0.25), rng.integers(0, sizes[-1], count))


class Nerva:
    """A network of nerva: `prepare` says what `run` does and how many threads it has."""

    def __init__(self, settings: Record) -> None:
        self._model, self._optimizer = network(settings), Nesterov(MOMENTUM)
        self._batch, (self._X, self._y) = settings["batch_size"], samples(settings)

    def prepare(self, work: str, threads: int, amount: int) -> None:
        """Warm up for an epoch of `fit`, "epoch", or for predictions of `amount` samples, "predict"."""
        set_num_threads(threads)
        if work == "epoch":
            few = slice(0, WARM_UP * self._batch)
            self._fit(self._X[few], self._y[few])
            self._work: Callable[[], object] = lambda: self._fit(self._X, self._y)
        else:
            rows = _blocks(np.asarray(self._X[: max(1000, amount)]), amount)
            self._work = lambda: self._model.predict(next(rows))

    def run(self) -> None:
        """Do what was prepared."""
        self._work()

    def _fit(self, X: Any, y: Any) -> None:
        settings: Any = {"optimizer": self._optimizer, "schedule": RATE, "verbose": False}
        self._model.fit(X, y, epochs=1, batch_size=self._batch, **settings)


class Torch:
    """The same network in PyTorch, masked and dense, on rows of a tensor."""

    def __init__(self, settings: Record) -> None:
        torch = self._torch = require_torch()
        self._batch, (X, y) = settings["batch_size"], samples(settings)
        self._X, self._y = torch.from_numpy(np.asarray(X)), torch.from_numpy(y)
        self._network = Masked(network(settings), MOMENTUM, self._batch)
        self._network.optimizer.param_groups[0]["lr"] = RATE

    def prepare(self, work: str, threads: int, amount: int) -> None:
        """Warm up for `amount` steps, "masked" or "dense", or for predictions of `amount` samples, "predict"."""
        self._torch.set_num_threads(threads)
        if work == "predict":
            rows = _blocks(self._X[: max(1000, amount)], amount)
            self._work: Callable[[], object] = lambda: self._predict(next(rows))
        else:
            self._train(WARM_UP, work == "masked")
            self._work = lambda: self._train(amount, work == "masked")

    def run(self) -> None:
        """Do what was prepared."""
        self._work()

    def _train(self, steps: int, masked: bool) -> None:
        order = self._torch.randperm(len(self._y))[: steps * self._batch]
        for rows in order.split(self._batch):
            self._network.update(self._X.index_select(0, rows), self._y.index_select(0, rows), masked=masked)

    def _predict(self, X: Any) -> Any:
        with self._torch.inference_mode():
            return self._network.model(X).argmax(1)


@contextmanager
def started(*made: tuple[type, Record]) -> Iterator[list[Worker]]:
    """Start a process for each kind and make it there, with its settings; they end with the context."""
    workers: list[Worker] = []
    try:
        for kind, settings in made:
            workers.append(Worker())
            workers[-1].make(kind, settings)
        yield workers
    finally:
        for worker in workers:
            worker.close()


def once(worker: Worker, work: str, threads: int, amount: int, *, part: float = 1.0) -> Callable[[], Times]:
    """Return a turn of one call, which does this part of what its time is told of."""

    def turn() -> Times:
        worker.call("prepare", work, threads, amount)
        times = worker.times("run", 1, threads, False)
        return times._replace(seconds=[s / part for s in times.seconds])

    return turn


def repeated(worker: Worker, work: str, threads: int, amount: int, *, turn: float = 0.15) -> Callable[[], Times]:
    """Return a turn of as many calls as take `turn` seconds; the median of their times counts."""
    worker.call("prepare", work, threads, amount)
    fastest = min(worker.times("run", FEWEST, threads).seconds)
    count = max(FEWEST, min(MOST, round(turn / fastest)))

    def repeat() -> Times:
        worker.call("prepare", work, threads, amount)
        return worker.times("run", count, threads)

    return repeat


def nerva_seconds(sizes: tuple[int, ...], sparsity: float, batch_size: int, steps: float, threads: int = 1) -> float:
    """Return the estimated seconds of training steps of nerva."""
    weights = max((1.0 - sparsity) * dense_weights(sizes), 1.0)
    return steps * (STEP + PER_WEIGHT * weights * batch_size / threads)


def torch_seconds(sizes: tuple[int, ...], batch_size: int, steps: float, threads: int = 1) -> float:
    """Return the estimated seconds of training steps of masked PyTorch."""
    return steps * (STEP + PER_DENSE_WEIGHT * dense_weights(sizes) * batch_size / threads)


def dense_weights(sizes: tuple[int, ...]) -> int:
    """Return the weights of the dense network, biases not counted."""
    return sum(D * K for D, K in pairwise(sizes))


def _blocks(rows: Any, size: int) -> Iterator[Any]:
    """Yield blocks of consecutive rows, and again from the first."""
    while True:
        for start in range(0, len(rows) - size + 1, size):
            yield rows[start : start + size]
