"""Run the parts of the reproduction: what is to do, in which order, and what came of it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nerva.experiments.paper import parts as parts_
from nerva.experiments.paper.folder import Folder
from nerva.experiments.paper.parts import Part
from nerva.experiments.paper.pool import Done, do_all
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.units import Unit, record


@dataclass
class Plan:
    """What there is to do in a folder.

    Parameters
    ----------
    folder : of the records and of the report
    protocol : the settings
    parts : the names of the parts
    jobs : units at a time, of those that may run beside others
    """

    folder: Folder
    protocol: Protocol
    parts: Sequence[str]
    jobs: int
    loaded: dict[str, Part] = field(init=False)
    units: list[Unit] = field(init=False)

    def __post_init__(self) -> None:
        self.loaded = parts_.load(self.parts)
        self.units = parts_.all_units(self.loaded.values(), self.protocol)

    def todo(self) -> list[Unit]:
        """Return the units without a record."""
        return [unit for unit in self.units if record(self.folder.records, unit) is None]

    def seconds(self) -> float:
        """Return how long the units without a record will take."""
        return parts_.predicted(self.todo(), self.jobs)

    def lines(self) -> list[str]:
        """Return the plan in words: a line for each part, and the sum."""
        found = []
        for name, part in self.loaded.items():
            own = part.units(self.protocol)
            left = [unit for unit in own if record(self.folder.records, unit) is None]
            about = f"about {minutes(parts_.predicted(left, self.jobs))}" if left else "done"
            found.append(f"  {name:14}{len(own) - len(left):4} of {len(own):3} units done   {about:16} {part.TITLE}")
        alone, todo = sum(unit.alone for unit in self.todo()), self.todo()
        beside = f"{alone} alone, {len(todo) - alone} up to {self.jobs} at a time"
        return [*found, f"{len(todo)} units to do, {beside}: about {minutes(self.seconds())}"]


def run(
    plan: Plan, *, command: str, machine: dict[str, Any], started: Callable[[Unit], None] = lambda unit: None
) -> Generator[Done, None, None]:
    """Do what the plan has to do, and yield what came of each unit; the folder must be locked.

    What failed is in run.json, with the sessions: this one is added when it ends, however it does.
    """
    folder, protocol = plan.folder, plan.protocol
    state = folder.state()
    units = {unit.name for unit in plan.units}
    failures = {name: error for name, error in state.get("failures", {}).items() if name not in units}
    parts = [name for name in parts_.PARTS if name in {*state.get("parts", ()), *plan.parts}]
    folder.write(protocol, parts=parts, failures=failures)
    began, clock, todo = datetime.now(UTC), time.monotonic(), plan.todo()
    try:
        done = do_all(todo, folder.records, jobs=plan.jobs, threads=protocol.threads, log=folder.log, started=started)
        with contextlib.closing(done):
            for each in done:
                if each.error is not None:
                    failures[each.unit.name] = each.error
                    folder.write(protocol, failures=failures)
                yield each
    finally:
        count = len(todo) - len(plan.todo())
        session = {
            "began": began.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 1),
            "units": count,
            "command": command,
            "machine": machine,
        }
        if count:
            folder.write(protocol, sessions=[*state.get("sessions", ()), session])


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def minutes(seconds: float) -> str:
    """Return a time as text, as one would guess it.

    >>> minutes(20), minutes(600), minutes(9000)
    ('1 min', '10 min', '2.5 h')
    """
    return f"{max(1, round(seconds / 60))} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
