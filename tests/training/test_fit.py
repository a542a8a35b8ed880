"""fit: samples, steps and records as by hand, the same bits every time, and what is refused."""

import pickle
import time

import numpy as np
import pytest

import nerva

from ..reference import assert_same_bits, softmax_cross_entropy
from ..training_reference import Rates, Recorder, assert_same_weights, network, samples, state

# ---- steps and records


@pytest.mark.parametrize("batch_size", [1, 20, 45, 89, 90, 1000])
def test_every_epoch_takes_every_sample_once_in_a_new_order(batch_size):
    model, (X, y) = network(Recorder, dtype=np.float64), samples()
    model.fit(X, y, epochs=3, batch_size=batch_size)
    sizes = [len(batch) for batch in model.seen]
    assert sizes == 3 * ([batch_size] * (90 // batch_size) + [90 % batch_size] * (90 % batch_size > 0))
    epochs = np.vstack(model.seen).reshape(3, 90, 12)
    orders = np.rint(epochs[:, :, 0] * 90).astype(int)
    for order, epoch in zip(orders, epochs, strict=True):
        assert sorted(order) == list(range(90))
        assert_same_bits(epoch, X[order])
        assert list(order) != list(range(90))
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
@pytest.mark.parametrize("optimizer", [nerva.SGD, nerva.Momentum, nerva.Nesterov, None, Rates])
def test_fit_is_the_loop_by_hand(optimizer, backend, dtype):
    settings = {"dtype": dtype, "backend": backend, "density": [0.5, 1.0]}
    model, by_hand, by_steps = network(Recorder, **settings), network(**settings), network(**settings)
    X, y = samples()
    schedule = nerva.MultiStep(0.5, [1, 2], gamma=0.5)
    history = model.fit(
        X, y, epochs=3, batch_size=20, schedule=schedule, optimizer=optimizer and optimizer(), validation=(X, y)
    )
    mine, theirs, loss = ((optimizer or nerva.Nesterov)() for _ in range(3))
    loss = nerva.SoftmaxCrossEntropy()
    for epoch, record in enumerate(history.epochs):
        total, right, rate = 0.0, 0, 0.5**epoch / 2
        for batch in model.seen[5 * epoch : 5 * epoch + 5]:
            rows = np.rint(batch[:, 0] * 90).astype(int)
            Z = by_hand.forward(batch.T.copy())
            values, gradient, correct = softmax_cross_entropy(Z, y[rows])
            result = loss(Z, y[rows])
            np.testing.assert_allclose(result.gradient, gradient, atol=1e-6)
            by_hand.backward(result.gradient)
            mine.step(by_hand.parameters(), rate)
            total, right = total + values.sum(), right + correct
            assert by_steps.train_step(X[rows], y[rows], theirs, rate) == pytest.approx(values.mean(), rel=1e-5)
        assert record.epoch == epoch + 1
        assert record.learning_rate == pytest.approx(rate)
        assert record.loss == pytest.approx(total / 90, rel=1e-5)
        assert record.train_accuracy == right / 90
    assert_same_weights(model, by_hand)
    for mine, other in zip(by_steps.parameters(), model.parameters(), strict=True):  # steps that may be compiled
        np.testing.assert_allclose(mine.values, other.values, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-13)
    assert history["test_accuracy"][-1] == model.evaluate(X, y).accuracy


def test_the_schedule_is_asked_at_every_batch_and_the_rate_is_used():
    asked, optimizer, (X, y) = [], Rates(), samples()

    def schedule(epoch):
        asked.append(epoch)
        return 0.1 / (1 + epoch)

    history = network().fit(X, y, epochs=3, batch_size=40, schedule=schedule, optimizer=optimizer)
    epochs = [epoch + batch / 3 for epoch in range(3) for batch in range(3)]
    assert optimizer._rates == pytest.approx([0.1 / (1 + epoch) for epoch in epochs])
    assert set(asked) == set(epochs)
    assert history["learning_rate"] == pytest.approx([0.1, 0.05, 0.1 / 3])
    network().fit(X, y, epochs=2, batch_size=40, schedule=nerva.MultiStep(1, [1, 1.5], 0.5), optimizer=optimizer)
    assert optimizer._rates[9:] == [1, 1, 1, 0.5, 0.5, 0.25]


def test_validation_follows_every_epoch():
    model, (X, y), held_out = network(), samples(), samples(37, seed=5)
    found = []

    def evaluate(model, _):
        found.append(model.evaluate(*held_out))

    history = model.fit(X, y, epochs=3, validation=held_out, callbacks=[evaluate])
    assert history["test_accuracy"] == [evaluation.accuracy for evaluation in found]
    assert history["test_loss"] == [evaluation.loss for evaluation in found]
    alone = model.fit(X, y, epochs=1)
    assert (alone["test_loss"], alone["test_accuracy"]) == ([None], [None])


@pytest.mark.parametrize(
    "wrong", [{"y": [99] * 90}, {"epochs": 0}, {"batch_size": 0}, {"topology": 3}, {"callbacks": 3}, {"rng": "x"}]
)
def test_a_loss_is_the_models_once_all_is_right(wrong):
    model, (X, y) = network(), samples()
    with pytest.raises((ValueError, TypeError)):
        model.fit(X, **{"y": y, "loss": nerva.SquaredError(classes=True), **wrong})
    with pytest.raises(ValueError, match="rate"):
        model.train_step(X, y, nerva.SGD(), -1, nerva.SquaredError(classes=True))
    assert type(model.loss) is nerva.SoftmaxCrossEntropy
    model.train_step(X, y, nerva.SGD(), 0.1, nerva.SquaredError(classes=True))
    assert type(model.loss) is nerva.SquaredError


def test_seconds_are_those_of_training_alone():
    X, y = samples(10)
    for training, evaluation in [(0.0, 0.15), (0.15, 0.0)]:
        model = network(Recorder)
        model.delays = evaluation, training
        history = model.fit(X, y, epochs=1, validation=(X, y), callbacks=[lambda *_: time.sleep(0.15)])
        assert (history["seconds"][0] >= 0.15) == (training > 0)
        assert history["seconds"][0] > 0


# ---- the same bits


def test_any_number_of_threads_gives_the_same_bits(instruction_set, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((530, 300)), rng.integers(10, size=530)
    found = []
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        model = nerva.MLP([300, 200, 100, 10], density=[0.1, 0.2, 0.9], dtype=dtype, seed=4)
        history = model.fit(X, y, epochs=2, validation=(X, y), schedule=0.1)
        outputs = [history[name] for name in ("loss", "train_accuracy", "test_accuracy")]
        weights = [(parameter.values, parameter.state) for parameter in model.parameters()]
        found.append(pickle.dumps((outputs, weights, model.predict_proba(X), model.evaluate(X, y))))
    assert found[0] == found[1] == found[2]


def test_the_order_of_samples_is_that_of_the_seed():
    X, y = samples()
    losses = [
        network(seed=seed).fit(X, y, rng=rng)["loss"]
        for seed, rng in [(1, None), (1, None), (1, 5), (1, np.random.default_rng(5)), (1, 6), (2, 5)]
    ]
    assert losses[0] == losses[1]
    assert losses[2] == losses[3]
    assert len({tuple(loss) for loss in losses}) == 4


def test_the_order_of_the_samples_can_be_kept():
    model, twin, (X, y) = network(Recorder), network(), samples()
    model.fit(X, y, epochs=2, batch_size=40, shuffle=False)
    rows = [np.rint(batch[:, 0] * 90).astype(int) for batch in model.seen]
    np.testing.assert_array_equal(np.concatenate(rows), np.tile(np.arange(90), 2))
    optimizer = nerva.Nesterov()
    for first in (0, 40, 80) * 2:
        twin.train_step(X[first : first + 40], y[first : first + 40], optimizer, 0.01)
    assert_same_weights(model, twin)


# ---- learning


@pytest.mark.parametrize("settings", [{"backend": "mkl"}, {}, {"density": 1.0}, {"activation": "tanh"}], ids=str)
@pytest.mark.parametrize("optimizer", [nerva.SGD(), nerva.Nesterov(weight_decay=1e-4)], ids=repr)
def test_it_learns(optimizer, settings, dtype):
    rng = np.random.default_rng(0)
    centers, labels = rng.standard_normal((5, 20)), rng.integers(5, size=600)
    X = centers[labels] + 0.3 * rng.standard_normal((600, 20))
    model = nerva.MLP([20, 64, 5], dtype=dtype, **{"density": 0.2} | settings)
    history = model.fit(X[:500], labels[:500], epochs=15, batch_size=30, optimizer=optimizer, schedule=0.1)
    assert history["loss"][-1] < 0.1 < history["loss"][0]
    assert history["train_accuracy"][-1] > 0.97
    assert model.evaluate(X[500:], labels[500:]).accuracy > 0.95


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_loss_that_is_not_finite_is_warned_of(epoch):
    X, y = samples()
    settings = {"epochs": 4, "batch_size": 10, "schedule": lambda t: 1e30 if t >= epoch else 0.01}
    with pytest.warns(RuntimeWarning, match="loss is not finite: the learning rate"):
        history = network().fit(X, y, **settings, diverged="warn")
    assert np.isfinite(history["loss"]).tolist() == [i < epoch for i in range(4)]


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_loss_that_is_not_finite_ends_the_training(epoch):
    model, (X, y), told = network(), samples(), []
    settings = {"epochs": 4, "batch_size": 10, "schedule": lambda t: 1e30 if t >= epoch else 0.01}
    message = rf"in epoch {epoch + 1}: the loss is nan.* learning rate .*1e\+30.* scaled.*diverged='warn'"
    with pytest.raises(nerva.Diverged, match=message) as raised:
        model.fit(X, y, **settings, callbacks=[lambda _, record: told.append(record)])
    assert raised.value.history.epochs == told
    assert [np.isfinite(record.loss) for record in told] == epoch * [True] + [False]
    assert isinstance(raised.value, FloatingPointError)
    assert len(pickle.loads(pickle.dumps(raised.value)).history) == epoch + 1


@pytest.mark.parametrize("every", [None, 3])
def test_a_training_that_diverges_leaves_the_last_good_checkpoint(tmp_path, every):
    def run(rate, **settings):
        model, (X, y) = network(), samples()
        options = {"epochs": 4, "batch_size": 10, "checkpoint": tmp_path, "checkpoint_every": every}
        model.fit(X, y, schedule=lambda t: 0.01 if t < 2 else rate, **options, **settings)
        return model

    with pytest.raises(nerva.Diverged):
        run(1e30)
    going_on = run(0.01, resume=True)
    whole, (X, y) = network(), samples()
    whole.fit(X, y, epochs=4, batch_size=10, schedule=0.01)
    assert_same_weights(going_on, whole)


def test_the_best_weights_are_those_of_a_training_that_diverges():
    model, (X, y) = network(), samples()
    stop = nerva.callbacks.EarlyStopping("loss", patience=9)
    with pytest.raises(nerva.Diverged):
        model.fit(X, y, epochs=4, batch_size=10, schedule=lambda t: 0.01 if t < 2 else 1e38, callbacks=[stop])
    assert stop.best_epoch == 2
    assert np.isfinite(model.evaluate(X, y).loss)


@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_a_run_goes_on_before_the_epoch_in_which_it_diverged(tmp_path, every):
    """Its weights are huge, but finite, in the states that were written within that epoch."""
    settings = {"epochs": 6, "batch_size": 10, "checkpoint": tmp_path, "checkpoint_every": every, "verbose": False}
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 4)), rng.integers(0, 3, 50)

    def untrained():
        return nerva.MLP([4, 8, 8, 3], density=0.5, seed=0)

    with pytest.raises(nerva.Diverged, match="in epoch 4"):
        untrained().fit(X, y, schedule=lambda epoch: 0.01 if epoch < 3.2 else 1e30, **settings)
    assert not list(tmp_path.glob("step-1[6-9].safetensors"))
    history = untrained().fit(X, y, schedule=lambda _: 0.01, resume=True, **settings)
    assert len(history) == 6
    assert np.isfinite(history["loss"]).all()


def test_validation_that_is_not_finite_ends_the_training():
    model, (X, y) = network(), samples()
    with pytest.raises(nerva.Diverged, match="in epoch 1: the validation loss is nan"):
        model.fit(X, y, batch_size=90, schedule=1e38, validation=(X, y))


# ---- what is refused, before anything has changed


WHOLE = [0, -1, 2.5, "3", True, None]
WRONG = {
    "epochs": WHOLE,
    "batch_size": WHOLE,
    "optimizer": ["sgd", nerva.SGD, 0.1],
    "schedule": [-1, np.nan, "slow", lambda _: np.nan, lambda _: -1.0, lambda _: "slow"],
    "loss": ["mse", nerva.SoftmaxCrossEntropy],
    "rng": ["seed", -1, 0.5],
    "callbacks": [5, [5], print],
    "shuffle": [None, 1, "no"],
    "diverged": [None, True, "stop"],
    "augment": [4, True, "flip", nerva.Augment, nerva.Augment((1, 4, 4), padding=1), nerva.Augment((3, 12, 1), 0)],
    "validation": [samples()[:1], samples()[0], (*samples(), 1), "none"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_argument_of_fit_is_named(name, value):
    model, (X, y) = network(), samples()
    before = state(model)
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        model.fit(X, y, **{"epochs": 1, name: value})
    assert state(model) == before
