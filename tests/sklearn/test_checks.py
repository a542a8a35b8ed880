"""Every check of scikit-learn for its estimators, with no expected failure."""

import os
import subprocess
import sys

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from nerva.sklearn import InputStrengthSelector, SparseMLPClassifier, SparseMLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([SparseMLPClassifier(), SparseMLPRegressor()])
def test_estimators(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [
        SparseMLPClassifier((50, 20), density=0.5, support="fan-in", activation="silu", solver="rmsprop", alpha=0.1),
        SparseMLPRegressor((50,), density=1.0, activation="logistic", solver="nesterov", n_iter_no_change=200),
    ]
)
def test_estimators_with_settings(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [InputStrengthSelector(), InputStrengthSelector(SparseMLPClassifier(max_iter=50), n_features_to_select=1)]
)
def test_selectors(estimator, check):
    check(estimator)


ARRAYS = """
import warnings
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_array_api_input
from nerva.sklearn import InputStrengthSelector, SparseMLPClassifier, SparseMLPRegressor
warnings.simplefilter("error")
warnings.simplefilter("ignore", ConvergenceWarning)
for kind in (InputStrengthSelector, SparseMLPClassifier, SparseMLPRegressor):
    check_array_api_input(kind.__name__, kind(), "numpy", expect_only_array_outputs=False)
    print(kind.__name__)
"""


def test_with_dispatch_by_the_array_api(tmp_path):
    """In a process of its own: SciPy reads the variable, without which the check is skipped, when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", ARRAYS],
        cwd=tmp_path,
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["InputStrengthSelector", "SparseMLPClassifier", "SparseMLPRegressor"], done.stderr
