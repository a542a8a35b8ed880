"""Keep the best weights of a training run in a file."""

from __future__ import annotations

import os

from nerva.callbacks.best_epoch import BestEpoch, Mode
from nerva.models.sequential import Sequential
from nerva.saving.weights import check_model, save_weights
from nerva.system.files import check_writable
from nerva.training.history import EpochRecord
from nerva.training.run import Run


class BestCheckpoint(BestEpoch):
    """Write the weights to a file after every epoch that was the best so far.

    Parameters
    ----------
    path : the file, of nerva.save_weights; the last one is replaced by a better one, whole or not at all
    monitor, min_delta, mode : as of BestEpoch: what to watch, "test_loss" by default

    For the state of a whole run, to go on from, see `checkpoint` of `fit`.

    Raises TypeError or ValueError, which names the argument, for one that is wrong; at the start of `fit`, ValueError
    where it has no validation data to take the figure of, TypeError for a model with layers of the user's own, and
    OSError where the file cannot be written.

    >>> X, y = np.eye(20, 4), np.arange(20) % 3
    >>> best = nerva.callbacks.BestCheckpoint("best.npz", "loss")
    >>> history = nerva.MLP([4, 3], seed=0).fit(X, y, epochs=3, callbacks=[best])
    >>> best.best_epoch, nerva.load_weights("best.npz").in_features
    (3, 4)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "test_loss",
        *,
        min_delta: float = 0.0,
        mode: Mode = "auto",
    ) -> None:
        super().__init__(monitor, min_delta=min_delta, mode=mode)
        self.path = os.fspath(path)

    def on_train_begin(self, run: Run) -> None:
        """Check what can be checked of model and file before the first step."""
        super().on_train_begin(run)
        check_model(run.model)
        check_writable(self.path)

    def on_epoch_end(self, run: Run, record: EpochRecord) -> None:
        """Write the weights where the epoch was the best so far."""
        if self.is_best(record):
            assert isinstance(run.model, Sequential)  # as check_model found
            save_weights(run.model, self.path)
