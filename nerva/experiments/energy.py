"""The energy that the processors take, from the counters that Linux has for Intel's and AMD's (RAPL)."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = "/sys/class/powercap"
EVERY = (
    60.0  # seconds between two looks: a counter may wrap around once in between, which takes it some minutes at least
)
# A zone is a package ("intel-rapl:0") or a part of one ("intel-rapl:0:2"); intel-rapl-mmio has the packages again.
PACKAGE, PART = re.compile(r"intel-rapl:\d+"), re.compile(r"intel-rapl:\d+:\d+")


@dataclass
class Energy:
    """What was measured, by `measure_energy`, once its context has ended.

    Attributes
    ----------
    zones : joules by zone, as {"package-0": 812.4, "package-0 dram": 95.1}; empty where there are no counters
    reason : why there are none, or ""
    """

    zones: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def joules(self) -> float | None:
        """The energy of all packages and of their memory; None where it is not known.

        Cores and graphics ("core", "uncore") are parts of their package, and "psys" is the whole platform.
        """
        names = [name for name in self.zones if name.startswith("package") and name.split()[-1] in (name, "dram")]
        return sum(self.zones[name] for name in names) if names else None


@dataclass
class _Counter:
    """A counter of microjoules, which starts anew at 0 after its largest value."""

    name: str
    path: Path
    largest: int
    last: int = 0
    total: int = 0

    def read(self) -> None:
        """Add what was taken since the last time."""
        now = int((self.path / "energy_uj").read_text())
        self.total += now - self.last + (self.largest if now < self.last else 0)
        self.last = now


@contextmanager
def measure_energy(root: str | Path = ROOT, every: float = EVERY) -> Iterator[Energy]:
    """Measure the energy that the processors take while the context is open, that of other programs included.

    Parameters
    ----------
    root : the folder of the system with the counters
    every : seconds between two looks at them, by a thread: shorter than it takes a counter to wrap around

    Where there are no counters, or they may not be read (most systems let nobody but root), `joules` is None and
    `reason` says why.

    >>> with measure_energy("/nowhere") as energy:
    ...     total = sum(range(1000))
    >>> energy.joules, energy.reason
    (None, 'there are no energy counters in /nowhere')
    """
    energy = Energy()
    try:
        counters = _counters(Path(root))
        for counter in counters:
            counter.last = int((counter.path / "energy_uj").read_text())
    except (OSError, ValueError) as error:
        counters, energy.reason = [], _why(error, root)
    else:
        if not counters:
            energy.reason = f"there are no energy counters in {root}"
    ended, lock = threading.Event(), threading.Lock()

    def look() -> None:
        try:
            with lock:
                for counter in counters:
                    counter.read()
        except (OSError, ValueError) as error:
            counters.clear()
            energy.reason = _why(error, root)

    def watch() -> None:
        while not ended.wait(every):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    if counters:
        thread.start()
    try:
        yield energy
    finally:
        if counters:
            ended.set()
            thread.join()
            look()
        energy.zones = {counter.name: counter.total / 1e6 for counter in counters}


def _counters(root: Path) -> list[_Counter]:
    """Return the counters of packages and of their parts, named by the system, in the order of their folders."""
    found = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if PACKAGE.fullmatch(path.name):
            name = (path / "name").read_text().strip()
        elif PART.fullmatch(path.name):
            above = root / path.name.rpartition(":")[0]
            name = " ".join((folder / "name").read_text().strip() for folder in (above, path))
        else:
            continue
        found.append(_Counter(name, path, int((path / "max_energy_range_uj").read_text())))
    return found


def _why(error: Exception, root: str | Path) -> str:
    if isinstance(error, PermissionError):
        return f"{error.filename} may not be read, but by root"
    return f"the energy counters in {root} cannot be read ({error})"
