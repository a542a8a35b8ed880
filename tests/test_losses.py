"""Losses against float64 formulas written apart, central differences, PyTorch's conventions, and whole trainings."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy.special import log_softmax

import nerva
from nerva.losses import LOSSES
from nerva.losses.targets import Weighted, weighted

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


@pytest.mark.parametrize("name", CASES)
def test_value(name, dtype):
    loss, targets, activation, formula = CASES[name]
    Z = outputs(activation, dtype)
    result = loss(Z, loss.check_targets(targets, 8, K))
    assert result.value == pytest.approx(formula(Z.T.astype(np.float64)), rel=2e-6 if dtype == np.float32 else 1e-13)
    assert result.gradient.dtype == dtype
    assert result.gradient.shape == Z.shape


@pytest.mark.parametrize("weights", [None, RNG.random(8) + 0.1])
@pytest.mark.parametrize("name", CASES)
def test_gradient_by_central_differences(name, weights):
    loss, targets, activation, _ = CASES[name]
    Z = outputs(activation)
    y = weighted(loss.check_targets(targets, 8, K), weights, 8)
    gradient = loss(Z, y).gradient.copy()
    for at in np.ndindex(Z.shape):
        h, ends = 1e-6, []
        for sign in (1, -1):
            moved = Z.copy()
            moved[at] += sign * h
            ends.append(loss(moved, y).value)
        assert gradient[at] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6, abs=1e-8)


@given(scale=st.sampled_from([1e2, 1e4, 1e30]), seed=st.integers(0, 100))
def test_logits_of_any_size(dtype, scale, seed):
    rng = np.random.default_rng(seed)
    Z = (rng.standard_normal((K, 8)) * scale).astype(dtype)
    for name in ("softmax", "softmax of rows", "softmax smoothed", "softmax with class weights", "logistic"):
        loss, targets, _, _ = CASES[name]
        value, gradient, _, _ = loss(Z, loss.check_targets(targets, 8, K))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() <= 1


@pytest.mark.parametrize("name", CASES)
def test_weights_repeat_and_leave_out(name):
    """A sample of weight 2 counts as two samples, one of weight 0 not at all."""
    loss, targets, activation, _ = CASES[name]
    Z, weights = outputs(activation), np.array([0, 1, 2, 0, 1, 1, 2, 1])
    repeated = np.repeat(np.arange(8), weights)
    y = loss.check_targets(targets, 8, K)
    value, gradient, _, weight = loss(Z, weighted(y, weights, 8))
    gradient = gradient.copy()
    plain = loss(np.ascontiguousarray(Z[:, repeated]), y[repeated])
    assert value == pytest.approx(plain.value, rel=1e-12)
    assert weight == pytest.approx(plain.weight if loss.__dict__.get("class_weights") is not None else 8)
    for n in range(8):
        np.testing.assert_allclose(gradient[:, n], plain.gradient[:, repeated == n].sum(axis=1), atol=1e-14)


def test_no_weight_at_all():
    for loss, targets, activation, _ in CASES.values():
        y = Weighted(loss.check_targets(targets, 8, K), np.zeros(8))  # a batch of samples that do not count
        value, gradient, _, weight = loss(outputs(activation), y)
        assert (value, weight, np.abs(gradient).max()) == (0, 0, 0)


def test_probabilities_of_nothing_stay_finite():
    Z = np.zeros((K, 8))
    for loss in (nerva.CrossEntropy(), nerva.NegativeLogLikelihood("probabilities")):
        value, gradient, _, _ = loss(Z, LABELS)
        assert value == pytest.approx(-np.log(1e-12))
        assert np.isfinite(gradient).all()


def test_what_outputs_predict():
    Z = np.array([[2.0, -1.0], [1.0, 3.0], [-1.0, 0.5]])
    for loss in (nerva.SoftmaxCrossEntropy(), nerva.CrossEntropy(), nerva.NegativeLogLikelihood()):
        np.testing.assert_array_equal(loss.predict(Z), [0, 1])
    np.testing.assert_array_equal(nerva.LogisticCrossEntropy().predict(Z), [[1, 1, 0], [0, 1, 1]])
    np.testing.assert_array_equal(nerva.SquaredError().predict(Z), Z.T)
    np.testing.assert_array_equal(nerva.SquaredError().predict(Z[:1]), Z[0])
    np.testing.assert_allclose(nerva.LogisticCrossEntropy().probabilities(Z), special.expit(Z))
    np.testing.assert_allclose(nerva.NegativeLogLikelihood().probabilities(Z), np.exp(Z))
    np.testing.assert_array_equal(nerva.CrossEntropy().probabilities(Z), Z)
    np.testing.assert_allclose(nerva.SoftmaxCrossEntropy().probabilities(Z.copy()), special.softmax(Z, 0))
    for loss in (nerva.SquaredError(classes=True), nerva.LogisticCrossEntropy(classes=True)):
        np.testing.assert_array_equal(loss.predict(Z), [0, 1])
        assert loss(Z, np.array([0, 0])).correct == 1
    with pytest.raises(TypeError, match="MeanSquaredError has no probabilities"):
        nerva.MeanSquaredError().probabilities(Z)


def test_how_many_are_right():
    Z = np.array([[2.0, -1.0, 0.0], [1.0, 3.0, 1.0]])
    assert nerva.SoftmaxCrossEntropy()(Z, np.array([0, 0, 1])).correct == 2
    assert nerva.SoftmaxCrossEntropy()(Z, one_hot([0, 0, 1], 2)).correct == 2
    assert nerva.LogisticCrossEntropy()(Z, np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])).correct == 2
    assert nerva.SquaredError()(Z, Z.T).correct is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nerva.SoftmaxCrossEntropy(label_smoothing=1.0), "label_smoothing is 1.0"),
        (lambda: nerva.SoftmaxCrossEntropy(label_smoothing=-0.1), "label_smoothing is -0.1"),
        (lambda: nerva.SoftmaxCrossEntropy(label_smoothing=True), "label_smoothing is True"),
        (lambda: nerva.SoftmaxCrossEntropy(class_weights=[1, -1]), "class_weights holds"),
        (lambda: nerva.SoftmaxCrossEntropy(class_weights=[[1]]), r"class_weights has shape \(1, 1\)"),
        (lambda: nerva.SoftmaxCrossEntropy(class_weights=[np.nan]), "class_weights holds"),
        (lambda: nerva.SoftmaxCrossEntropy(class_weights=[0, 0]), r"class_weights has the sum 0\.0"),
        (lambda: nerva.LogisticCrossEntropy(positive_weights=[1e39]), r"positive_weights has the sum 1e\+39"),
        (lambda: nerva.NegativeLogLikelihood("odds"), "of is 'odds'"),
        (lambda: nerva.LogisticCrossEntropy(positive_weights=[-1]), "positive_weights holds"),
        (lambda: nerva.LogisticCrossEntropy(negatives=0), "negatives is 0"),
        (lambda: nerva.SquaredError(classes=1), "classes is 1"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize(
    ("loss", "targets", "message"),
    [
        (nerva.SoftmaxCrossEntropy(class_weights=[1, 2]), LABELS, "class_weights has shape"),
        (nerva.LogisticCrossEntropy(positive_weights=[1, 2]), SIGNS, "positive_weights has 2 numbers"),
        (nerva.LogisticCrossEntropy(), LABELS, r"y has shape \(8,\)"),
        (nerva.LogisticCrossEntropy(), 2 * SIGNS, "y holds numbers from 0.0 to 2.0"),
        (nerva.LogisticCrossEntropy(), SIGNS.astype(str), "y has dtype"),
        (nerva.SoftmaxCrossEntropy(), -ROWS, "no probabilities"),
        (nerva.SoftmaxCrossEntropy(), ROWS[:, 1:], r"y has shape \(8, 4\)"),
        (nerva.CrossEntropy(), LABELS - 5, "y holds labels from -"),
        (nerva.NegativeLogLikelihood(), LABELS.astype(float), "y has dtype float64"),
        (nerva.SquaredError(), REAL[:, :1], r"y has shape \(8, 1\)"),
        (nerva.SquaredError(), np.where(REAL > 0, np.nan, REAL), "y holds NaN or infinity"),
        (nerva.SquaredError(classes=True), LABELS - 5, "y holds labels from -"),
        (nerva.LogisticCrossEntropy(classes=True), SIGNS, "y has shape"),
        (nerva.MeanSquaredError(), REAL.astype(complex), "y has dtype complex128"),
    ],
)
def test_wrong_targets_are_named(loss, targets, message):
    with pytest.raises((TypeError, ValueError), match=message):
        loss.check_targets(targets, 8, K)


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(7),
        -np.ones(8),
        np.full(8, np.nan),
        np.ones((8, 1)),
        ["a"] * 8,
        np.full(8, np.inf),
        np.zeros(8),
        np.full(8, 1e308),
    ],
)
def test_wrong_sample_weights_are_named_and_nothing_changes(weights):
    rng = np.random.default_rng(0)
    model = nerva.MLP([4, 6, K], density=0.5, seed=0)
    before = [p.values.copy() for p in model.parameters()]
    for call in (
        lambda: model.fit(rng.standard_normal((8, 4)), LABELS, sample_weight=weights, epochs=1),
        lambda: model.train_step(rng.standard_normal((8, 4)), LABELS, nerva.SGD(), 0.1, sample_weight=weights),
    ):
        with pytest.raises(ValueError, match="sample_weight"):
            call()
    for p, values in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.values, values)


@pytest.mark.parametrize("loss", [nerva.CrossEntropy(), nerva.NegativeLogLikelihood("probabilities")])
@pytest.mark.parametrize("wrong", [-0.2, 1.2])
def test_what_is_no_probability_is_refused(loss, wrong, dtype):
    Z = outputs("softmax", dtype)
    Z[2, 3] = wrong
    with pytest.raises(ValueError, match=f"the outputs are from .*{abs(wrong)}.* this loss takes probabilities"):
        loss(Z, LABELS)
    Z[2, 3] = np.nan  # of a training that is lost; that is for the loss to show
    assert np.isnan(loss(Z, np.full(8, 2)).value)


@pytest.mark.parametrize("name", CASES)
def test_a_lost_training_shows_in_the_loss_alone(name):
    """No warnings of NumPy's, and not an error of its own."""
    loss, targets, _, _ = CASES[name]
    Z = np.full((K, 8), np.nan)
    assert np.isnan(loss(Z, loss.check_targets(targets, 8, K)).value)


def test_what_is_no_logarithm_of_a_probability_is_refused(dtype):
    with pytest.raises(ValueError, match="this loss takes log-probabilities, those of log_softmax"):
        nerva.NegativeLogLikelihood()(outputs("identity", dtype), LABELS)


def test_a_loss_says_what_it_is():
    loss = nerva.SoftmaxCrossEntropy(label_smoothing=0.1)
    assert repr(loss) == "SoftmaxCrossEntropy(label_smoothing=0.1, class_weights=None)"
    assert repr(nerva.MeanSquaredError()) == "MeanSquaredError(classes=False)"
    assert set(LOSSES) == {
        "softmax-cross-entropy",
        "cross-entropy",
        "negative-log-likelihood",
        "logistic-cross-entropy",
        "squared-error",
        "mean-squared-error",
    }


@pytest.mark.parametrize("name", CASES)
def test_through_a_network_of_sparse_layers(name):
    loss, targets, activation, _ = CASES[name]
    layers = [
        nerva.SparseLinear(6, 9, density=0.4, activation="tanh", rng=1, dtype=np.float64),
        nerva.SparseLinear(9, K, density=0.6, activation=activation, rng=2, dtype=np.float64),
    ]
    X = np.random.default_rng(3).standard_normal((8, 6))
    report = nerva.check_gradients(nerva.Sequential(layers), X, targets, loss=loss)
    assert report.ok, str(report)


def test_sample_weights_of_zero_are_absent_samples():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 6)), rng.integers(0, 3, 60)
    weights = np.repeat([1.0, 0.0], 30)
    models = [nerva.MLP([6, 8, 3], density=0.5, seed=0, dtype=np.float64) for _ in range(2)]
    for _ in range(5):
        a = models[0].train_step(X, y, nerva.SGD(), 0.1, sample_weight=weights)
        b = models[1].train_step(X[:30], y[:30], nerva.SGD(), 0.1)
        assert a == pytest.approx(b, rel=1e-12)
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        np.testing.assert_allclose(p.values, q.values, rtol=1e-10, atol=1e-12)


def test_weights_follow_their_samples_through_epochs():
    """Half the labels are wrong, and weigh nothing."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 5))
    truth = (X[:, 0] > 0).astype(int)
    wrong = np.arange(400) % 2 == 1
    model = nerva.MLP([5, 16, 2], density=0.8, seed=0)
    model.fit(X, np.where(wrong, 1 - truth, truth), sample_weight=1.0 * ~wrong, epochs=30, schedule=0.1, batch_size=32)
    assert (model.predict(X) == truth).mean() > 0.95


def test_several_labels_end_to_end():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((600, 10))
    Y = (X[:, :4] + 0.3 * X[:, 4:8] > 0).astype(int)
    model = nerva.MLP([10, 40, 4], density=0.5, seed=0)
    history = model.fit(
        X[:500], Y[:500], validation=(X[500:], Y[500:]), loss=nerva.LogisticCrossEntropy(), epochs=25, schedule=0.1
    )
    assert history.epochs[-1].test_accuracy > 0.93
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) > 0.5)
    assert model.evaluate(X[500:], Y[500:]).accuracy == history.epochs[-1].test_accuracy


@pytest.mark.parametrize("targets", [1, 2])
def test_regression_end_to_end(targets):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((800, 6))
    Y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 2] * 0.5], axis=1)[:, :targets]
    Y = Y[:, 0] if targets == 1 else Y
    model = nerva.MLP([6, 64, targets], density=0.7, seed=0)
    history = model.fit(X, Y, validation=(X, Y), loss=nerva.MeanSquaredError(), epochs=60, schedule=0.02)
    assert history.epochs[-1].train_accuracy is None
    assert history.epochs[-1].test_accuracy is None
    assert model.predict(X).shape == Y.shape
    assert ((model.predict(X) - Y) ** 2).mean() < 0.05 * Y.var()
    assert model.evaluate(X, Y).loss == pytest.approx(((model.predict(X) - Y) ** 2).mean(), rel=1e-3)
    with pytest.raises(TypeError, match="no probabilities"):
        model.predict_proba(X)


def test_a_network_keeps_its_loss_in_copies():
    model = nerva.MLP([4, 3], density=0.5, seed=0)
    model.fit(np.ones((5, 4)), np.zeros((5, 3)), loss=nerva.SquaredError(), epochs=1)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert isinstance(twin.loss, nerva.SquaredError)
        np.testing.assert_array_equal(twin.predict(np.ones((2, 4))), model.predict(np.ones((2, 4))))
