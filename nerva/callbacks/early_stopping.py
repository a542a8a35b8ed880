"""End a training run that no longer gets better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nerva.callbacks.best_epoch import BestEpoch, Mode
from nerva.topology import Topology
from nerva.training.history import EpochRecord, StopTraining
from nerva.training.layers_state import restore_layers, weights_state
from nerva.training.run import Run
from nerva.validation import check_flag, check_integer


class EarlyStopping(BestEpoch):
    """End `fit` after some epochs in a row without a better figure, and give the network back its best weights.

    Parameters
    ----------
    monitor, min_delta, mode : as of BestEpoch: what to watch, "test_loss" by default
    patience : epochs in a row that may be no better
    restore_best_weights : whether the network has the weights and the pattern of the best epoch in the end, however the
        training ends; a copy of them is kept. Optimizers start anew then

    `best`, `best_epoch` and `stopped_epoch` tell of the last `fit`; `stopped_epoch` is None where it was not ended.

    Raises TypeError or ValueError, which names the argument, for one that is wrong; at the start of `fit`, ValueError
    where it has no validation data to take the figure of.

    >>> X, y = np.eye(20, 4), np.arange(20) % 3
    >>> stop = nerva.callbacks.EarlyStopping(patience=2)
    >>> history = nerva.MLP([4, 3], seed=0).fit(X, y, validation=(X, 2 - y), epochs=50, callbacks=[stop])
    >>> stop.best_epoch, stop.stopped_epoch, len(history)
    (24, 26, 26)
    """

    def __init__(
        self,
        monitor: str = "test_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Mode = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        self.patience = check_integer(patience, "patience", least=1)
        self.restore_best_weights = check_flag(restore_best_weights, "restore_best_weights")
        super().__init__(monitor, min_delta=min_delta, mode=mode)

    def _forget(self) -> None:
        super()._forget()
        self.stopped_epoch: int | None = None
        self._waited, self._best_step = 0, 0
        self._weights: list[dict[str, Any]] | None = None

    def on_epoch_end(self, run: Run, record: EpochRecord) -> None:
        """Keep the weights of the best epoch; raise StopTraining after `patience` epochs that were no better."""
        if self.is_best(record):
            self._waited, self._best_step = 0, run.global_step
            if self.restore_best_weights:
                self._weights = weights_state(run.model)
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.stopped_epoch = record.epoch
            raise StopTraining

    def on_train_end(self, run: Run) -> None:
        """Give the network the weights of the best epoch."""
        weights, self._weights = self._weights, None
        if weights is None or run.global_step == self._best_step:  # the last epoch was the best
            return
        restore_layers(run.model, weights, ())
        if run.updater is not None and type(run.updater.method).finish is not Topology.finish:
            # The method keeps weights aside, which are 0 in the network until the end of the training: as then.
            for layer in run.updater.layers:
                layer.layer.rewire(np.flatnonzero(layer.values == 0), np.empty(0, np.int64))

    def state(self) -> dict[str, Any]:
        """Return what is remembered of the epochs so far, with the best weights."""
        own = {"waited": self._waited, "best_step": self._best_step, "stopped_epoch": self.stopped_epoch}
        return {**super().state(), **own, "weights": self._weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        super().restore(state)
        self._waited, self._best_step, self.stopped_epoch = (state[k] for k in ("waited", "best_step", "stopped_epoch"))
        self._weights = state["weights"]
