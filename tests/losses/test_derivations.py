"""Losses and their gradients against symbolic formulas, which are of one sample, with targets t and outputs z."""

import numpy as np
import pytest
import sympy as sp

from nerva.losses import LOSSES
from nerva.losses.targets import weighted

from ..derivations import assert_agree, compiled, cross, cross_of_logits, gradients, logistic, matrix, squared

LABELS, ROWS = np.array([2, 0, 1, 2]), np.array([[1, 2, 5], [4, 0, 4], [2, 5, 1], [1, 1, 6]]) / 8
REAL, BITS = np.array([[0.3, -1.2, 2], [1, 0, 0.5], [-0.7, 0.1, 0], [2, 2, -3]]), np.array([[1, 0, 1], [0, 1, 0]] * 2)
WEIGHTS, POSITIVE = np.array([0.5, 2.0, 1.25]), [3.0, 0.5, 1.5]
SOFTMAX, LIKELIHOOD, LOGISTIC = "softmax-cross-entropy", "negative-log-likelihood", "logistic-cross-entropy"
OBJECTIVES = [
    (SOFTMAX, {}, LABELS, cross_of_logits),
    (SOFTMAX, {}, ROWS, cross_of_logits),
    (SOFTMAX, {"label_smoothing": 0.1}, LABELS, lambda t, z: cross_of_logits(t, z, 0.1)),
    (SOFTMAX, {"label_smoothing": 0.1}, ROWS, lambda t, z: cross_of_logits(t, z, 0.1)),
    (SOFTMAX, {"class_weights": WEIGHTS}, LABELS, lambda t, z: cross_of_logits(t, z, 0, WEIGHTS)),
    (SOFTMAX, {"class_weights": WEIGHTS}, ROWS, lambda t, z: cross_of_logits(t, z, 0, WEIGHTS)),
    (SOFTMAX, {"class_weights": WEIGHTS, "label_smoothing": 0.1}, LABELS,
     lambda t, z: cross_of_logits(t, z, 0.1, WEIGHTS)),
    ("cross-entropy", {}, LABELS, lambda t, z: cross(t, map(sp.log, z))),
    ("cross-entropy", {}, ROWS, lambda t, z: cross(t, map(sp.log, z))),
    (LIKELIHOOD, {}, LABELS, cross),
    (LIKELIHOOD, {}, ROWS, cross),
    (LIKELIHOOD, {"of": "probabilities"}, LABELS, lambda t, z: -sp.log(-cross(t, z))),
    (LIKELIHOOD, {"of": "probabilities"}, ROWS, lambda t, z: -sp.log(-cross(t, z))),
    (LOGISTIC, {}, BITS, logistic),
    (LOGISTIC, {}, ROWS, logistic),
    (LOGISTIC, {"classes": True}, LABELS, logistic),
    (LOGISTIC, {"positive_weights": POSITIVE}, BITS, lambda t, z: logistic(t, z, POSITIVE)),
    (LOGISTIC, {"negatives": False}, BITS, lambda t, z: logistic(t, z, negatives=0)),
    (LOGISTIC, {"negatives": False, "positive_weights": POSITIVE}, ROWS, lambda t, z: logistic(t, z, POSITIVE, 0)),
    ("squared-error", {}, REAL, squared),
    ("squared-error", {"classes": True}, LABELS, squared),
    ("mean-squared-error", {}, REAL, lambda t, z: squared(t, z) / 3),
]  # fmt: skip


@pytest.mark.parametrize("sample_weight", [None, (1.0, 0.5, 0.0, 3.0)], ids=["plain", "weighted"])
@pytest.mark.parametrize(("name", "settings", "targets", "formula"), OBJECTIVES)
def test_losses(name, settings, targets, formula, sample_weight):
    loss, t, z = LOSSES[name](**settings), matrix("t", 1, 3), matrix("z", 1, 3)
    of_a_sample = compiled([t, z], [formula(t, z)], *gradients(formula(t, z), [z]))
    of_probabilities = name == "cross-entropy" or "of" in settings
    low, high = (0.05, 1) if of_probabilities else (-2, 0) if name == LIKELIHOOD else (-2, 1)
    Z = np.random.default_rng(6).uniform(low, high, (3, 4))
    rows = np.eye(3)[targets] if targets is LABELS else targets
    values, slopes = zip(*(of_a_sample(*sample) for sample in zip(rows, Z.T, strict=True)), strict=True)
    counts = np.ones(4) if sample_weight is None else np.array(sample_weight)
    # The terms of labels hold their weights already, so that what remains is to divide by their sum.
    total = (counts * WEIGHTS[LABELS] if "class_weights" in settings and targets is LABELS else counts).sum()
    got = loss(Z, weighted(loss.check_targets(targets, 4, 3), sample_weight, 4))
    assert_agree([got.value, got.gradient.T], [counts @ values / total, counts[:, None] * slopes / total])


def test_nothing_is_left_out():
    assert {name for name, *_ in OBJECTIVES} == set(LOSSES)
