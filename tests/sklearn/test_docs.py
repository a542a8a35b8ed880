"""docs/sklearn.md: its examples run, in their order, and give what the text says."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def names():
    """The names that the examples define."""
    text = (Path(__file__).parents[2] / "docs" / "sklearn.md").read_text()
    found = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, found)
    return found


def test_a_pipeline_and_a_search(names):
    assert names["accuracy"] == pytest.approx(0.97, abs=0.02)  # sums are rounded as the processor's kernels do
    model = names["network"][-1].model_
    assert (model.nnz, model.dense_size) == (3380, 33800)
    assert names["search"].best_params_["sparsemlpclassifier__density"] == 0.1


def test_several_labels_and_parts(names):
    assert names["both"].predict_proba(names["X_test"]).shape == (450, 2)
    assert names["part"].n_iter_ == 3


def test_callbacks(names):
    assert len(names["curve"]) == 20
    assert names["curve"][-1] > names["curve"][0]


def test_features(names):
    assert names["found"].tolist() == [0, 1, 2, 3, 4]
    assert names["before"] == pytest.approx(0.66, abs=0.005)
    assert names["after"] == pytest.approx(0.94, abs=0.02)


def test_features_without_y(names):
    assert names["without_y"] == pytest.approx(0.925, abs=0.02)


def test_networks_of_what_is_known(names):
    assert names["strengths"]["apoptosis"] > names["strengths"]["cell cycle"]
    assert names["primed"].coefs_[0].nnz == 5
    assert names["primed"].score(names["expression"], names["outcome"]) > 0.9
