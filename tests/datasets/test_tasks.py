"""What targets look like, and rows of targets."""

import numpy as np
import pytest

from nerva.datasets.tasks import as_rows, task_of


@pytest.mark.parametrize(
    ("y", "task"),
    [
        ([0, 1, 2], "classification"),
        ([0.0, 9.0, 2.0], "classification"),
        ([True, False], "classification"),
        (["cat", "dog"], "classification"),
        (np.arange(200) % 100, "classification"),
        ([0.5, 1.0], "regression"),
        ([0, np.nan], "regression"),
        ([[0.5], [2.0]], "regression"),
        ([[1, 0], [1, 1]], "multi-label"),
        ([[True, False], [True, True]], "multi-label"),
        ([[1.0, 0.0], [0.5, 1.0]], "regression"),
        ([[1, 0], [2, 1]], "regression"),
    ],
)
def test_the_task_is_what_the_targets_look_like(y, task):
    assert task_of(np.array(y)) == task


@pytest.mark.parametrize("y", [[-1, 1], np.arange(20), [250_000, 180_000], [1e300, 2e300]])
def test_numbers_that_may_be_labels_or_not_are_refused(y):
    with pytest.raises(ValueError, match="may be labels or not: give the task, classification or regression"):
        task_of(np.array(y))


def test_rows_are_numbers():
    np.testing.assert_array_equal(as_rows(np.array([1, 2], np.int8), "regression"), [[1.0], [2.0]])
    np.testing.assert_array_equal(as_rows(np.array([[True, False]]), "multi-label"), [[1.0, 0.0]])
    for y, task, message in [
        ([[0.0, np.inf]], "regression", "must be finite, found inf in sample 0"),
        ([[0.0, 1.0], [2.0, 0.0]], "multi-label", "must be 0 or 1, found 2.0 in sample 1"),
        ([["a"]], "regression", "must be numbers, found <U1"),
        (np.zeros((2, 1, 1)), "regression", r"found \(2, 1, 1\)"),
        (np.zeros(0), "regression", r"found \(0,\)"),
        (np.zeros(()), "regression", r"found \(\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            as_rows(np.array(y), task)
