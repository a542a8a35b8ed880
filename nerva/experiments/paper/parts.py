"""The parts of the reproduction: their names, in the order of the report, and the modules that they are."""

from __future__ import annotations

import importlib
import typing
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nerva.experiments.paper.units import Unit, lasting

if TYPE_CHECKING:
    from nerva.experiments.paper.protocol import Protocol
    from nerva.experiments.paper.sections import Section

PARTS = {
    name: f"nerva.experiments.paper.{name}"
    for name in (
        "timing",
        "accuracy",
        "cause",
        "seeds",
        "distributions",
        "inference",
        "memory",
        "layers",
        "scaling",
        "small",
        "work",
    )
}
PACKAGES = ("torch", "scipy", "matplotlib")  # that the parts and the report need, of the extra 'compare'


class Part(typing.Protocol):
    """A module of a part: what it is called, its units of work, and its section, from the records in a folder."""

    TITLE: str

    def units(self, protocol: Protocol) -> list[Unit]:
        """Return the units of work."""

    def section(self, protocol: Protocol, folder: Path) -> Section:
        """Return the section of the report, from the records that are there."""


def check_packages() -> None:
    """Raise ImportError, which names the extra, where a package is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the reproduction of the paper needs {' and '.join(missing)}: pip install 'nerva-sparse[compare]'"
        )


def load(names: Iterable[str]) -> dict[str, Part]:
    """Return these parts by name, in the order of the report."""
    wanted = set(names)
    return {name: importlib.import_module(module) for name, module in PARTS.items() if name in wanted}


def all_units(parts: Iterable[Part], protocol: Protocol) -> list[Unit]:
    """Return the units of parts, one of each name; those that several parts name are the same."""
    found: dict[str, Unit] = {}
    for part in parts:
        for unit in part.units(protocol):
            known = found.setdefault(unit.name, unit)
            assert (known.work, lasting(known)) == (unit.work, lasting(unit)), f"two units are called {unit.name}"
    return list(found.values())


def predicted(units: Sequence[Unit], jobs: int) -> float:
    """Return the seconds that units will take: those alone one after another, the others on so many cores."""
    alone = sum(unit.cost for unit in units if unit.alone)
    others = [unit.cost for unit in units if not unit.alone]
    return alone + max(sum(others) / jobs, max(others, default=0.0))
