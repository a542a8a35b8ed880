"""Every loss with targets, the activation its outputs come from, and its formula in float64."""

import numpy as np
from scipy import special
from scipy.special import log_softmax

import nerva

K = 5


def one_hot(y, outputs=K):
    return np.eye(outputs)[y]


def cross(T, log):
    return -(T * log).sum(axis=1)


def mean(values, weights=None):
    return np.average(values, weights=weights)


RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, K, 8)
ROWS = RNG.dirichlet(np.ones(K), 8)
SIGNS = RNG.integers(0, 2, (8, K))
REAL = RNG.standard_normal((8, K))
CLASS_WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 3.0])
SMOOTH = 0.9 * one_hot(LABELS) + 0.1 / K

# name: (loss, targets, what the outputs come from, the formula of outputs (n, K) and float64 targets)
CASES = {
    "softmax": (
        nerva.SoftmaxCrossEntropy(),
        LABELS,
        "identity",
        lambda Z: mean(cross(one_hot(LABELS), log_softmax(Z, 1))),
    ),
    "softmax of rows": (
        nerva.SoftmaxCrossEntropy(),
        ROWS,
        "identity",
        lambda Z: mean(cross(ROWS, log_softmax(Z, 1))),
    ),
    "softmax smoothed": (
        nerva.SoftmaxCrossEntropy(label_smoothing=0.1),
        LABELS,
        "identity",
        lambda Z: mean(cross(SMOOTH, log_softmax(Z, 1))),
    ),
    "softmax with class weights": (
        nerva.SoftmaxCrossEntropy(class_weights=CLASS_WEIGHTS),
        LABELS,
        "identity",
        lambda Z: mean(cross(one_hot(LABELS), log_softmax(Z, 1)), CLASS_WEIGHTS[LABELS]),
    ),
    "softmax of rows with class weights": (
        nerva.SoftmaxCrossEntropy(class_weights=CLASS_WEIGHTS),
        ROWS,
        "identity",
        lambda Z: mean(cross(CLASS_WEIGHTS * ROWS, log_softmax(Z, 1))),
    ),
    "cross-entropy": (nerva.CrossEntropy(), LABELS, "softmax", lambda P: mean(cross(one_hot(LABELS), np.log(P)))),
    "cross-entropy of rows": (nerva.CrossEntropy(), ROWS, "softmax", lambda P: mean(cross(ROWS, np.log(P)))),
    "likelihood": (
        nerva.NegativeLogLikelihood(),
        LABELS,
        "log_softmax",
        lambda Z: -mean(Z[np.arange(8), LABELS]),
    ),
    "likelihood of probabilities": (
        nerva.NegativeLogLikelihood("probabilities"),
        ROWS,
        "softmax",
        lambda P: -mean(np.log((ROWS * P).sum(axis=1))),
    ),
    "logistic": (
        nerva.LogisticCrossEntropy(),
        SIGNS,
        "identity",
        lambda Z: -mean((SIGNS * special.log_expit(Z) + (1 - SIGNS) * special.log_expit(-Z)).sum(axis=1)),
    ),
    "logistic with positive weights": (
        nerva.LogisticCrossEntropy(positive_weights=[1, 2, 3, 4, 5]),
        ROWS,
        "identity",
        lambda Z: (
            -mean((np.arange(1, 6) * ROWS * special.log_expit(Z) + (1 - ROWS) * special.log_expit(-Z)).sum(axis=1))
        ),
    ),
    "logistic of positives": (
        nerva.LogisticCrossEntropy(negatives=False),
        SIGNS,
        "identity",
        lambda Z: -mean((SIGNS * special.log_expit(Z)).sum(axis=1)),
    ),
    "squared of classes": (
        nerva.SquaredError(classes=True),
        LABELS,
        "identity",
        lambda Y: mean(((Y - one_hot(LABELS)) ** 2).sum(axis=1)),
    ),
    "logistic of classes": (
        nerva.LogisticCrossEntropy(classes=True),
        LABELS,
        "identity",
        lambda Z: (
            -mean((one_hot(LABELS) * special.log_expit(Z) + (1 - one_hot(LABELS)) * special.log_expit(-Z)).sum(1))
        ),
    ),
    "squared": (nerva.SquaredError(), REAL, "identity", lambda Y: mean(((Y - REAL) ** 2).sum(axis=1))),
    "mean squared": (nerva.MeanSquaredError(), REAL, "identity", lambda Y: mean(((Y - REAL) ** 2).mean(axis=1))),
}


def outputs(activation, dtype=np.float64):
    Z = RNG.standard_normal((8, K))
    if activation != "identity":
        Z = {"softmax": special.softmax, "log_softmax": log_softmax}[activation](Z, 1)
    return np.ascontiguousarray(Z.T, dtype)
