"""The output of `nerva train`: that of a training run, and a summary at its end."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nerva.cli.scores import Scores
from nerva.layers import Linear, SparseLinear
from nerva.models.sequential import Sequential
from nerva.training.history import EpochRecord
from nerva.training.progress import Progress, duration, print_on


class Report(Progress):
    """Show a training run on standard output, as a callback of `fit`, and a summary at the end.

    Parameters
    ----------
    epochs : of the whole training
    quiet : whether to print the result alone, as one line

    Raises OSError if standard output cannot be written.
    """

    def __init__(self, epochs: int, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self.records: list[EpochRecord] = []
        self._epochs = epochs

    def __call__(self, model: object, record: EpochRecord) -> None:
        self.records.append(record)
        super().__call__(model, record)

    def state(self) -> list[dict[str, Any]]:
        """Return the records so far, for a checkpoint."""
        return [asdict(record) for record in self.records]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Go on from the records of a checkpoint."""
        self.records[:] = [EpochRecord(**record) for record in state]
        self.say(f"going on after epoch {len(self.records)}, from a checkpoint")

    def result(self, model: Sequential, scores: Scores) -> None:
        """Print the result of the epochs so far, beside the dense network; nothing before the first.

        That is the accuracy, or the scores, if there are any.
        """
        if not self.records:
            return
        last, count = self.records[-1], len(self.records)
        seconds = sum(record.seconds for record in self.records)
        accuracy = f"{(last.test_accuracy if last.test_accuracy is not None else last.train_accuracy) or 0.0:.2%}"
        (name, figure), *others = scores or [("accuracy", accuracy)]
        name, figure = f"test {name}", ", ".join([figure, *(" ".join(pair) for pair in others)])
        epochs = f"{count} of {self._epochs} epochs" if count < self._epochs else f"{count} epoch{'s' * (count > 1)}"
        if self._quiet:
            print_on(
                self._console,
                f"{name} {figure} after {epochs}, {seconds / count:.2f} s per epoch, "
                f"{model.nnz:,} of {model.dense_size:,} weights",
            )
            return
        self.say(f"\n{name:21}{figure} after {epochs}", "bold")
        self.say(f"training time        {seconds / count:.2f} s per epoch, {duration(seconds)} in all\n")
        self.say(f"{'':19}{'this network':>14}{'dense':>12}{'of dense':>10}")
        held = sum(layer.weight.nbytes for layer in model.layers if isinstance(layer, (Linear, SparseLinear)))
        for name, here, dense, show in (
            ("weights", model.nnz, model.dense_size, "{:,}".format),
            ("memory for weights", held, model.dense_size * model.dtype.itemsize, size),
            ("memory in training", model.nbytes, dense_nbytes(model), size),
        ):
            self.say(f"{name:19}{show(here):>14}{show(dense):>12}{here / dense:>10.2%}")


def dense_nbytes(model: Sequential) -> int:
    """Return the bytes of weights, biases, their gradients and optimizer state if the network were dense."""
    parameters = model.parameters()
    copies = 2 + max(len(parameter.state) for parameter in parameters)
    biases = sum(parameter.values.size for parameter in parameters if parameter.name == "bias")
    return (model.dense_size + biases) * model.dtype.itemsize * copies


def size(nbytes: float) -> str:
    """Return an amount of memory as text.

    >>> size(14_700_544)
    '14.7 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:,.3g} TB"
