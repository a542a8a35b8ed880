"""The command `nerva`: trains from the shell, and tells what it runs on.

Exit codes: 0 when it did what was asked; 1 when something failed on the way (data, disk, memory, a loss that is not
finite); 2 when the command line asks for what cannot be; 128 + n when signal n ended it, 130 for Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import numpy as np

from nerva import calibration
from nerva._kernels import isa, mkl
from nerva.arguments import parse
from nerva.checkpoint import check_model, save_weights
from nerva.configuration import config, package_version, show_config
from nerva.datasets import Augment, Dataset
from nerva.files import check_writable
from nerva.gradients import check_gradients
from nerva.history import EpochRecord, StopTraining
from nerva.interrupts import Patience, handling, interrupt
from nerva.losses import Loss
from nerva.metrics import Metrics
from nerva.network import Sequential
from nerva.options import Failure, build, load, loss, optimizer, schedule, topology
from nerva.profiling import profile


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process, and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        with handling(interrupt):
            options = parse(argv)
            if options.command == "train":
                train(options, argv)
            else:
                _tell(options)
        code = 0
    except SystemExit as ended:  # the parser, after --help or a complaint of its own
        code = int(ended.code or 0)
    except Failure as failure:
        code = _complain(failure, failure.code)
    except KeyboardInterrupt as signalled:
        code = _complain("interrupted", 128 + (signalled.args[0] if signalled.args else signal.SIGINT))
    except BrokenPipeError:  # nobody reads on, which is nobody's mistake
        code = 128 + signal.SIGPIPE
    except OSError as error:
        code = _complain(error, 1)
    except MemoryError as error:
        code = _complain(str(error) or "out of memory", 1)
    return _flush(code)


def _tell(options: Namespace) -> None:
    """Print the version, or all that nerva runs on, measured anew where asked for."""
    try:
        if options.version:
            print(f"nerva {package_version()}")
        else:
            show_config()
            for dtype in ("float32", "float64"):
                if options.calibrate:
                    calibration.calibrate(dtype)
                print(f"\n{calibration.describe(dtype)}")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"cannot write to standard output: {error.strerror}") from error


def train(options: Namespace, argv: Sequence[str]) -> None:
    """Train a network as the options say, and show it; raise Failure or OSError where that fails."""
    from nerva.progress import Report  # rich, which nothing else needs

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
        patience, timing = Patience(), profile() if options.timer else contextlib.nullcontext()
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


def _complain(problem: object, code: int) -> int:
    """Print one line about a problem, and return the exit code."""
    print("nerva:", *str(problem).split(), file=sys.stderr)
    return code


def _flush(code: int) -> int:
    """Hand standard output over while a failure can still be told, and return the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError):  # or the interpreter would try again, and tell it in its own way
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return code or 128 + signal.SIGPIPE
        if code == 0:
            return _complain(f"cannot write to standard output: {error.strerror}", 1)
    return code
