"""fit, train_step, evaluate and predict of compiled networks against the same networks layer by layer."""

import numpy as np
import pytest

import nerva

from ..compiled_reference import (
    CLOSE,
    arrays,
    assert_close,
    assert_same_history,
    counted,
    images,
    network,
    pair,
    samples,
)
from ..reference import assert_same_bits

OPTIMIZERS = {
    "sgd": lambda: nerva.SGD(),
    "sgd, decay and clip": lambda: nerva.SGD(weight_decay=0.01, clip_value=1e-3),
    "momentum": lambda: nerva.Momentum(0.8, weight_decay=1e-3),
    "nesterov": lambda: nerva.Nesterov(0.9, clip_value=5e-3),
    "rmsprop": lambda: nerva.RMSprop(alpha=0.9, epsilon=1e-4),
    "rmsprop with momentum": lambda: nerva.RMSprop(alpha=0.9, momentum=0.8, epsilon=1e-3, weight_decay=0.01),
    "adam": lambda: nerva.Adam(epsilon=1e-4, weight_decay=1e-3),
    "adamw": lambda: nerva.AdamW(beta1=0.8, beta2=0.95, epsilon=1e-4, clip_value=1e-2),
    "lion": lambda: nerva.Lion(weight_decay=0.1),
    "groups": lambda: nerva.Groups([("bias", nerva.SGD())], rest=nerva.Nesterov(0.9, weight_decay=1e-3)),
    "groups of all kinds": lambda: nerva.Groups(
        [(lambda p: p.values.size > 700, nerva.Adam(epsilon=1e-4), 0.1), ("weight", nerva.RMSprop(epsilon=1e-3))],
        rest=nerva.SGD(weight_decay=0.1),
    ),
}


def assert_fits(X, y, make=network, expected=None, tolerance=CLOSE, **settings):
    """Both ways have the same loss curve and the same weights; `expected` steps of the first are compiled."""
    (one, other), histories = pair(make), []
    settings = {"epochs": 3, "batch_size": 100, "schedule": 0.05, "validation": (X, y)} | settings
    optimizer = settings.pop("optimizer", nerva.Nesterov)
    with counted() as steps:
        for model in (one, other):
            histories.append(model.fit(X, y, optimizer=optimizer(), **settings))
    assert_same_history(*histories, tolerance)
    assert_close(one, other, tolerance)
    if expected is not None:
        assert steps.train == expected
    return one


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name):
    rate = 1e-3 if name in ("lion", "rmsprop", "adam", "adamw") else 0.02
    assert_fits(*samples(), optimizer=OPTIMIZERS[name], schedule=rate, expected=12)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 65, 66, 100, 128, 129, 165, 330, 1000])
def test_every_batch_size(batch_size):
    whole, rest = divmod(330, batch_size)
    rate = 0.05 if batch_size > 7 else 1e-3
    assert_fits(*samples(), batch_size=batch_size, schedule=rate, expected=3 * (whole + (rest > 0)))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity", nerva.LeakyReLU(0.2)])
def test_every_fused_activation(activation):
    assert_fits(*samples(), lambda: network(activation=activation, output="tanh"), expected=12)


@pytest.mark.parametrize(
    "schedule",
    [
        nerva.WarmUp(nerva.Cosine(0.1, period=3), epochs=1),
        nerva.MultiStep(0.1, (1, 2), 0.3),
        nerva.OneCycle(0.1, epochs=3),
        lambda epoch: 0.1 / (1 + epoch),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_every_schedule(schedule):
    assert_fits(*samples(), schedule=schedule, expected=12)


def test_a_schedule_that_observes_the_loss():
    one, other = pair()
    histories = [
        model.fit(*samples(), epochs=6, schedule=nerva.ReduceOnPlateau(0.5, patience=0)) for model in (one, other)
    ]
    assert_same_history(*histories)
    assert_close(one, other)


@pytest.mark.parametrize("source", ["float32", "float64", "uint8", "standardized", "strided", "columns"])
def test_every_kind_of_samples(source):
    X, y = samples()
    match source:
        case "float32":
            X = X.astype(np.float32)
        case "uint8":
            X = np.clip(X * 20 + 50, 0, 255).astype(np.uint8)
        case "standardized":
            X, y = images()
        case "strided":
            X = np.repeat(X, 2, axis=0)[::2, :]
        case "columns":
            X = np.asfortranarray(X)
    rate = 1e-4 if source == "uint8" else 0.02
    assert_fits(X, y, expected=12, schedule=rate)


@pytest.mark.parametrize("labels", [np.uint8, np.int32, ">i8", list, "every second"])
def test_every_kind_of_labels(labels):
    X, y = samples()
    match labels:
        case "every second":
            y = np.repeat(y, 2)[::2]
        case type() if labels is list:
            y = y.tolist()
        case _:
            y = y.astype(labels)
    assert_fits(X, y, expected=12)


@pytest.mark.parametrize("source", ["standardized", "float32"])
@pytest.mark.parametrize("flip", [True, False])
def test_augmentation(source, flip):
    X, y = images()
    if source == "float32":
        X = np.asarray(X[:])
    assert_fits(X, y, augment=nerva.Augment((1, 5, 8), padding=2, flip=flip), expected=12)


def test_without_shuffling_and_with_a_seed_of_fit():
    assert_fits(*samples(), shuffle=False, expected=12)
    assert_fits(*samples(), rng=7, expected=12)


def test_layers_without_bias_and_layers_without_weights():
    def make():
        settings = {"rng": np.random.default_rng(0), "dtype": np.float64}
        empty = nerva.CSR.from_dense(np.zeros((50, 60)))
        return nerva.Sequential(
            [
                nerva.SparseLinear(40, 60, density=0.3, activation="relu", bias=False, backend="native", **settings),
                nerva.SparseLinear(60, 50, weight=empty, activation="tanh"),
                nerva.Linear(50, 6, bias=False, **settings),
            ],
            rng=0,
        )

    assert_fits(*samples(), make, expected=12)


def test_float32_agrees_within_its_rounding():
    assert_fits(*images(), lambda: network(dtype=np.float32), expected=4, tolerance=2e-4, epochs=1)


def test_train_step(rng):
    (one, other), (X, y) = pair(), samples()
    optimizers = nerva.Adam(epsilon=1e-4), nerva.Adam(epsilon=1e-4)
    with counted() as steps:
        for n in (100, 65, 330, 1, 129, 64, 200):
            rows = rng.permutation(330)[:n]
            losses = [
                model.train_step(X[rows], y[rows], optimizer, 0.01)
                for model, optimizer in zip((one, other), optimizers, strict=True)
            ]
            assert losses[0] == pytest.approx(losses[1], rel=CLOSE)
    assert steps.train == 7
    assert_close(one, other)


def test_train_step_on_rows_that_lie_apart():
    (one, other), (X, y) = pair(), samples()
    wide = np.full((660, 50), np.nan)
    wide[::2, 3:43] = X
    for model, rows in ((one, wide[::2, 3:43]), (other, X)):
        model.train_step(rows, y, nerva.SGD(), 0.1)
    assert_close(one, other)


@pytest.mark.parametrize("batch_size", [1, 64, 65, 100, 128, 330])
def test_evaluate_and_predict(batch_size):
    (one, other), (X, y) = pair(), samples()
    for model in (one, other):
        model.fit(X, y, epochs=2, schedule=0.05)
    results = [model.evaluate(X, y, batch_size=batch_size) for model in (one, other)]
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-9)
    assert results[0].accuracy == results[1].accuracy > 0.5
    np.testing.assert_array_equal(*(model.predict(X, batch_size=batch_size) for model in (one, other)))
    chances = [model.predict_proba(X, batch_size=batch_size) for model in (one, other)]
    np.testing.assert_allclose(*chances, rtol=1e-8, atol=1e-12)
    for model in (one, other):
        assert_same_bits(model.predict(X[:1]), model.predict(X)[:1])


@pytest.mark.parametrize(("n", "last"), [(300, 1.0), (330, 1.0), (330, 0.9)])
def test_the_same_bits_on_any_number_of_threads(dtype, n, last):
    results = []
    for threads in (1, 2, 3, 5):
        nerva.set_num_threads(threads)
        model, X = network(dtype=dtype, density=[0.3, 0.4, last]), images(n)[0]
        history = model.fit(*images(n), validation=images(n), epochs=2, optimizer=nerva.AdamW())
        model.fit(*samples(n), epochs=1, optimizer=nerva.Momentum(), topology=nerva.SET(every=2, unit="step"))
        outputs = model.predict_proba(X, batch_size=100)
        results.append((history["loss"], history["test_loss"], [*arrays(model), outputs]))
    for losses, test_losses, vectors in results:
        assert losses == results[0][0]
        assert test_losses == results[0][1]
        for vector, first in zip(vectors, results[0][2], strict=True):
            assert_same_bits(vector, first)


def test_the_gradient_of_a_step_is_that_of_the_loss():
    """(before - after) / rate of gradient descent equals central differences of the loss, in float64."""
    model, (X, y), rate, h = network(activation="tanh"), samples(130), 1e-3, 1e-5
    before = [parameter.values.copy() for parameter in model.parameters()]
    with counted() as steps:
        model.train_step(X, y, nerva.SGD(), rate)
    assert steps.train == 1
    slopes = [(was - p.values) / rate for was, p in zip(before, model.parameters(), strict=True)]
    model.compiled = lambda batch: None
    for parameter, was in zip(model.parameters(), before, strict=True):
        parameter.values[:] = was
    rng = np.random.default_rng(0)
    for parameter, slope in zip(model.parameters(), slopes, strict=True):
        for i in rng.choice(len(slope), min(len(slope), 25), replace=False):
            losses = []
            for side in (h, -h):
                parameter.values[i] += side
                losses.append(model.evaluate(X, y).loss)
                parameter.values[i] -= side
            assert slope[i] == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-5, abs=1e-8)
