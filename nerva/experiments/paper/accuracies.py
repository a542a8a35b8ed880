"""What sections read from the records of training runs, and how they write it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

from nerva.experiments.paper.statistics import Interval
from nerva.experiments.paper.units import Record, Unit, record

# Test accuracies in % of the original's logs, (Nerva, PyTorch) by sparsity: means of seeds 1 to 3, after 100 epochs.
LOGS = {
    0.0: (64.20, 65.20),
    0.5: (65.07, 66.14),
    0.8: (64.70, 65.61),
    0.9: (61.97, 63.84),
    0.95: (61.16, 62.09),
    0.99: (56.21, 53.90),
    0.995: (53.22, 46.48),
    0.999: (32.93, 10.00),
}


def result(folder: Path, unit: Unit) -> Record | None:
    """Return the result of a unit, or None where it is not done."""
    found = record(folder, unit)
    return None if found is None else found["result"]


def missing(folder: Path, units: Iterable[Unit]) -> list[str]:
    """Return the names of the units that are not done."""
    return [unit.name for unit in units if record(folder, unit) is None]


def finals(folder: Path, units: Iterable[Unit]) -> list[float]:
    """Return the test accuracies in percent, after the last epoch, of those runs that are done."""
    found = (result(folder, unit) for unit in units)
    return [100 * each["accuracy"][-1] for each in found if each is not None]


def differences(folder: Path, pairs: Iterable[tuple[Unit, Unit]]) -> list[float]:
    """Return the accuracy of the first run less that of the second one, in points, of the pairs that are done."""
    both = (finals(folder, pair) for pair in pairs)
    return [pair[0] - pair[1] for pair in both if len(pair) == 2]


def points(interval: Interval) -> str:
    """Return a difference in points with its interval.

    >>> points(Interval(0.123, -0.5, 0.746))
    '+0.12 (-0.50 to +0.75)'
    """
    return f"{interval.value:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"


def with_range(values: Sequence[float]) -> str:
    """Return the mean with the range; the value alone where there is one, "-" where there is none.

    >>> with_range([1.0, 2.0]), with_range([1.0]), with_range([])
    ('1.50 (1.00 to 2.00)', '1.00', '-')
    """
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else "-"
    return f"{mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def listed(items: Sequence[str]) -> str:
    """Return items in a row, the last one after "and".

    >>> listed(["1", "2", "3"]), listed(["1"])
    ('1, 2 and 3', '1')
    """
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
