"""The output of `nerva train` on the terminal: a progress bar, a line for each epoch, and a summary."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from nerva.layers import Linear, SparseLinear
from nerva.models.sequential import Sequential
from nerva.training.history import EpochRecord

REFRESH = 0.1  # seconds between two updates of the bar
COLUMNS = ("epoch", "learning rate", "  loss", "train accuracy", "test accuracy", "seconds")


class Report:
    """Show a training run on standard output: a bar during an epoch, a line after it, and a summary at the end.

    A callback of `fit`, and a context manager around it: `with report: model.fit(..., callbacks=[report])`. Only a
    terminal gets the bar.

    Parameters
    ----------
    epochs : of the whole training
    quiet : whether to print the result alone, as one line

    Raises OSError if standard output cannot be written.
    """

    def __init__(self, epochs: int, *, quiet: bool = False) -> None:
        self.records: list[EpochRecord] = []
        self._epochs = epochs
        self._quiet = quiet
        self._console = _Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        live = self._console.file.isatty() and not self._console.is_dumb_terminal and not quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(complete_style="green"),
            TextColumn("{task.percentage:3.0f}%  {task.fields[left]}"),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not live,
        )
        self._task = self._bar.add_task(f"epoch 1 of {epochs}", left="")
        self._started = self._shown = 0.0

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print lines, above the bar, unless quiet."""
        if not self._quiet:
            self._print(text, style)

    def _print(self, text: str, style: str | None = None) -> None:
        try:
            self._console.print(text, style=style)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(f"cannot write to standard output: {error.strerror}") from error

    def __enter__(self) -> Report:
        self.say("  ".join(COLUMNS), "bold")
        self._bar.start()
        self._started = self._shown = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_batch(self, batch: int, batches: int) -> None:
        """Update the bar, at most every REFRESH seconds."""
        now = time.monotonic()
        if now - self._shown < REFRESH:
            return
        self._shown = now
        done = (len(self.records) + batch / batches) / self._epochs
        self._bar.update(
            self._task,
            description=f"epoch {len(self.records) + 1} of {self._epochs}",
            completed=batch,
            total=batches,
            left=f"{duration((now - self._started) * (1 / done - 1))} left",
        )
        self._bar.refresh()

    def __call__(self, model: object, record: EpochRecord) -> None:
        self.records.append(record)
        cells = (
            str(record.epoch),
            f"{record.learning_rate:g}",
            f"{record.loss:.4f}",
            "" if record.train_accuracy is None else f"{record.train_accuracy:.2%}",
            "" if record.test_accuracy is None else f"{record.test_accuracy:.2%}",
            f"{record.seconds:.2f}",
        )
        self.say("  ".join(cell.rjust(len(name)) for cell, name in zip(cells, COLUMNS, strict=True)))

    def state(self) -> list[dict[str, Any]]:
        """Return the records so far, for a checkpoint."""
        return [asdict(record) for record in self.records]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Go on from the records of a checkpoint."""
        self.records[:] = [EpochRecord(**record) for record in state]
        self.say(f"going on after epoch {len(self.records)}, from a checkpoint")

    def result(self, model: Sequential) -> None:
        """Print the result of the epochs so far, beside the dense network; nothing before the first."""
        if not self.records:
            return
        last, count = self.records[-1], len(self.records)
        seconds = sum(record.seconds for record in self.records)
        accuracy = f"{(last.test_accuracy if last.test_accuracy is not None else last.train_accuracy) or 0.0:.2%}"
        epochs = f"{count} of {self._epochs} epochs" if count < self._epochs else f"{count} epoch{'s' * (count > 1)}"
        if self._quiet:
            self._print(
                f"test accuracy {accuracy} after {epochs}, {seconds / count:.2f} s per epoch, "
                f"{model.nnz:,} of {model.dense_size:,} weights"
            )
            return
        self.say(f"\ntest accuracy        {accuracy} after {epochs}", "bold")
        self.say(f"training time        {seconds / count:.2f} s per epoch, {duration(seconds)} in all\n")
        self.say(f"{'':19}{'this network':>14}{'dense':>12}{'of dense':>10}")
        held = sum(layer.weight.nbytes for layer in model.layers if isinstance(layer, (Linear, SparseLinear)))
        for name, here, dense, show in (
            ("weights", model.nnz, model.dense_size, "{:,}".format),
            ("memory for weights", held, model.dense_size * model.dtype.itemsize, size),
            ("memory in training", model.nbytes, dense_nbytes(model), size),
        ):
            self.say(f"{name:19}{show(here):>14}{show(dense):>12}{here / dense:>10.2%}")


class _Console(Console):
    """A console that does not exit when the pipe is closed."""

    def on_broken_pipe(self) -> None:
        """Re-raise the BrokenPipeError that is being handled."""
        raise


def dense_nbytes(model: Sequential) -> int:
    """Return the bytes of weights, biases, their gradients and optimizer state if the network were dense."""
    parameters = model.parameters()
    copies = 2 + max(len(parameter.state) for parameter in parameters)
    biases = sum(parameter.values.size for parameter in parameters if parameter.name == "bias")
    return (model.dense_size + biases) * model.dtype.itemsize * copies


def duration(seconds: float) -> str:
    """Return a time as text: 12 s, 3 min 05 s, 2 h 07 min.

    >>> duration(185.3)
    '3 min 05 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(nbytes: float) -> str:
    """Return an amount of memory as text.

    >>> size(14_700_544)
    '14.7 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:,.3g} TB"
