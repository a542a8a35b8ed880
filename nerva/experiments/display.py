"""The progress of many runs on standard output: bars in a terminal, a line for each run that ends elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from nerva.experiments.runs import METRICS, Run
from nerva.training.progress import bars, console, duration, print_on

REFRESH = 0.5  # seconds between two looks at the folders of the runs
SHOWN = 8  # runs with a bar of their own at a time


class Display:
    """Show runs, told by their folders; a context that looks at them until it ends.

    Parameters
    ----------
    runs : all that are shown
    epochs : of each run
    seconds : that each run is reckoned to take; None where nobody knows
    quiet : whether nothing is shown

    Raises OSError if standard output cannot be written.
    """

    def __init__(
        self, runs: Sequence[Run], epochs: Sequence[int], seconds: Sequence[float] | None = None, *, quiet: bool = False
    ) -> None:
        self._runs, self._epochs, self._quiet = runs, epochs, quiet
        self._weights = list(seconds) if seconds else [float(count) for count in epochs]
        self._done, self._failed, self._parts = 0, 0, [0.0] * len(runs)
        self._ended, self._sizes = [False] * len(runs), [-1] * len(runs)
        self._console = console()
        self._bar = bars(self._console, quiet)
        self._all = self._bar.add_task(f"0 of {len(runs)} runs", total=sum(self._weights), left="")
        self._tasks: dict[int, Any] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True) if not self._bar.disable else None
        self._over, self._lock = threading.Event(), threading.RLock()
        self._started = time.monotonic()
        self._before = 0.0

    def __enter__(self) -> Display:
        self._started = time.monotonic()
        self._look()
        self._before = self._work()
        self._bar.start()
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars, unless quiet."""
        if self._quiet:
            return
        with self._lock:
            self.result(text)

    def result(self, text: str) -> None:
        """Print a line, quiet or not."""
        print_on(self._console, text)

    def ended(self, index: int, row: Mapping[str, Any]) -> None:
        """Tell that a run has ended, and how, by its row of the table."""
        with self._lock:
            self._ended[index], self._parts[index] = True, 1.0
            self._done += 1
            self._failed += row["status"] == "failed"
            self.say(f"{self._done} of {len(self._runs)}  {self._runs[index].name}  {_told(row)}")
            if (task := self._tasks.pop(index, None)) is not None:
                self._bar.remove_task(task)
            self._update()

    def _watch(self) -> None:
        while not self._over.wait(REFRESH):
            with self._lock:
                self._look()
                self._update()

    def _look(self) -> None:
        """See how far the runs are that have not ended."""
        for i, run in enumerate(self._runs):
            if self._ended[i]:
                continue
            try:
                size = (run.folder / METRICS).stat().st_size
                if size != self._sizes[i]:
                    lines = (run.folder / METRICS).read_bytes().count(b"\n") - 1
                    self._sizes[i], self._parts[i] = size, min(1.0, max(0, lines) / self._epochs[i])
            except OSError:
                continue
            if i not in self._tasks and self._thread is not None and len(self._tasks) < SHOWN:
                self._tasks[i] = self._bar.add_task(run.name, total=self._epochs[i], left="")

    def _work(self) -> float:
        return sum(part * weight for part, weight in zip(self._parts, self._weights, strict=True))

    def _update(self) -> None:
        done, elapsed = self._work(), time.monotonic() - self._started
        moved = done - self._before
        left = f"{duration(elapsed * (sum(self._weights) - done) / moved)} left" if moved > 0 else ""
        failed = f", {self._failed} failed" if self._failed else ""
        name = f"{self._done} of {len(self._runs)} runs{failed}"
        self._bar.update(self._all, description=name, completed=done, left=left)
        for i, task in self._tasks.items():
            epochs = round(self._parts[i] * self._epochs[i])
            self._bar.update(task, completed=epochs, left=f"epoch {epochs} of {self._epochs[i]}")
        if self._thread is not None:
            self._bar.refresh()


def _told(row: Mapping[str, Any]) -> str:
    """Return how a run ended in a few words."""
    if row["status"] == "failed":
        return f"failed: {row['error']}"
    if row["status"] != "done":
        return str(row["status"])
    accuracy, loss = row.get("test_accuracy"), row.get("test_loss")
    figure = (
        f"test accuracy {accuracy:.2%}" if accuracy is not None else "" if loss is None else f"test loss {loss:.5g}"
    )
    return "  ".join(filter(None, [figure, f"{row['seconds']:.1f} s"]))
