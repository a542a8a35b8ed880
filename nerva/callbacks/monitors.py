"""What the learning rate and the topology were at the steps of a training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from nerva.topology import TopologyRecord
from nerva.training.run import Run
from nerva.training.step import StepResult
from nerva.validation import check_integer

Write = Callable[[dict[str, Any]], object]


def check_callable(value: Any, name: str) -> Any:
    """Return what can be called, or None; raise TypeError for anything else."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} is {value!r}; it must be callable, such as print")
    return value


class Monitor:
    """The base of callbacks that keep entries, dicts, of some steps in `entries`, and pass each of them to `write`.

    Every `fit` begins anew, but one that is resumed from a checkpoint goes on. Raises TypeError where `write` cannot be
    called.
    """

    def __init__(self, write: Write | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self._write, self._goes_on = check_callable(write, "write"), False

    def _keep(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        if self._write is not None:
            self._write(entry)

    def on_train_begin(self, run: Run) -> None:
        """Begin anew, unless the run goes on from a checkpoint."""
        if not self._goes_on:
            self.entries = []
        self._goes_on = False

    def state(self) -> dict[str, Any]:
        """Return the entries so far."""
        return {"entries": list(self.entries)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        self.entries, self._goes_on = list(state["entries"]), True


class LearningRateMonitor(Monitor):
    """Keep the learning rate and the loss of batches, as {"step", "learning_rate", "loss"}.

    Parameters
    ----------
    write : called with each entry, such as print or the `write` of a nerva.callbacks.Metrics; None is not
    every : steps from one entry to the next

    >>> rates = nerva.callbacks.LearningRateMonitor(every=2)
    >>> history = nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, batch_size=5, epochs=1, callbacks=[rates])
    >>> [(entry["step"], entry["learning_rate"]) for entry in rates.entries]
    [(2, 0.01), (4, 0.01)]
    """

    def __init__(self, write: Write | None = None, *, every: int = 1) -> None:
        super().__init__(write)
        self.every = check_integer(every, "every", least=1)

    def on_batch_end(self, run: Run, result: StepResult) -> None:
        """Keep an entry where one is due."""
        if run.global_step % self.every == 0:
            self._keep({"step": run.global_step, "learning_rate": run.rate, "loss": float(result.value)})


class TopologyMonitor(Monitor):
    """Keep what each update of the topology did to each layer: the figures of a nerva.TopologyRecord, as dicts.

    Parameters
    ----------
    write : called with each entry, such as print or the `write` of a nerva.callbacks.Metrics; None is not

    The records themselves are in `history.topology`; this passes them on while the training runs.

    >>> moves, X, y = nerva.callbacks.TopologyMonitor(), np.eye(40, 4), np.arange(40) % 3
    >>> model = nerva.MLP([4, 8, 3], density=0.5, seed=0)
    >>> history = model.fit(X, y, epochs=3, topology=nerva.SET(), callbacks=[moves])
    >>> [entry["layer"] for entry in moves.entries]
    [0, 1, 0, 1]
    """

    def on_topology_update(self, run: Run, records: list[TopologyRecord]) -> None:
        """Keep an entry for each layer."""
        for record in records:
            self._keep(asdict(record))
