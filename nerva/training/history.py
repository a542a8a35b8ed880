"""Training history: a record of each epoch and of each topology update, and what receives the records."""

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from nerva.topology import TopologyRecord


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


@dataclass
class History:
    """The records of a training run, in order.

    Parameters
    ----------
    epochs : an EpochRecord for each epoch
    topology : a TopologyRecord for each update of each sparse layer, where `fit` was given a topology

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

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return a dict for each epoch, ready for json or a data frame."""
        return [asdict(record) for record in self.epochs]


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


class StopTraining(Exception):
    """Raised by a callback to end `fit`: after the epoch, or at once from `on_batch`. The history is returned.

    The other callbacks are told of that moment all the same.

    >>> def once(model, record):
    ...     raise nerva.StopTraining
    >>> len(nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, epochs=9, callbacks=[once]))
    1
    """
