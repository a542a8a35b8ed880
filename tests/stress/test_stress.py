"""A few cases of the stress run, and that it finds what is wrong."""

import re
from collections import Counter

import numpy as np
import pytest

import nerva
from nerva.losses.regression import SquaredError
from nerva.topology.updater import TopologyUpdater

from .calls import CALLS
from .checks import check_pattern
from .drawing import draw
from .run import run_case, told

SEED, CASES = 1, 24


def test_some_cases_have_no_defect():
    results = [run_case(SEED, number) for number in range(CASES)]
    assert not [told(result) for result in results if result.kind == "defect"]
    assert Counter(result.kind for result in results)["right"] > CASES // 2


def test_a_number_gives_the_same_case():
    assert str(draw(5, 17, tuple(CALLS))) == str(draw(5, 17, tuple(CALLS)))
    assert str(draw(5, 17, tuple(CALLS))) != str(draw(5, 18, tuple(CALLS)))


def found(call, words, cases=40):
    """Whether one of the cases of a call ends with these words."""
    return any(re.search(words, run_case(SEED, number, call).words) for number in range(cases))


def test_predictions_that_are_a_buffer_are_found(monkeypatch):
    monkeypatch.setattr(SquaredError, "predict", lambda self, Z: Z[0].copy() if len(Z) == 1 else Z.T)
    assert found("fit", "predictions one by one differs")


def test_a_weight_too_many_is_found(monkeypatch):
    own = TopologyUpdater.finish

    def finish(self):
        own(self)
        for record in self.records[-1:]:
            object.__setattr__(record, "grown", record.grown + 1)

    monkeypatch.setattr(TopologyUpdater, "finish", finish)
    assert found("fit", "by the records of")


def test_a_step_that_is_half_done_is_found(monkeypatch):
    def train_step(self, X, y, optimizer, rate, loss=None, sample_weight=None):
        next(iter(self.parameters())).values[:1] += 1
        raise ValueError("labels are wrong")

    monkeypatch.setattr(nerva.Sequential, "train_step", train_step)
    assert found("two_ways", "has changed the network before")


@pytest.mark.parametrize("what", ["indices", "indptr"])
def test_a_broken_pattern_is_found(what):
    weight = nerva.CSR.from_dense(np.eye(4))

    class Broken:
        shape, dtype, nnz, values = weight.shape, weight.dtype, weight.nnz, weight.values
        indptr = np.array([0, 2, 1, 3, 4]) if what == "indptr" else weight.indptr
        indices = np.array([0, 1, 2, 9]) if what == "indices" else weight.indices

    with pytest.raises(AssertionError, match="outside" if what == "indices" else "descend"):
        check_pattern(Broken(), "it")
