"""The progress of a reproduction on standard output: a line for each unit of work, and in a terminal a bar."""

from __future__ import annotations

import time
from collections.abc import Sequence

from nerva.experiments.paper.pool import Done
from nerva.experiments.paper.run import minutes
from nerva.experiments.paper.units import Unit
from nerva.training.progress import bars, console, duration, print_on


class Display:
    """Show units of work, as a context.

    Parameters
    ----------
    units : that are to be done
    seconds : that they will take, as it is predicted
    quiet : whether nothing is shown

    Raises OSError if standard output cannot be written.
    """

    def __init__(self, units: Sequence[Unit], seconds: float, *, quiet: bool = False) -> None:
        from rich.progress import BarColumn, TextColumn

        self._quiet, self._console = quiet, console()
        self._cost, self._spent = max(1e-9, sum(unit.cost for unit in units)), 0.0
        self._count, self._done, self._seconds = len(units), 0, seconds
        self._running: dict[str, Unit] = {}
        columns = BarColumn(complete_style="green"), TextColumn("{task.description}")
        self._bar = bars(self._console, quiet, *columns, auto_refresh=True)
        self._task = self._bar.add_task("", total=self._cost)
        self._began = time.monotonic()

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print lines, above the bar, unless quiet."""
        if not self._quiet:
            print_on(self._console, text)

    def started(self, unit: Unit) -> None:
        """Show that a unit has begun."""
        self._running[unit.name] = unit
        self._update()

    def done(self, done: Done) -> None:
        """Print what came of a unit."""
        self._running.pop(done.unit.name, None)
        self._done += 1
        self._spent += done.unit.cost
        came = duration(done.seconds) if done.error is None else f"FAILED, {done.error}"
        self.say(f"{self._done:4} of {self._count}  {done.unit.name:32} {came:12} {self._left()}")
        self._update()

    def _left(self) -> str:
        """Return how much time is left: what was predicted, as much slower or faster as it went so far."""
        part = self._spent / self._cost
        elapsed = time.monotonic() - self._began
        left = self._seconds * (1 - part) if part < 0.02 else elapsed * (1 / part - 1)
        return f"about {minutes(left)} left" if self._done < self._count else ""

    def _update(self) -> None:
        names = ", ".join(list(self._running)[:3])
        self._bar.update(self._task, completed=self._spent, description=f"{names}  {self._left()}")
