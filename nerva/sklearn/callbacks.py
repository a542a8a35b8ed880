"""What happens after each epoch of an estimator's `fit`: the score of samples held out, and scikit-learn's callbacks.

scikit-learn has callbacks from version 1.9 on. With earlier ones `CallbackSupport` adds nothing, and an estimator has
no `set_callbacks`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from nerva.callbacks import EarlyStopping
from nerva.training.history import EpochRecord, StopTraining
from nerva.training.run import Run

__all__ = ["CallbackSupport", "FitTask", "ScoreStopping", "with_callbacks"]


class NoCallbacks:
    """The base of estimators where scikit-learn has no callbacks."""


def unchanged(method: Any) -> Any:
    """Return a method as it is."""
    return method


CallbackSupport: Any = NoCallbacks
with_callbacks: Any = unchanged
if find_spec("sklearn.callback") is not None:
    from sklearn import callback

    CallbackSupport, with_callbacks = callback.CallbackSupportMixin, callback.with_callbacks


class ScoreStopping(EarlyStopping):
    """EarlyStopping by a score, the larger the better, which is taken after every epoch.

    Parameters
    ----------
    score : returns the score of the network as it is
    patience : epochs in a row that may be no better
    min_delta : by how much a score must be better than the best one to count

    `scores` are those of the epochs; the network has the best weights in the end.
    """

    def __init__(self, score: Callable[[], float], *, patience: int, min_delta: float) -> None:
        super().__init__("test_accuracy", patience=patience, min_delta=min_delta)
        self._score = score
        self.scores: list[float] = []

    def on_train_begin(self, run: Run) -> None:
        """Begin anew; the figure is none of the run's own, which needs no validation data."""
        self._forget()

    def is_best(self, record: EpochRecord) -> bool:
        """Take the score, and return whether it is better than all before."""
        self.scores.append(self._score())
        return super().is_best(replace(record, test_accuracy=self.scores[-1]))


class FitTask:
    """The `fit` of an estimator as a task of scikit-learn's callbacks, with a subtask for each epoch.

    Parameters
    ----------
    estimator : whose `model_` is trained
    X, y : as given to `fit`
    sample_weight : as given to `fit`; None for none

    `begin` and `end` tell of the whole task. It is a callback of nerva, too, which tells of the epochs; where one of
    scikit-learn's callbacks asks for it, the training ends. Without callbacks nothing is told.
    """

    def __init__(self, estimator: Any, X: object, y: object, sample_weight: object) -> None:
        self._estimator = estimator
        self._data = {"X": X, "y": y}
        if sample_weight is not None:
            self._data["metadata"] = {"sample_weight": sample_weight}
        self._context: Any = None
        self._epoch: Any = None

    def begin(self, epochs: int) -> None:
        """Tell that the task begins, of at most so many epochs."""
        if hasattr(self._estimator, "set_callbacks"):
            self._context = self._estimator._init_callback_context(max_subtasks=epochs)
            self._context.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end(self) -> None:
        """Tell that the task has ended."""
        if self._context is not None:
            self._context.call_on_fit_task_end(estimator=self._estimator, **self._data, reconstruction_attributes={})

    @property
    def wanted(self) -> bool:
        """Whether there are callbacks to tell of epochs."""
        return self._context is not None and bool(getattr(self._estimator, "_skl_callbacks", ()))

    def on_epoch_begin(self, run: Run) -> None:
        """Tell that an epoch begins."""
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(
            estimator=self._estimator, **self._data, reconstruction_attributes=self._fitted
        )

    def on_epoch_end(self, run: Run, record: EpochRecord) -> None:
        """Tell that an epoch has ended; raise StopTraining where a callback asks for the end of all."""
        stop = self._epoch.call_on_fit_task_end(
            estimator=self._estimator, **self._data, reconstruction_attributes=self._fitted
        )
        if stop:
            raise StopTraining

    def _fitted(self) -> dict[str, Any]:
        """Return the attribute by which a copy of the estimator predicts as this one does now."""
        return {"model_": copy.deepcopy(self._estimator.model_)}
