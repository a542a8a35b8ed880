"""Training history: a record of each epoch and of each topology update, and what receives the records."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

from nerva.pictures import curves_svg, table_html
from nerva.topology import TopologyRecord
from nerva.training.curves import plot_curves

CURVES = {
    "loss": {"train": "loss", "test": "test_loss"},
    "accuracy": {"train": "train_accuracy", "test": "test_accuracy"},
}
SHOWN = 10  # epochs that notebooks show the figures of


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch of training.

    Parameters
    ----------
    epoch : from 1
    learning_rate : at the start of the epoch
    loss, train_accuracy : means over the epoch, each batch evaluated before its step
    test_loss, test_accuracy : of the validation data after the epoch; None without any
    seconds : wall time of the training steps, evaluation and callbacks after the epoch excluded

    Accuracies are None where the loss has no notion of a correct prediction, as in regression.
    """

    epoch: int
    learning_rate: float
    loss: float
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float


@dataclass(repr=False)
class History:
    """The records of a training run, in order.

    Parameters
    ----------
    epochs : an EpochRecord for each epoch
    topology : a TopologyRecord for each update of each sparse layer, where `fit` was given a topology

    Iterated over, it gives its epochs: `pandas.DataFrame(history)` has a row for each.

    >>> model = nerva.MLP([4, 8, 3], density=0.5)
    >>> history = model.fit(np.zeros((20, 4)), [0] * 20, epochs=2)
    >>> history["epoch"], len(history["loss"])
    ([1, 2], 2)
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    topology: list[TopologyRecord] = field(default_factory=list)

    def __getitem__(self, column: str) -> list[Any]:
        """Return one field of all epochs; raise KeyError, which lists the fields, for another."""
        if column not in EpochRecord.__dataclass_fields__:
            raise KeyError(f"{column!r}; the columns are {', '.join(EpochRecord.__dataclass_fields__)}")
        return [getattr(record, column) for record in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[EpochRecord]:
        return iter(self.epochs)

    def __repr__(self) -> str:
        last = asdict(self.epochs[-1]) if self.epochs else {}
        names = ("loss", "train_accuracy", "test_loss", "test_accuracy")
        figures = [f"{name}={last[name]:.4g}" for name in names if last.get(name) is not None]
        updates = [f"{len(self.topology)} records of the topology"] if self.topology else []
        return f"History({', '.join([f'{len(self)} epochs', *figures, *updates])})"

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return a dict for each epoch, ready for json or a data frame."""
        return [asdict(record) for record in self.epochs]

    def to_frame(self, *, topology: bool = False) -> Any:
        """Return the epochs, or the updates of the topology, as a pandas.DataFrame; ImportError without pandas."""
        try:
            import pandas
        except ImportError:
            raise ImportError("this needs pandas: pip install 'nerva-sparse[pandas]'") from None
        kind: type[Any] = TopologyRecord if topology else EpochRecord
        records: list[Any] = self.topology if topology else self.epochs
        return pandas.DataFrame(list(map(asdict, records)), columns=[column.name for column in fields(kind)])

    def plot(self, *, path: str | os.PathLike[str] | None = None) -> Any:
        """Plot loss and accuracy over the epochs, and return the matplotlib.Figure.

        Parameters
        ----------
        path : a file to save the figure to, in the format of its suffix

        Raises ImportError without matplotlib. See nerva.plots.topology for the updates of a topology.
        """
        return plot_curves(self.curves(), path)

    def curves(self) -> dict[str, dict[str, list[tuple[float, float]]]]:
        """Return the points (epoch, figure) of the curves "train" and "test" of "loss" and, if any, of "accuracy"."""
        panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for title, columns in CURVES.items():
            curves = {name: self._points(column) for name, column in columns.items()}
            if title == "loss" or any(curves.values()):
                panels[title] = {name: points for name, points in curves.items() if points}
        return panels

    def _points(self, column: str) -> list[tuple[float, float]]:
        """Return (epoch, figure) of the epochs that have the figure."""
        return [(r.epoch, value) for r in self.epochs if (value := getattr(r, column)) is not None]

    def _repr_html_(self) -> str:
        """Return what notebooks show: the curves, and the figures of the last epochs."""
        names = [column.name for column in fields(EpochRecord)]
        rows = [[_cell(getattr(record, name)) for name in names] for record in self.epochs[-SHOWN:]]
        above = f"{len(self)} epochs" + (f", the last {SHOWN} are" if len(self) > SHOWN else "")
        pictures = "".join(curves_svg(title, curves) for title, curves in self.curves().items())
        return f"<div>{above}<br/>{pictures}{table_html([names, *rows], left=())}</div>"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


class Callback(Protocol):
    """What `fit` calls after every epoch, with the network and the record of the epoch.

    Instead of being callable, or besides, a callback may be any object with some of these methods:

    - `on_train_begin(run)`, `on_train_end(run)`: before the first step and after the last one, the latter also where
      the training ends by an exception
    - `on_epoch_begin(run)`, `on_epoch_end(run, record)`: the latter with the EpochRecord
    - `on_batch_end(run, result)`: after every step, with `result.value`, the loss of its batch; `on_batch(batch,
      batches)` is the same with the number of the batch in its epoch, from 1 on
    - `on_topology_update(run, records)`: after an update of the topology, with the TopologyRecord of each layer

    `run` has `model`, `history`, `optimizer`, `schedule`, `epochs`, `current_epoch`, `global_step` and `rate`. All may
    raise StopTraining; any other exception ends `fit`, and leaves a network that can be used. What one with methods
    `state` and `restore` remembers is in checkpoints.

    >>> def report(model, record):
    ...     print(record.epoch)
    >>> history = nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, epochs=2, callbacks=[report])
    1
    2
    >>> class Begin:
    ...     def on_epoch_begin(self, run):
    ...         print(f"{run.current_epoch} of {run.epochs} epochs are done")
    >>> history = nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, epochs=2, callbacks=[Begin()])
    0 of 2 epochs are done
    1 of 2 epochs are done
    """

    def __call__(self, model: Any, record: EpochRecord, /) -> object: ...


class Diverged(FloatingPointError):
    """Raised by `fit` at the end of an epoch whose loss is not finite; `history` is the History up to that epoch.

    >>> try:
    ...     nerva.MLP([4, 3]).fit(np.ones((20, 4)), [0] * 10 + [1] * 10, epochs=3, schedule=1e38)
    ... except nerva.Diverged as error:
    ...     print(error.history["loss"][1:])
    [nan]
    """

    def __init__(self, problem: str, history: History) -> None:
        super().__init__(problem)
        self.history = history

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.history)


class StopTraining(Exception):
    """Raised by a callback to end `fit`: after the epoch, or at once from `on_batch`. The history is returned.

    The other callbacks are told of that moment all the same.

    >>> def once(model, record):
    ...     raise nerva.StopTraining
    >>> len(nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, epochs=9, callbacks=[once]))
    1
    """
