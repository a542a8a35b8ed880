"""The progress of a training run on standard output: a bar during an epoch, in a terminal, and a line after it."""

from __future__ import annotations

import sys
import time
from typing import Any

from nerva.training.history import EpochRecord

REFRESH = 0.1  # seconds between two updates of the bar
COLUMNS: tuple[str, ...] = ("epoch", "learning rate", "  loss", "train accuracy", "test accuracy", "seconds")
WITHOUT_ACCURACY: tuple[str, ...] = ("epoch", "learning rate", "train loss", " test loss", "seconds")


def shown_by(verbose: bool | str) -> Progress | None:
    """Return what shows the progress of a `fit`, None where nothing shall.

    Parameters
    ----------
    verbose : "auto" shows it where somebody sees it, in a terminal and in a notebook; True anywhere, False nowhere

    Raises TypeError for anything else.
    """
    if not (isinstance(verbose, str) and verbose == "auto") and verbose not in (True, False):
        raise TypeError(f"verbose is {verbose!r}; it must be True, False or 'auto'")
    return Progress() if (_is_seen(sys.stdout) if verbose == "auto" else verbose) else None


def _is_seen(stream: Any) -> bool:
    """Whether somebody sees what is written to a stream: it is a terminal, or that of a notebook."""
    if stream is None or getattr(stream, "closed", False):
        return False
    return bool(stream.isatty()) or type(stream).__module__.split(".")[0] == "ipykernel"


class Progress:
    """Show a training run on standard output, as a callback of `fit`: the bar only in a terminal.

    Parameters
    ----------
    quiet : whether nothing is shown

    Raises OSError if standard output cannot be written.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet, self._console = quiet, console()
        self._bar = bars(self._console, quiet)
        self._task = self._bar.add_task("epoch", left="")
        self._columns = COLUMNS
        self._epochs = self._first = self._epoch = 0
        self._started = self._shown = 0.0

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print lines, above the bar, unless quiet."""
        if not self._quiet:
            print_on(self._console, text, style)

    def on_train_begin(self, run: Any) -> None:
        """Print the head of the lines, and begin the bar."""
        self._epochs, self._first, self._epoch = run.epochs, run.current_epoch, run.current_epoch
        self._columns = COLUMNS if run.loss.has_accuracy else WITHOUT_ACCURACY
        self.say("  ".join(self._columns), "bold")
        self._bar.update(self._task, description=f"epoch {self._epoch + 1} of {self._epochs}")
        self._bar.start()
        self._started = self._shown = time.monotonic()

    def on_train_end(self, run: Any) -> None:
        """Take the bar away."""
        self._bar.stop()

    def on_batch(self, batch: int, batches: int) -> None:
        """Update the bar, at most every REFRESH seconds."""
        now = time.monotonic()
        if now - self._shown < REFRESH:
            return
        self._shown = now
        done = (self._epoch - self._first + batch / batches) / (self._epochs - self._first)
        self._bar.update(
            self._task,
            description=f"epoch {self._epoch + 1} of {self._epochs}",
            completed=batch,
            total=batches,
            left=f"{duration((now - self._started) * (1 / done - 1))} left",
        )
        self._bar.refresh()

    def __call__(self, model: object, record: EpochRecord) -> None:
        self._epoch = record.epoch
        if self._columns is WITHOUT_ACCURACY:
            tested = ["" if record.test_loss is None else _figure(record.test_loss)]
        else:
            tested = ["" if part is None else f"{part:.2%}" for part in (record.train_accuracy, record.test_accuracy)]
        start = [str(record.epoch), f"{record.learning_rate:g}", _figure(record.loss)]
        cells = [*start, *tested, f"{record.seconds:.2f}"]
        self.say("  ".join(cell.rjust(len(name)) for cell, name in zip(cells, self._columns, strict=True)))


def _figure(loss: float) -> str:
    """Return a loss as text: with four decimals, unless it is large, as that of numbers may be."""
    return f"{loss:.4f}" if not abs(loss) >= 1e5 else f"{loss:.5g}"


def console() -> Any:
    """Return a console that does not exit when the pipe is closed."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Re-raise the BrokenPipeError that is being handled."""
            raise

    # In a notebook, too, lines are text: its widgets would be lost where it is run by a program.
    return Plain(highlight=False, markup=False, emoji=False, soft_wrap=True, force_jupyter=False)


def bars(console: Any, quiet: bool, *columns: Any, auto_refresh: bool = False) -> Any:
    """Return rich's Progress, which draws nothing but in a terminal; by default its tasks have the field `left`."""
    from rich.progress import BarColumn, Progress, TextColumn  # late: rich takes longer to import than nerva

    percent = TextColumn("{task.percentage:3.0f}%  {task.fields[left]}")
    return Progress(
        *(columns or (TextColumn("{task.description}"), BarColumn(complete_style="green"), percent)),
        console=console,
        auto_refresh=auto_refresh,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=quiet or not console.file.isatty() or console.is_dumb_terminal,
    )


def print_on(console: Any, text: str, style: str | None = None) -> None:
    """Print lines, above the bars; raise OSError, which names standard output, if it cannot be written."""
    try:
        console.print(text, style=style)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"cannot write to standard output: {error.strerror}") from error


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
