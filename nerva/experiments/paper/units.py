"""Units of work of an experiment: each leaves one record, and is not done again where that is there."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerva.system.files import replacing

Record = dict[str, Any]
SETTINGS = "settings.json"  # in a unit's own folder: what its state there is of
LOCAL = ("data",)  # settings that name a place on one machine: neither recorded nor compared


@dataclass(frozen=True)
class Unit:
    """One piece of work: `work(settings, folder)` returns a record that JSON takes.

    Parameters
    ----------
    name : of the record and of the folder, such as "masked-0.99-1"; units of one name are the same, and parts that name
        it share its record
    work : a function of a module, so that it can be sent to another process; it may keep its own state in `folder`,
        from which it goes on if it is killed
    settings : what it is given; a record made with other settings is made again,
        but for `data`, the place of the data, for which the label stands
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
    try:
        found = json.loads((folder / f"{unit.name}.json").read_text())
    except (FileNotFoundError, ValueError):  # none, or a damaged one
        return None
    made: Record | None = found if isinstance(found, dict) and "result" in found else None
    return made if made is not None and made.get("settings") == lasting(unit) else None


def lasting(unit: Unit) -> Record:
    """Return the settings of a unit that its result depends on, as they are read from JSON."""
    kept = {name: value for name, value in unit.settings.items() if name not in LOCAL}
    return json.loads(json.dumps(kept))  # type: ignore[no-any-return]


def records(folder: Path, units: Iterable[Unit]) -> Iterator[Record]:
    """Yield the records of the units that are done."""
    for unit in units:
        if (found := record(folder, unit)) is not None:
            yield found


def do(unit: Unit, folder: Path) -> Record:
    """Do a unit, unless its record is there, and return the record: its settings, result and seconds.

    The seconds are those of the call that has completed it. The unit's own folder is removed then.
    """
    if (found := record(folder, unit)) is not None:
        return found
    own, path = folder / unit.name, folder / f"{unit.name}.json"
    _same_settings(own, lasting(unit))
    started = time.perf_counter()
    result = unit.work(unit.settings, own)
    made = {"unit": unit.name, "settings": lasting(unit), "result": result, "seconds": time.perf_counter() - started}
    with replacing(path) as stream:
        stream.write(json.dumps(made, indent=1).encode())
    shutil.rmtree(own)  # only now: the state of the work is of use until its record is on the disk
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def _same_settings(own: Path, settings: Record) -> None:
    """Make a unit's own folder, empty unless what is there is of work with these settings."""
    text = json.dumps(settings, sort_keys=True)
    if own.exists() and (not (kept := own / SETTINGS).exists() or kept.read_text() != text):
        shutil.rmtree(own)
    own.mkdir(parents=True, exist_ok=True)
    with replacing(own / SETTINGS) as stream:
        stream.write(text.encode())
