"""The figures of a training run for TensorBoard. Needs the extra 'tensorboard'."""

from __future__ import annotations

import os
import time
from typing import Any

from nerva.topology import TopologyRecord
from nerva.training.history import EpochRecord
from nerva.training.run import Run
from nerva.training.step import StepResult
from nerva.validation import check_integer

TAGS = {
    "loss/train": "loss",
    "loss/test": "test_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/test": "test_accuracy",
    "learning_rate": "learning_rate",
    "seconds": "seconds",
}
OF_AN_UPDATE = ("nnz", "density", "churn", "exploration", "dropped", "grown", "silent_outputs", "unused_inputs")


class TensorBoard:
    """Write the figures of epochs, steps and topology updates where `tensorboard --logdir` finds them.

    Parameters
    ----------
    folder : for the event files of a run; created at the start of `fit`
    every : steps from one loss of a batch, as "loss/batch", to the next; None writes none

    Figures of an epoch are shown over the epochs, those of batches and updates ("topology/layer 0/nnz") over the steps.

    Raises ValueError where `every` is no positive integer, and ImportError, which names the extra, without the package.

    >>> board = nerva.callbacks.TensorBoard("runs/a")
    >>> history = nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, epochs=2, callbacks=[board])
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: int | None = None) -> None:
        try:
            import tensorboard  # noqa: F401 - before the first step, and not after an hour of them
        except ImportError:
            raise ImportError("TensorBoard needs tensorboard: pip install 'nerva-sparse[tensorboard]'") from None
        self.folder = os.fspath(folder)
        self.every = None if every is None else check_integer(every, "every", least=1)
        self._writer: Any = None

    def on_train_begin(self, run: Run) -> None:
        """Open an event file."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(self.folder)

    def on_batch_end(self, run: Run, result: StepResult) -> None:
        """Write the loss of the batch, where it is due."""
        if self.every is not None and run.global_step % self.every == 0:
            self._write({"loss/batch": result.value}, run.global_step)

    def on_topology_update(self, run: Run, records: list[TopologyRecord]) -> None:
        """Write what an update of the topology did to each layer."""
        for record in records:
            figures = {f"topology/layer {record.layer}/{name}": getattr(record, name) for name in OF_AN_UPDATE}
            self._write(figures, record.step)

    def on_epoch_end(self, run: Run, record: EpochRecord) -> None:
        """Write the figures of the epoch, and let readers have them."""
        figures = {tag: getattr(record, name) for tag, name in TAGS.items()}
        self._write({tag: value for tag, value in figures.items() if value is not None}, record.epoch)
        self._writer.flush()

    def on_train_end(self, run: Run) -> None:
        """Close the event file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _write(self, figures: dict[str, Any], step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in figures.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
