"""What a training run is watched by: a figure of each epoch, and which epoch was the best."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isnan
from typing import Any, Literal, get_args

from nerva.training.history import EpochRecord
from nerva.training.run import Run
from nerva.validation import check_choice, check_not_negative

Mode = Literal["auto", "min", "max"]
FIGURES = ("loss", "train_accuracy", "test_loss", "test_accuracy")


class BestEpoch:
    """The base of callbacks that compare epochs by one of their figures.

    Parameters
    ----------
    monitor : "test_loss", "test_accuracy", of the validation data, "loss" or "train_accuracy"
    min_delta : by how much a figure must be better than the best one to count
    mode : whether the least ("min") or the largest ("max") is the best; "auto" is the least loss, the largest accuracy

    `best` is the figure of the best epoch so far, `best_epoch` its number, from 1; None before there is one. A figure
    that is NaN is never the best. Every `fit` begins anew, but one that is resumed from a checkpoint goes on.

    Raises TypeError or ValueError, which names the argument, for one that is wrong; at the start of `fit`, ValueError
    where it has no validation data to take the figure of.
    """

    def __init__(self, monitor: str = "test_loss", *, min_delta: float = 0.0, mode: Mode = "auto") -> None:
        check_choice(monitor, "monitor", FIGURES)
        check_choice(mode, "mode", get_args(Mode))
        self.monitor, self.min_delta = monitor, check_not_negative(min_delta, "min_delta")
        self.mode = mode if mode != "auto" else "max" if monitor.endswith("accuracy") else "min"
        self._goes_on = False
        self._forget()

    def _forget(self) -> None:
        """Begin anew."""
        self.best: float | None = None
        self.best_epoch: int | None = None

    def on_train_begin(self, run: Run) -> None:
        """Begin anew, unless the run goes on from a checkpoint; raise ValueError where there is nothing to monitor."""
        if run.validation is None and self.monitor.startswith("test"):
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor}, but fit has no validation data: give it validation "
                "or validation_split, or monitor 'loss'"
            )
        if not self._goes_on:
            self._forget()
        self._goes_on = False

    def is_best(self, record: EpochRecord) -> bool:
        """Return whether an epoch is better than all before, which it is the best of then."""
        figure = getattr(record, self.monitor)
        if figure is None:
            raise ValueError(f"{type(self).__name__} monitors {self.monitor}, which there is none of with this loss")
        sign = 1 if self.mode == "max" else -1
        before = -inf if self.best is None else sign * self.best + self.min_delta
        if isnan(figure) or sign * figure <= before:
            return False
        self.best, self.best_epoch = float(figure), record.epoch
        return True

    def state(self) -> dict[str, Any]:
        """Return what is remembered of the epochs so far."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        self.best, self.best_epoch, self._goes_on = state["best"], state["best_epoch"], True
