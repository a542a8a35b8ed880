"""Units of work of an experiment: each leaves one record, and is not done again where that is there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerva.system.files import replacing

Record = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """One piece of work: `work(settings, folder)` returns a record that JSON takes.

    Parameters
    ----------
    name : of the record and of the folder, such as "masked-0.99-1"
    work : a function of a module, so that it can be sent to another process; it may keep its own state in `folder`,
        from which it goes on if it is killed
    settings : what it is given; a record made with other settings is made again
    alone : whether nothing else may run meanwhile, as for timings
    cost : estimated seconds on one core
    """

    name: str
    work: Callable[[Record, Path], Record]
    settings: Record = field(default_factory=dict)
    alone: bool = False
    cost: float = 1.0


def record(folder: Path, unit: Unit) -> Record | None:
    """Return the record of a unit, or None where it is not done with these settings."""
    path = folder / f"{unit.name}.json"
    if not path.exists():
        return None
    found: Record = json.loads(path.read_text())
    return found if found["settings"] == json.loads(json.dumps(unit.settings)) else None


def records(folder: Path, units: Iterable[Unit]) -> Iterator[Record]:
    """Yield the records of the units that are done."""
    for unit in units:
        if (found := record(folder, unit)) is not None:
            yield found


def do(unit: Unit, folder: Path) -> Record:
    """Do a unit, unless its record is there, and return the record: its settings, result and seconds."""
    if (found := record(folder, unit)) is not None:
        return found
    (own := folder / unit.name).mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    result = unit.work(unit.settings, own)
    made = {"unit": unit.name, "settings": unit.settings, "result": result, "seconds": time.perf_counter() - started}
    with replacing(folder / f"{unit.name}.json") as stream:
        stream.write(json.dumps(made, indent=1).encode())
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]
