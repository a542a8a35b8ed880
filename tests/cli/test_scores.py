"""The scores of regression and of several labels, beside their definitions."""

import numpy as np
import pytest

import nerva
from nerva.cli.scores import label_scores, regression_scores, scores, task_of_model


def test_regression_scores():
    rng = np.random.default_rng(0)
    wanted, found = rng.standard_normal((50, 3)), rng.standard_normal((50, 3))
    found = wanted + 0.1 * found
    ((_, rmse), (_, r2)) = regression_scores(found, wanted)
    assert float(rmse) == pytest.approx(np.sqrt(np.mean((found - wanted) ** 2)), rel=1e-5)
    each = [1 - ((found - wanted)[:, k] ** 2).mean() / wanted[:, k].var() for k in range(3)]
    assert float(r2) == pytest.approx(np.mean(each), abs=5e-5)


def test_a_target_that_is_constant():
    wanted = np.ones((4, 2))
    found = np.array([[1.0, 1.0]] * 3 + [[1.0, 2.0]])
    assert dict(regression_scores(found, wanted))["R2"] == "0.5000"  # all of the first is right, not of the second


def test_label_scores():
    rng = np.random.default_rng(1)
    wanted, found = rng.integers(0, 2, (60, 4)).astype(float), rng.integers(0, 2, (60, 4)).astype(float)
    told = dict(label_scores(found, wanted))
    true, false, missed = (int(np.sum(x)) for x in (found * wanted, found * (1 - wanted), (1 - found) * wanted))
    assert told["F1"] == f"{true / (true + (false + missed) / 2):.4f}"
    assert told["Hamming loss"] == f"{(false + missed) / 240:.4f}"
    assert told["subset accuracy"] == f"{np.mean([(a == b).all() for a, b in zip(found, wanted, strict=True)]):.2%}"
    assert dict(label_scores(np.zeros((2, 2)), np.zeros((2, 2))))["F1"] == "0.0000"


@pytest.mark.parametrize(
    ("loss", "classes", "task"),
    [
        (nerva.SoftmaxCrossEntropy(), None, "classification"),
        (nerva.SquaredError(classes=True), None, "classification"),
        (nerva.MeanSquaredError(), None, "regression"),
        (nerva.LogisticCrossEntropy(), None, "multi-label"),
        (nerva.LogisticCrossEntropy(classes=True), None, "classification"),
        (nerva.LogisticCrossEntropy(), ("no", "yes"), "classification"),
    ],
)
def test_the_task_of_a_model(loss, classes, task):
    model = nerva.MLP([3, 1])
    model.loss, model.classes = loss, classes
    assert task_of_model(model) == task
    names = [name for name, _ in scores(model, np.ones((2, 3)), np.array([[0.0], [1.0]]), task)]
    assert names == {"classification": [], "regression": ["RMSE", "R2"]}.get(
        task, ["subset accuracy", "F1", "Hamming loss"]
    )
