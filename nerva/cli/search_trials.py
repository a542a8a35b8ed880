"""A trial of `nerva search`: a training run of `nerva train`, judged by training samples that are held out."""

from __future__ import annotations

import contextlib
import io
import warnings
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nerva.callbacks.interruption import DeferredInterrupt
from nerva.cli.arguments import parse
from nerva.cli.build import Failure, build_loss, build_network, fit_settings, fit_topology, load_data, settle_task
from nerva.cli.explain import explain
from nerva.datasets import Dataset
from nerva.datasets.dataset import Split
from nerva.experiments.search import Impossible, Trial
from nerva.experiments.space import Value
from nerva.system.signals import handling
from nerva.training.history import EpochRecord
from nerva.training.training_data import split


class Trials:
    """The objective of a search: trains the networks of trials on a part of the training samples.

    Parameters
    ----------
    options : those of `nerva search`

    `metric` is "accuracy" or, where the loss has none, "loss"; both are of the samples held out. The test samples are
    not looked at. Raises Failure or OSError where the data cannot be read, or no trial could be run.
    """

    def __init__(self, options: Namespace) -> None:
        self._options = options
        first = self.options_of(options.settings.first())
        data = load_data(first, first.task)
        settle_task(first, data)
        self.metric = "accuracy" if build_loss(first, data).has_accuracy else "loss"
        if self.metric == "loss" and "loss" in options.settings.space.values:
            raise Failure("--over loss: the trials are judged by the loss, which must be the same", 2)
        self.sizes = {"samples": str(len(data.train.y)), "features": str(data.train.X.shape[1])}
        self.data = hold_out(data, options.validation_split)

    @property
    def maximize(self) -> bool:
        """Whether a higher figure is better."""
        return self.metric == "accuracy"

    def words(self, params: Mapping[str, Value]) -> list[str]:
        """Return the command line of `nerva train` with the settings of a trial, without `nerva train`."""
        seed = ["--seed", str(self._options.seed)] if self._options.seed else []
        return [*self._options.settings.words(params), *seed]

    def options_of(self, params: Mapping[str, Value]) -> Namespace:
        """Return the options of a trial; raise Impossible where they contradict each other."""
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors):
                return parse(["train", *self.words(params)])
        except SystemExit:
            raise Impossible(errors.getvalue().strip().removeprefix("nerva train: ")) from None

    def __call__(self, trial: Trial) -> float:
        """Train the network of a trial, and return its figure after the last epoch."""
        options = self.options_of(trial.params)
        figures: list[float] = []

        def tell(model: object, record: EpochRecord) -> None:
            figure = record.test_accuracy if self.metric == "accuracy" else record.test_loss
            figures.append(float("nan") if figure is None else figure)
            if np.isfinite(figures[-1]):
                trial.report(record.epoch, figures[-1], last=record.epoch == options.epochs)

        patience = DeferredInterrupt()
        try:
            settle_task(options, self.data)
            fit_topology(options, self.data)
            with handling(patience.hold), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model, settings = build_network(options, self.data), fit_settings(options, self.data)
                model.fit(
                    *self.data.train, validation=self.data.test, **settings, verbose=False, callbacks=[patience, tell]
                )
        except (Failure, ValueError) as error:
            raise Impossible(explain(error, options)) from error
        except MemoryError as error:
            raise Impossible(str(error) or "out of memory") from error
        return figures[-1]


def hold_out(data: Dataset, fraction: float) -> Dataset:
    """Return the training samples alone, a part of them in place of the test samples: the same part in every call."""
    X, y = data.train
    try:
        rows, held_out = split(y, fraction)
    except ValueError as error:
        problem = str(error).replace(f"validation_split is {fraction}", f"--validation-split {fraction:g}")
        raise Failure(problem, 2) from error
    parts: list[Any] = [Split(X[part], y[part]) for part in (rows, held_out)]
    return replace(data, train=parts[0], test=parts[1])
