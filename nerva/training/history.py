"""What a training leaves: a record for each epoch and each update of a topology."""

from dataclasses import asdict, dataclass, field
from typing import Any

from nerva.topology import TopologyRecord


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One pass over the training data.

    `loss` and `train_accuracy` are means over the pass, each batch taken before its step. `test_loss` and
    `test_accuracy` are those of the validation data after the pass, None without them. Accuracies are None where there
    is no right or wrong, as in regression. `seconds` is the training alone, evaluation excluded.
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
    """The records of a training run, in order. `history["loss"]` is the list of one column.

    `topology` holds what each update did to each sparse layer, where `fit` had a topology.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    topology: list[TopologyRecord] = field(default_factory=list)

    def __getitem__(self, column: str) -> list[Any]:
        if column not in EpochRecord.__dataclass_fields__:
            raise KeyError(f"{column!r}; the columns are {', '.join(EpochRecord.__dataclass_fields__)}")
        return [getattr(record, column) for record in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return one dict an epoch, ready for json or a data frame."""
        return [asdict(record) for record in self.epochs]


class StopTraining(Exception):
    """Raised by a callback to end `fit`: after the epoch, or at once from `on_batch`; the history is returned."""
