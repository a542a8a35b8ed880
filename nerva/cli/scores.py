"""What predictions are worth where there is more to say than the loss and the accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerva.datasets.tasks import Task
from nerva.losses import LogisticCrossEntropy, SquaredError
from nerva.models.sequential import Sequential

Scores = list[tuple[str, str]]  # names, and figures as text


def task_of_model(model: Sequential) -> Task:
    """Return the task that a network was trained for, by its loss and its classes."""
    loss = model.loss
    if isinstance(loss, SquaredError) and not loss.classes:
        return "regression"
    several = isinstance(loss, LogisticCrossEntropy) and not loss.classes and model.classes is None
    return "multi-label" if several else "classification"


def scores(model: Sequential, X: object, y: NDArray[np.float64], task: Task, batch_size: int = 128) -> Scores:
    """Return the scores of a network on samples X with targets y (n, k) or (n,); none in classification."""
    if task == "classification":
        return []
    found = np.asarray(model.predict(X, batch_size=batch_size), np.float64).reshape(len(y), -1)
    wanted = np.asarray(y, np.float64).reshape(len(y), -1)
    return regression_scores(found, wanted) if task == "regression" else label_scores(found, wanted)


def regression_scores(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> Scores:
    """Return RMSE, over all targets, and R2, the mean over the targets: 1 - squared errors / squared deviations.

    As sklearn.metrics: R2 of a target that is constant is 1 where all is right, else 0.

    >>> regression_scores(np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [2.0], [3.0]]))
    [('RMSE', '0.57735'), ('R2', '0.5000')]
    """
    errors = ((found - wanted) ** 2).sum(axis=0)
    whole = ((wanted - wanted.mean(axis=0)) ** 2).sum(axis=0)
    explained = np.where(whole > 0, 1 - errors / np.where(whole > 0, whole, 1), errors == 0)
    return [("RMSE", f"{np.sqrt(errors.sum() / wanted.size):.6g}"), ("R2", f"{explained.mean():.4f}")]


def label_scores(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> Scores:
    """Return the part of samples whose labels are all right, F1 over all labels together, and the part of wrong labels.

    As sklearn.metrics: F1 is the micro average, and 0 without any label.

    >>> label_scores(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    [('subset accuracy', '50.00%'), ('F1', '0.8000'), ('Hamming loss', '0.2500')]
    """
    wrong = found != wanted
    right, positives = (found * wanted).sum(), found.sum() + wanted.sum()
    return [
        ("subset accuracy", f"{1 - wrong.any(axis=1).mean():.2%}"),
        ("F1", f"{2 * right / positives if positives else 0.0:.4f}"),
        ("Hamming loss", f"{wrong.mean():.4f}"),
    ]
