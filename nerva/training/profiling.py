"""Profile training and prediction: the time of every phase of every layer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter_ns
from typing import Any, Protocol

from nerva.tables import table

PHASES = ("data", "forward", "loss", "backward", "update")  # in the order of a step
_local = threading.local()


class Layer(Protocol):
    """A layer as a profile needs it; its `dtype` is looked up too."""

    @property
    def in_features(self) -> int | None: ...
    @property
    def out_features(self) -> int | None: ...
    @property
    def nnz(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """The cost of one phase of one layer, or of a phase of the whole network.

    Parameters
    ----------
    layer : number, kind and features of the layer; empty for a phase of the whole network
    phase : one of "data", "forward", "loss", "backward" and "update"
    calls, seconds : how often it ran, and for how long in total
    flops : of the products, 2 nnz N each: "backward" has two, or one for the first layer, whose input gradient is not
        needed
    bytes : the least memory traffic: weights with their pattern, inputs and outputs, each once
    """

    layer: str
    phase: str
    calls: int
    seconds: float
    flops: float
    bytes: float

    @property
    def gflops(self) -> float:
        """GFLOP per second."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0


class Profile:
    """The times that `nerva.profile` collects; `print(profile)` shows them as a table.

    Attributes
    ----------
    steps : how many training steps were compiled, by "", and how many were layer by layer, by the reason
    """

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}
        self._times: dict[tuple[int, str, int], list[int]] = {}  # by layer, phase and batch: calls and nanoseconds
        self._layers: dict[int, Layer] = {}

    def add(self, phase: str, started: int, layer: int = -1, batch: int = 0, what: Layer | None = None) -> None:
        """Record that a phase, started at `started` (perf_counter_ns), has ended now.

        `layer` is the number of the layer `what`, and `batch` the samples it had; -1 is the whole network.
        """
        self.add_time(phase, perf_counter_ns() - started, layer, batch, what)

    def add_time(
        self, phase: str, nanoseconds: int, layer: int = -1, batch: int = 0, what: Layer | None = None
    ) -> None:
        """Record a phase that took so long; other parameters as of `add`."""
        times = self._times.get((layer, phase, batch))
        if times is None:
            times = self._times[layer, phase, batch] = [0, 0]
            if what is not None:
                self._layers[layer] = what
        times[0] += 1
        times[1] += nanoseconds

    def add_step(self, reason: str = "") -> None:
        """Count a training step that was compiled or, for a reason, layer by layer."""
        self.steps[reason] = self.steps.get(reason, 0) + 1

    @property
    def rows(self) -> list[ProfileRow]:
        """The phases in the order of a step: data, forward layer by layer, loss, backward in reverse, update."""
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
        """Return number, kind and features of a layer."""
        if layer not in self._layers:
            return ""
        what = self._layers[layer]
        return f"{layer} {type(what).__name__} {what.in_features}-{what.out_features}"

    @property
    def seconds(self) -> float:
        """The total time of all phases."""
        return sum(row.seconds for row in self.rows)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return a dict for each row."""
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
        lines = [("layer", "phase", "calls", "ms", "share", "us a call", "GFLOP/s", "GB/s")]
        for row in self.rows:
            rate = f"{row.bytes / row.seconds / 1e9:.1f}" if row.bytes and row.seconds else "-"
            speed = f"{row.gflops:.1f}" if row.flops else "-"
            times = f"{1e3 * row.seconds:.1f}", f"{row.seconds / whole:.1%}", f"{1e6 * row.seconds / row.calls:.1f}"
            lines.append((row.layer, row.phase, str(row.calls), *times, speed, rate))
        lines.append(("total", "", "", f"{1e3 * whole:.1f}", "", "", "", ""))
        ways = [f"{count} step{'s' * (count > 1)} {_way(reason)}" for reason, count in self.steps.items()]
        return "\n".join([table(lines, left=(0, 1)), *ways])


def _way(reason: str) -> str:
    """Return how steps were computed, in words."""
    return f"layer by layer, since {reason}" if reason else "compiled"


def recorder() -> Profile | None:
    """Return the innermost profile that is open in this thread, or None."""
    return getattr(_local, "profile", None)


@contextmanager
def profile() -> Iterator[Profile]:
    """Profile what this thread trains and predicts while the context is open.

    Weights may take the optimizer's step in the pass that computes their gradient; its time is in "backward" then.

    >>> model = nerva.MLP([4, 8, 3], density=0.5)
    >>> with nerva.profile() as profile:
    ...     history = model.fit(np.zeros((20, 4)), [0] * 20, epochs=1)
    >>> [row.phase for row in profile.rows]
    ['data', 'forward', 'forward', 'loss', 'backward', 'backward', 'update']
    >>> profile.rows[1].layer
    '0 SparseLinear 4-8'
    """
    outer, opened = recorder(), Profile()
    _local.profile = opened
    try:
        yield opened
    finally:
        _local.profile = outer


def _work(layer: Layer, phase: str, batch: int, first: bool) -> tuple[float, float]:
    """Return the FLOPs and bytes of one call; the first layer has no input gradient."""
    D, K, nnz = layer.in_features or 0, layer.out_features or 0, layer.nnz
    item = getattr(layer, "dtype", None)
    size = 4 if item is None else item.itemsize
    product = 2.0 * nnz * batch
    weights, inputs, outputs = nnz * (size + 4.0), float(D * batch * size), float(K * batch * size)
    if phase == "forward":
        return product, weights + inputs + outputs
    if phase == "backward":
        times = 1 if first else 2
        return times * product, times * (weights + inputs + outputs)
    return 0.0, 0.0
