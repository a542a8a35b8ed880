"""Where the time of training and prediction goes: layer by layer, phase by phase."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter_ns
from typing import Any, Protocol, TypeVar

PHASES = ("data", "forward", "loss", "backward", "update")
T = TypeVar("T")
_local = threading.local()


class Layer(Protocol):
    """What a profile asks of a layer."""

    @property
    def in_features(self) -> int | None: ...
    @property
    def out_features(self) -> int | None: ...
    @property
    def nnz(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One phase of one layer, or of all: how often, how long, and how much.

    FLOPs are those of the products, 2 nnz N each; "backward" has two of them, or one where no input gradient is wanted,
    and the optimizer's step with it. Bytes are those that have to move at least: weights with their pattern, inputs and
    outputs, each once.
    """

    layer: str
    phase: str
    calls: int
    seconds: float
    flops: float
    bytes: float

    @property
    def gflops(self) -> float:
        """GFLOP a second."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0


class Profile:
    """What `nerva.profile` collects; `print(profile)` shows it as a table."""

    def __init__(self) -> None:
        self._times: dict[tuple[int, str, int], list[int]] = {}  # by layer, phase and batch: calls and nanoseconds
        self._layers: dict[int, Layer] = {}

    def add(self, phase: str, started: int, layer: int = -1, batch: int = 0, what: Layer | None = None) -> None:
        """Take note that a phase, begun at `started` (perf_counter_ns), is over."""
        nanoseconds = perf_counter_ns() - started
        times = self._times.get((layer, phase, batch))
        if times is None:
            times = self._times[layer, phase, batch] = [0, 0]
            if what is not None:
                self._layers[layer] = what
        times[0] += 1
        times[1] += nanoseconds

    @property
    def rows(self) -> list[ProfileRow]:
        """The phases in the order of a step: data, forward by layer, loss, and back."""
        sums: dict[tuple[int, str], list[float]] = {}
        for (layer, phase, batch), (calls, nanoseconds) in self._times.items():
            flops, moved = _work(self._layers[layer], phase, batch, layer == 0) if layer in self._layers else (0, 0)
            row = sums.setdefault((layer, phase), [0, 0.0, 0.0, 0.0])
            for i, amount in enumerate((calls, nanoseconds * 1e-9, flops * calls, moved * calls)):
                row[i] += amount
        order = sorted(sums, key=lambda key: (PHASES.index(key[1]), key[0] if key[1] == "forward" else -key[0]))
        return [
            ProfileRow(self._name(layer), phase, int(sums[layer, phase][0]), *sums[layer, phase][1:])
            for layer, phase in order
        ]

    def _name(self, layer: int) -> str:
        if layer not in self._layers:
            return ""
        what = self._layers[layer]
        return f"{layer} {type(what).__name__} {what.in_features}-{what.out_features}"

    @property
    def seconds(self) -> float:
        """The time of all phases."""
        return sum(row.seconds for row in self.rows)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return one dict a row."""
        return [{**asdict(row), "gflops": row.gflops} for row in self.rows]

    def to_frame(self) -> Any:
        """Return the rows as a pandas.DataFrame; raises ImportError where pandas is missing."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("this needs pandas: pip install 'nerva-sparse[pandas]'") from error
        return pandas.DataFrame(self.as_dicts())

    def __str__(self) -> str:
        whole = self.seconds
        table = [("layer", "phase", "calls", "ms", "share", "us a call", "GFLOP/s", "GB/s")]
        for row in self.rows:
            rate = f"{row.bytes / row.seconds / 1e9:.1f}" if row.bytes and row.seconds else "-"
            speed = f"{row.gflops:.1f}" if row.flops else "-"
            phase = "backward, update" if row.phase == "backward" else row.phase
            times = f"{1e3 * row.seconds:.1f}", f"{row.seconds / whole:.1%}", f"{1e6 * row.seconds / row.calls:.1f}"
            table.append((row.layer, phase, str(row.calls), *times, speed, rate))
        table.append(("total", "", "", f"{1e3 * whole:.1f}", "", "", "", ""))
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        lines = []
        for line in table:
            cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)


def recorder() -> Profile | None:
    """Return the profile that is open in this thread, the innermost one, or None."""
    return getattr(_local, "profile", None)


@contextmanager
def profile() -> Iterator[Profile]:
    """Collect, while it is open, where the time of this thread's training and prediction goes.

    Input gradient, weight gradient and, but where norms are clipped, the optimizer's step are one kernel in a sparse
    layer, and one row here: "backward, update".

    >>> with nerva.profile() as p:  # doctest: +SKIP
    ...     model.fit(X, y)
    >>> print(p)  # doctest: +SKIP
    """
    outer, opened = recorder(), Profile()
    _local.profile = opened
    try:
        yield opened
    finally:
        _local.profile = outer


def timed(batches: Iterable[T]) -> Iterator[T]:
    """Yield what there is, and tell an open profile how long each took to come."""
    iterator = iter(batches)
    while True:
        profile, started = recorder(), perf_counter_ns()
        try:
            batch = next(iterator)
        except StopIteration:
            return
        if profile is not None:
            profile.add("data", started)
        yield batch


def _work(layer: Layer, phase: str, batch: int, first: bool) -> tuple[float, float]:
    """Return FLOPs and bytes of one call."""
    D, K, nnz = layer.in_features or 0, layer.out_features or 0, layer.nnz
    item = getattr(layer, "dtype", None)
    size = 4 if item is None else item.itemsize
    product = 2.0 * nnz * batch
    weights, inputs, outputs = nnz * (size + 4.0), float(D * batch * size), float(K * batch * size)
    if phase == "forward":
        return product, weights + inputs + outputs
    if phase == "backward":
        times = 1 if first else 2
        return times * product, times * (weights + inputs + outputs) + 2 * nnz * size
    return 0.0, 0.0
