"""The command `nerva train`."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerva._kernels import isa, mkl
from nerva.backends.config import config
from nerva.callbacks.interruption import DeferredInterrupt
from nerva.callbacks.json_lines import Metrics
from nerva.cli.build import (
    Failure,
    build_network,
    fit_settings,
    fit_topology,
    gaps,
    load_data,
    save_model,
    settle_task,
)
from nerva.cli.explain import explain, told
from nerva.cli.scores import scores
from nerva.cli.tables import is_table, names_of
from nerva.datasets import Dataset
from nerva.inspection.gradients import check_gradients
from nerva.losses import Loss
from nerva.models.sequential import Sequential
from nerva.saving.weights import check_model
from nerva.system.files import check_writable
from nerva.system.signals import deferred, handling
from nerva.training.checkpoints import checkpoint_files
from nerva.training.history import Diverged
from nerva.training.profiling import Profile, profile

if TYPE_CHECKING:
    from nerva.cli.report import Report


def train(options: Namespace, argv: Sequence[str]) -> None:
    """Train a network as the options say, and show it; raise Failure or OSError if that fails."""
    from nerva.cli.report import Report  # brings rich, which no other command needs

    with contextlib.ExitStack() as stack:
        # Opened first: a file that cannot be written shall not be found out after the data are loaded.
        metrics = stack.enter_context(_open_metrics(options)) if options.metrics is not None else None
        stack.enter_context(told(options))
        if options.threads is not None:
            mkl.set_num_threads(options.threads)
        report = Report(options.epochs, quiet=options.quiet)
        data = load_data(options, options.task)
        settle_task(options, data)
        if (options.data or "").lower().endswith(".npz") and (word := gaps(data)) is not None:
            print(f"nerva: {options.data}: {word}", file=sys.stderr)
        if (word := fit_topology(options, data)) is not None and not options.check_gradients:
            print(f"nerva: {word}", file=sys.stderr)
        model, settings = build_network(options, data), fit_settings(options, data)
        if options.save_weights is not None:
            check_model(model)
            check_writable(options.save_weights)
        report.say(_describe(options, data))
        report.say(f"\n{model.summary(options.batch_size)}\n")
        if options.check_gradients:
            _check_gradients(model, data, settings["loss"])
            return
        if metrics is not None and not (options.resume and _goes_on(options.checkpoint)):
            metrics.write({"run": _run_record(options, argv, data, model)})
        try:
            timer = _fit(model, data, settings, options, report, metrics)
        except (KeyboardInterrupt, OSError, MemoryError) as error:
            if options.save_weights is not None:
                _keep(model, options.save_weights)
            locked = isinstance(error, BlockingIOError)  # by another run, which goes on
            if options.checkpoint is not None and not locked and _goes_on(options.checkpoint):
                print(f"nerva: the state is in {options.checkpoint}; --resume goes on from there", file=sys.stderr)
            raise
    if timer is not None:
        print(f"\n{timer}")
    if options.save_weights is not None:
        try:
            save_model(model, options.save_weights)
        except ValueError as error:
            raise Failure(f"--save-weights: {error}") from error
    if options.data is None:
        report.say(f"\nNext, CIFAR-10, which is downloaded once (170 MB):\n  {_program()} train --data cifar10")


def _fit(
    model: Sequential,
    data: Dataset,
    settings: dict[str, Any],
    options: Namespace,
    report: Report,
    metrics: Metrics | None,
) -> Profile | None:
    """Train the network and show the result, also of an interrupted training run; return the profile, if any."""
    patience, timing = DeferredInterrupt(), profile() if options.timer else contextlib.nullcontext()
    trained: Any = model
    if options.distributed:
        from nerva.cli import distributed

        trained = distributed.share(model, options)
    try:
        with handling(patience.hold), timing as timer:
            trained.fit(
                *data.train,
                validation=data.test,
                **settings,
                checkpoint=options.checkpoint,
                checkpoint_every=options.checkpoint_every,
                resume=options.resume,
                verbose=False,
                callbacks=[report, *filter(None, [metrics]), patience],
            )
    except FileExistsError as error:
        if options.checkpoint is None:
            raise
        raise Failure(
            f"--checkpoint {options.checkpoint}: holds a run already; add --resume, or name another"
        ) from error
    except Diverged as error:
        raise Failure("stopped, since the loss is not finite: try a lower --learning-rate") from error
    except ValueError as error:
        raise Failure(explain(error, options), 2) from error
    finally:
        if is_table(options.data or ""):
            model.classes = names_of(data)  # by which predictions are told
        report.result(model, scores(model, *data.test, data.task) if report.records else [])
    if options.distributed:
        steps = len(report.records) * -(-len(data.train.y) // options.batch_size)
        report.say(distributed.told(trained, max(1, steps)))
    return timer


def _keep(model: Sequential, path: str) -> None:
    """Save the weights of a training run that something ended, and say so on standard error, or why not."""
    with deferred():
        try:
            save_model(model, path)
        except (OSError, ValueError, MemoryError) as error:
            print(f"nerva: the weights are not saved: {error}", file=sys.stderr)
        else:
            print(f"nerva: the weights trained so far are in {path}", file=sys.stderr)


def _check_gradients(model: Sequential, data: Dataset, loss: Loss) -> None:
    """Compare the gradients with finite differences on a few samples; raise Failure if one is wrong."""
    X, y = data.train
    report = check_gradients(model, np.asarray(X[:20]), y[:20], loss=loss)
    print(report)
    if not report.ok:
        raise Failure("the gradients are wrong")


def _open_metrics(options: Namespace) -> Metrics:
    try:
        return Metrics(options.metrics, overwrite=options.overwrite, resume=options.resume)
    except FileExistsError as error:
        raise Failure(f"{error}; name another file, or add --overwrite") from error


def _goes_on(folder: str) -> bool:
    """Whether there is a checkpoint to go on from."""
    return os.path.isdir(folder) and bool(checkpoint_files(Path(folder)))


def _describe(options: Namespace, data: Dataset) -> str:
    """Return a few lines about data, training and machine."""
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
    stored = f", activations {options.precision}" if options.precision == "bfloat16" else ""
    moving = f", {options.topology} every {options.update_every:,} steps" if options.topology else ""
    kinds = {"classification": "classes", "regression": "numbers to predict", "multi-label": "labels a sample"}
    alone = len(data.classes) == 1 and data.task == "regression"
    count = "a number to predict" if alone else f"{len(data.classes):,} {kinds[data.task]}"
    return (
        f"data      {data.name}: {size}; {features:,} features, {count}\n"
        f"training  {options.optimizer}{momentum}{decay}, learning rate {options.learning_rate:g}{steps}, "
        f"batches of {options.batch_size:,}{augmented}{moving}\n"
        f"machine   {threads} thread{'s' * (threads > 1)}, {isa.chosen()}, {options.dtype}{stored}, seed {options.seed}"
    )


def _run_record(options: Namespace, argv: Sequence[str], data: Dataset, model: Sequential) -> dict[str, Any]:
    """Return the record of a run: its settings, the network they led to, and what it runs on."""
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


def _program() -> str:
    """Return the command by which this program was started."""
    called = sys.argv[0]
    if os.path.basename(called) == "__main__.py":
        return f"{sys.orig_argv[0]} -m nerva"
    return "nerva" if os.path.basename(called) != "nerva" or shutil.which("nerva") == called else shlex.quote(called)
