"""Measure what a run of `nerva train` costs: some of its steps, an evaluation and a checkpoint."""

from __future__ import annotations

import subprocess
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from nerva._kernels import mkl
from nerva.cli.arguments import parse
from nerva.cli.build import (
    build_network,
    build_topology,
    fit_settings,
    fit_topology,
    load_data,
    settle_task,
)
from nerva.datasets import Dataset
from nerva.experiments.engines import threads_here
from nerva.experiments.prediction import Costs
from nerva.system.program import python
from nerva.training.history import StopTraining

STEPS, SECONDS, PART = 8, 1.0, 0.05  # measured at least, and then until this long, or this part of the run
IMPORTS = "import nerva.cli, nerva.cli.report, rich.console, rich.progress"


def measure(argv: Sequence[str], threads: int | None = None) -> Costs:
    """Return what a run of `nerva train` with these options costs in this process, as a task of `run_all`.

    Parameters
    ----------
    argv : options that `nerva train` takes
    threads : of the run; None is what the engine gives each

    Raises what the run would raise.
    """
    options = parse(["train", *argv])
    before = mkl.get_num_threads()
    mkl.set_num_threads(threads or threads_here())
    try:
        began = perf_counter()
        subprocess.run([*python(), "-c", IMPORTS], check=False)
        started = perf_counter()
        data = load_data(options, options.task)
        settle_task(options, data)
        fit_topology(options, data)
        loaded = perf_counter()
        costs = _measure(options, data)
        if options.final_density is not None and options.topology != "top-kast":
            costs = costs.mixed(_thinned(options, data), _part_thin(options))
        return Costs(started - began, loaded - started + costs.setup, costs.epoch)
    finally:
        mkl.set_num_threads(before)


def _measure(options: Namespace, data: Dataset) -> Costs:
    """Return the costs of a run from its start to the first step, and of an epoch, without the start of a process."""
    began = perf_counter()
    model, clock = build_network(options, data), Clock()
    with tempfile.TemporaryDirectory(prefix="nerva-") as folder:
        settings = fit_settings(options, data) | {"diverged": "warn", "callbacks": [clock]}
        model.fit(*data.train, validation=data.test, verbose=False, checkpoint=Path(folder) / "checkpoint", **settings)
        ended = perf_counter()
    steps = -(-len(data.train.y) // options.batch_size)
    method = settings["topology"]
    updates = 0 if method is None else len(method.when.updates(options.epochs * steps, steps)) / options.epochs
    epoch = steps * clock.step + updates * clock.update + ended - clock.trained
    return Costs(0.0, clock.begun - began + clock.first, epoch)


def _thinned(options: Namespace, data: Dataset) -> Costs:
    """Return the costs once a method has thinned the network out."""
    thin = {"density": options.final_density, "densities": None, "topology": None, "final_density": None}
    return _measure(Namespace(**{**vars(options), **thin}), data)


def _part_thin(options: Namespace) -> float:
    """Return the part of the weights that thinning out, by a cubic schedule, has dropped in the mean of all steps."""
    method: Any = build_topology(options)
    return float(1 - method.when.start - (method.when.end - method.when.start) / 4)


class Clock:
    """A callback of `fit` that ends it after some steps, and knows then how long they took, in seconds.

    `begun` is when the first step began, `trained` when the last one ended; `first` is what the first step takes more
    than others, `step` the mean of the others, and `update` what a step with an update of the topology takes more.
    """

    def __init__(self) -> None:
        self.begun = self.trained = self.first = self.step = self.update = 0.0
        self._plain: list[float] = []
        self._moving: list[float] = []
        self._moved = False
        self._steps = 0

    def on_epoch_begin(self, run: Any) -> None:
        """Begin."""
        self._steps = run.epochs * len(run.batches)
        self.begun = self.trained = perf_counter()

    def on_topology_update(self, run: Any, records: Any) -> None:
        """Remember that this step had an update."""
        self._moved = True

    def on_batch(self, batch: int, batches: int) -> None:
        """Take the time, and end the run where there is enough of it."""
        now = perf_counter()
        taken, self.trained = now - self.trained, now
        if batch == 1:
            self.first = taken
        else:
            (self._moving if self._moved else self._plain).append(taken)
        self._moved = False
        enough = min(SECONDS, PART * self._steps * taken)
        if batch == batches or (batch > STEPS and now - self.begun - self.first > enough):
            plain, moving = self._plain or self._moving or [self.first], self._moving
            self.step = sum(plain) / len(plain)
            self.first = max(0.0, self.first - self.step)
            self.update = max(0.0, sum(moving) / len(moving) - self.step) if moving and self._plain else 0.0
            raise StopTraining
