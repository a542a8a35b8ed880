"""scikit-learn's callbacks on an estimator of nerva, alone and within a search."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

from nerva.sklearn import SparseMLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(100, 10, random_state=0)


class Recorder:
    """A callback that keeps what it is told, and may ask for the end."""

    def __init__(self, last=None):
        self.told, self.losses, self.data, self._last = [], [], [], last

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.told.append(f"end {context.task_name} {context.task_id}")
        self.data.append((X, y, metadata))
        if context.task_name == "epoch":
            self.losses.append((fitted_estimator, fitted_estimator.predict_proba(X)))
        return context.task_id == self._last


def make(**settings):
    return SparseMLPClassifier(**{"random_state": 0, "max_iter": 3, **settings})


def test_an_epoch_is_a_task():
    recorder, weights = Recorder(), np.ones(100)
    network = make().set_callbacks(recorder).fit(X, Y, sample_weight=weights)
    epochs = [f"{moment} epoch {i}" for i in range(3) for moment in ("begin", "end")]
    assert recorder.told == ["setup", "begin fit 0", *epochs, "end fit 0", "teardown"]
    assert all(data is X and y is Y and metadata["sample_weight"] is weights for data, y, metadata in recorder.data)
    assert make().fit(X, Y, sample_weight=weights).loss_curve_ == network.loss_curve_
    assert not hasattr(network, "_callback_fit_ctx")


def test_a_fitted_estimator_stays_as_it_was():
    recorder = Recorder()
    network = make().set_callbacks(recorder).fit(X, Y)
    for epochs, (estimator, then) in enumerate(recorder.losses, 1):
        np.testing.assert_array_equal(estimator.predict_proba(X), then)
        np.testing.assert_array_equal(make(max_iter=epochs).fit(X, Y).predict_proba(X), then)
    np.testing.assert_array_equal(network.predict_proba(X), then)


def test_a_callback_may_end_the_training():
    recorder = Recorder(last=1)
    assert make(max_iter=50).set_callbacks(recorder).fit(X, Y).n_iter_ == 2
    assert recorder.told[-1] == "teardown"


def test_errors_are_told_of():
    recorder = Recorder()
    network = make(batch_size=33, batch_norm=True).set_callbacks(recorder)  # which leaves a batch of one sample
    with pytest.raises(ValueError, match="batch normalization"):
        network.fit(X, Y)
    assert recorder.told == ["setup", "begin fit 0", "teardown"]


def test_scores_of_epochs_in_a_search():
    monitor = ScoringMonitor(scoring="neg_log_loss")
    network = make().set_callbacks(monitor)
    search = GridSearchCV(network, {"alpha": [0, 1]}, cv=2).fit(X, Y)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data]
    assert len(monitor.get_logs("all")[-1].data) == len(scores)
    assert len(scores) >= 3
    assert search.best_estimator_.n_iter_ == 3


WITHOUT = """
import sys, sklearn.linear_model
sys.modules["sklearn.callback"] = None
from nerva.sklearn import SparseMLPClassifier
network = SparseMLPClassifier(max_iter=3, n_iter_no_change=float("inf")).fit([[0.0], [1.0]], [0, 1])
print(network.n_iter_, hasattr(network, "set_callbacks"))
"""


def test_an_earlier_scikit_learn_has_no_callbacks(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "3 False\n", done.stderr
