"""The command `nerva train`."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import numpy as np

from nerva._kernels import isa, mkl
from nerva.backends.config import config
from nerva.callbacks.interruption import DeferredInterrupt
from nerva.callbacks.json_lines import Metrics
from nerva.cli.build import Failure, build, load, loss, optimizer, schedule, topology
from nerva.datasets import Augment, Dataset
from nerva.inspection.gradients import check_gradients
from nerva.losses import Loss
from nerva.models.sequential import Sequential
from nerva.saving.weights import check_model, save_weights
from nerva.system.files import check_writable
from nerva.system.signals import handling
from nerva.training.history import EpochRecord, StopTraining
from nerva.training.profiling import profile


def train(options: Namespace, argv: Sequence[str]) -> None:
    """Train a network as the options say, and show it; raise Failure or OSError where that fails."""
    from nerva.cli.report import Report  # rich, which nothing else needs

    with contextlib.ExitStack() as stack:
        metrics = None
        if options.metrics is not None:
            metrics = stack.enter_context(_open_metrics(options))
        if options.threads is not None:
            mkl.set_num_threads(options.threads)
        report = Report(options.epochs, quiet=options.quiet)
        data = load(options)
        model, judge = build(options, data), loss(options, data)
        if options.save_weights is not None:
            check_model(model)
            check_writable(options.save_weights)
        report.say(_describe(options, data))
        report.say(f"\n{model.summary()}\n")
        if options.check_gradients:
            _check_gradients(model, data, judge)
            return
        if metrics is not None:
            metrics.write({"run": _run(options, argv, data, model)})
        patience, timing = DeferredInterrupt(), profile() if options.timer else contextlib.nullcontext()
        try:
            with handling(patience.hold), timing as timer, report, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "the loss is not finite")  # _stop_when_lost says more
                model.fit(
                    *data.train,
                    validation=data.test,
                    epochs=options.epochs,
                    batch_size=options.batch_size,
                    optimizer=optimizer(options),
                    schedule=schedule(options),
                    topology=topology(options),
                    loss=judge,
                    shuffle=not options.no_shuffle,
                    augment=Augment(data.image_shape) if options.augment and data.image_shape else None,
                    callbacks=[report, *filter(None, [metrics]), _stop_when_lost, patience],
                )
        except ValueError as error:
            raise Failure(error, 2) from error  # a topology that is never due, a batch too small to be normalised
        finally:
            report.result(model)
    if _is_lost(report.records[-1]):
        raise Failure("stopped, since the loss is not finite: try a lower --learning-rate")
    if timer is not None:
        print(f"\n{timer}")
    if options.save_weights is not None:
        save_weights(model, options.save_weights)
    if options.data is None:
        report.say(f"\nNext, CIFAR-10, which is downloaded once (170 MB):\n  {_program()} train --data cifar10")


def _check_gradients(model: Sequential, data: Dataset, loss: Loss) -> None:
    """Print how the gradients compare with differences, on a few samples; raise Failure where one is wrong."""
    X, y = data.train
    report = check_gradients(model, np.asarray(X[:20]), y[:20], loss=loss)
    print(report)
    if not report.ok:
        raise Failure("the gradients are wrong")


def _open_metrics(options: Namespace) -> Metrics:
    try:
        return Metrics(options.metrics, overwrite=options.overwrite)
    except FileExistsError as error:
        raise Failure(f"{error}; name another file, or add --overwrite") from error


def _describe(options: Namespace, data: Dataset) -> str:
    """Say in a few lines what is about to happen."""
    samples, features = data.train.X.shape
    size = f"{samples:,} samples to train on, {len(data.test.y):,} to test on"
    momentum = "" if options.momentum is None else f", momentum {options.momentum:g}"
    decay = f", weight decay {options.weight_decay:g}" if options.weight_decay else ""
    threads = mkl.get_num_threads()
    reached = ", ".join(str(milestone) for milestone in options.milestones if milestone < options.epochs)
    augmented = ", augmented" if options.augment else ""
    steps = f", times {options.gamma:g} after epoch {reached}" if reached else ""
    if options.schedule not in ("milestones", "constant"):
        steps = f", {options.schedule}"
    moving = f", {options.topology} every {options.update_every:,} steps" if options.topology else ""
    return (
        f"data      {data.name}: {size}; {features:,} features, {len(data.classes)} classes\n"
        f"training  {options.optimizer}{momentum}{decay}, learning rate {options.learning_rate:g}{steps}, "
        f"batches of {options.batch_size:,}{augmented}{moving}\n"
        f"machine   {threads} thread{'s' * (threads > 1)}, {isa.chosen()}, {options.dtype}, seed {options.seed}"
    )


def _run(options: Namespace, argv: Sequence[str], data: Dataset, model: Sequential) -> dict[str, Any]:
    """Return what is to be known of a run: the settings, what they led to, and what it runs on."""
    idle = {"command", "version", "quiet", "metrics", "overwrite"}
    machine = config()
    return {
        "command": shlex.join(["nerva", *argv]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: value for name, value in vars(options).items() if name not in idle},
        "data": options.data or "shapes",
        "train_samples": len(data.train.y),
        "test_samples": len(data.test.y),
        "features": model.in_features,
        "classes": model.out_features,
        "layers": [
            {"in": layer.in_features, "out": layer.out_features, "density": layer.density, "nnz": layer.nnz}
            for layer in model.layers
        ],
        "nnz": model.nnz,
        "dense_weights": model.dense_size,
        "bytes": model.nbytes,
        "threads": mkl.get_num_threads(),
        "isa": isa.chosen(),
        "processor": machine["processor"],
        "nerva": machine["nerva"],
        "python": machine["Python"],
        "numpy": machine["NumPy"],
        "mkl": machine["MKL"],
    }


def _stop_when_lost(model: object, record: EpochRecord) -> None:
    """End a training whose loss is not finite: so are its weights, for good."""
    if _is_lost(record):
        raise StopTraining


def _is_lost(record: EpochRecord) -> bool:
    return not isfinite(record.loss) or (record.test_loss is not None and not isfinite(record.test_loss))


def _program() -> str:
    """Return how to call this command again from here."""
    called = sys.argv[0]
    if os.path.basename(called) == "__main__.py":
        return f"{sys.orig_argv[0]} -m nerva"
    return "nerva" if os.path.basename(called) != "nerva" or shutil.which("nerva") == called else shlex.quote(called)
