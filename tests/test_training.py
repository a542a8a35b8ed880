"""fit and train_step: samples, steps and records as by hand, the same bits every time, and what is refused."""

import pickle
import time
from operator import itemgetter

import numpy as np
import pytest

import nerva
from nerva.datasets import Standardized

from .reference import assert_same_bits, softmax_cross_entropy

SIZES = [12, 8, 4]


def samples(n=90, seed=0):
    """Samples (n, 12), the first feature the number of the sample, and labels."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, SIZES[0]))
    X[:, 0] = np.arange(n) / n
    return X, rng.integers(SIZES[-1], size=n)


class Recorder(nerva.MLP):
    """A network that keeps the batches it is trained on, and takes its time where it is told to."""

    delays = (0.0, 0.0)  # evaluation, training

    def forward(self, X, *, training=True):
        if training:
            self.__dict__.setdefault("seen", []).append(X.T.copy())
        time.sleep(self.delays[training])
        return super().forward(X, training=training)


class Rates(nerva.SGD):
    """An optimizer that keeps the rates it is asked to step at."""

    def __init__(self):
        super().__init__()
        self._rates = []

    def step(self, parameters, rate):
        self._rates.append(rate)
        super().step(parameters, rate)


def network(kind=nerva.MLP, sizes=SIZES, **settings):
    return kind(sizes, **{"density": 0.6, "seed": 1, "distribution": "uniform"} | settings)


def state(model):
    """All that training could change."""
    numbers = [(parameter.values, parameter.state) for parameter in model.parameters()]
    return pickle.dumps((numbers, model.rng.bit_generator.state))


def assert_same_weights(one, other):
    for mine, yours in zip(one.parameters(), other.parameters(), strict=True):
        assert_same_bits(mine.values, yours.values, mine.name)


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
    assert_same_weights(model, by_steps)
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


def test_an_evaluation_takes_another_loss_and_weights():
    model, (X, y) = network(output="softmax"), samples()
    weights = np.random.default_rng(0).random(90)
    P = model.forward(np.ascontiguousarray(X.T, np.float32), training=False).T.copy()
    each = -np.log(P[np.arange(90), y].astype(float))
    found = model.evaluate(X, y, loss=nerva.CrossEntropy(), sample_weight=weights, batch_size=17)
    assert found.loss == pytest.approx(np.average(each, weights=weights), rel=1e-5)
    assert found.accuracy == (P.argmax(axis=1) == y).mean()
    assert type(model.loss) is nerva.SoftmaxCrossEntropy
    with pytest.raises(ValueError, match="sample_weight has shape"):
        model.evaluate(X, y, sample_weight=weights[1:])
    with pytest.raises(TypeError, match=r"loss is .*CrossEntropy.*; it must be a nerva\.Loss"):
        model.evaluate(X, y, loss=nerva.CrossEntropy)


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


def test_callbacks_are_called_in_turn():
    calls, model, (X, y) = [], network(), samples()

    class Both:
        def on_batch(self, batch, batches):
            calls.append((batch, batches))

        def __call__(self, network, record):
            assert network is model
            calls.append(record)

    history = model.fit(X, y, epochs=2, batch_size=40, callbacks=(c for c in [Both(), lambda *_: calls.append("last")]))
    batches = [(1, 3), (2, 3), (3, 3)]
    assert calls == [*batches, history.epochs[0], "last", *batches, history.epochs[1], "last"]


@pytest.mark.parametrize(("where", "taken"), [("epoch", 3), ("batch", 2)])
def test_a_callback_ends_the_training(where, taken):
    class Stop:
        def on_batch(self, batch, batches):
            if where == "batch" and batch == 2:
                raise nerva.StopTraining

        def __call__(self, model, record):
            if where == "epoch":
                raise nerva.StopTraining

    model, twin, (X, y) = network(Recorder, dtype=float), network(dtype=float), samples(90)
    history = model.fit(X, y, epochs=5, batch_size=40, callbacks=[Stop()])
    assert len(model.seen) == taken
    assert len(history) == len(history.epochs) == 1
    losses, optimizer = [], nerva.Nesterov()
    for batch in model.seen:
        labels = y[np.rint(batch[:, 0] * 90).astype(int)]
        losses += [twin.train_step(batch, labels, optimizer, 0.01)] * len(batch)
    assert history["loss"] == pytest.approx([np.mean(losses)])


def test_a_history_is_read_by_column():
    history = network().fit(*samples(), epochs=2)
    assert history["epoch"] == [1, 2]
    columns = ["epoch", "learning_rate", "loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
    assert history.as_dicts() == [{name: history[name][i] for name in columns} for i in range(2)]
    assert [list(entry) for entry in history.as_dicts()] == [columns] * 2
    assert [record.loss for record in history.epochs] == history["loss"]
    with pytest.raises(KeyError, match="'accuracy'; the columns are epoch, learning_rate, loss, train_accuracy"):
        history["accuracy"]


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


KINDS = {
    "float32": lambda X: X.astype(np.float32),
    "columns side by side": lambda X: np.asfortranarray(X, np.float32),
    "every second": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards twice": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "lists": lambda X: X.tolist(),
}
LABELS = {
    "a list": list,
    "bytes": lambda y: y.astype(np.uint8),
    "swapped bytes": lambda y: y.astype(">i4"),
    "every second": lambda y: np.repeat(y, 2)[::2],
}


@pytest.mark.parametrize(
    ("of_X", "of_y"),
    [(kind, lambda y: y) for kind in KINDS.values()] + [(lambda X: X, kind) for kind in LABELS.values()],
    ids=[*KINDS, *LABELS],
)
def test_it_does_not_matter_how_data_lie_in_memory(of_X, of_y):
    X, y = samples()
    plain, other = network(), network()
    spoiled = of_X(X), of_y(y)
    for array in spoiled:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    before = pickle.dumps(spoiled)
    assert plain.fit(X, y, epochs=2)["loss"] == other.fit(*spoiled, epochs=2)["loss"]
    assert_same_weights(plain, other)
    assert pickle.dumps(spoiled) == before


def test_standardized_samples_and_bytes():
    pixels, y = np.random.default_rng(0).integers(256, size=(90, 12), dtype=np.uint8), samples()[1]
    for X, same in [
        (pixels, pixels.astype(np.float32)),
        (Standardized(pixels, 0.4, 0.2), (pixels / 255 - 0.4) / 0.2),
    ]:
        one, other = (network().fit(data, y, epochs=3, schedule=1e-3)["loss"] for data in (X, same))
        assert one == pytest.approx(other, rel=1e-4)
        assert one[0] != one[1]


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
    with pytest.warns(RuntimeWarning, match="loss is not finite: the learning rate"):
        history = network().fit(X, y, epochs=4, batch_size=10, schedule=lambda t: 1e30 if t >= epoch else 0.01)
    assert np.isfinite(history["loss"]).tolist() == [i < epoch for i in range(4)]


# ---- what is refused, before anything has changed

ENTRIES = {
    "fit": lambda model, X, y: model.fit(X, y, epochs=1),
    "train_step": lambda model, X, y: model.train_step(X, y, nerva.SGD(), 0.1),
    "validation": lambda model, X, y: model.fit(*samples(), epochs=1, validation=(X, y)),
    "evaluate": lambda model, X, y: model.evaluate(X, y),
    "predict": lambda model, X, y: model.predict(X),
    "predict_proba": lambda model, X, y: model.predict_proba(X),
}


def with_entry(X, value, row=71, column=3):
    X = X.copy()
    X[row, column] = value
    return X


WRONG_X = {
    "nan": (lambda X: with_entry(X, np.nan), r"X\[71, 3\] is nan"),
    "inf": (lambda X: with_entry(X, -np.inf).astype(np.float32), r"X\[71, 3\] is -inf"),
    "too few features": (lambda X: X[:, 1:], r"X has shape \(90, 11\).*12"),
    "transposed": (lambda X: X.T, r"X has shape \(12, 90\).*12"),
    "one sample": (itemgetter(0), r"X has shape \(12,\).*12"),
    "images": (lambda X: X.reshape(90, 3, 4), r"X has shape \(90, 3, 4\).*12"),
    "empty": (lambda X: X[:0], r"X .*no samples"),
    "integers": (lambda X: X.astype(np.int64), "X has dtype int64.*float32, float64 or uint8"),
    "half": (lambda X: X.astype(np.float16), "X has dtype float16"),
    "strings": (lambda X: X.astype(str), "X has dtype"),
    "none": (lambda X: None, "X has dtype object"),
    "ragged": (lambda X: [*X.tolist()[1:], [1.0]], "X "),
}
WRONG_Y = {
    "floats": (lambda y: y.astype(float), "y has dtype float64.*integers"),
    "strings": (lambda y: y.astype(str), "y has dtype"),
    "none": (lambda y: None, "y has dtype"),
    "too large": (lambda y: np.where(np.arange(90) == 71, 4, y), "y holds labels from 0 to 4; .*0 to 3"),
    "negative": (lambda y: y - 1, "y holds labels from -1"),
    "huge": (lambda y: y.astype(np.uint64) + 2**63, "y holds labels"),
    "too few": (lambda y: y[1:], r"y has shape \(89,\).* 90"),
    "two-hot": (lambda y: np.eye(4)[y] + np.eye(4)[y - 1], "y has rows that are no probabilities"),
    "rows too short": (lambda y: np.eye(3)[y % 3], r"y has shape \(90, 3\); it must be \(90, 4\)"),
    "a column": (lambda y: y[:, None], r"y has shape \(90, 1\); it must be \(90, 4\)"),
    "empty": (lambda y: y[:0], r"y has shape \(0,\).* 90"),
}


@pytest.mark.parametrize(
    ("entry", "spoil", "message"),
    [(entry, spoil, ("X", *case)) for entry in ENTRIES for spoil, case in WRONG_X.items()]
    + [(entry, spoil, ("y", *case)) for entry in list(ENTRIES)[:4] for spoil, case in WRONG_Y.items()],
)
def test_wrong_data_are_named(entry, spoil, message, monkeypatch):
    del spoil
    (which, change, message), model, (X, y) = message, network(), samples()
    monkeypatch.setattr("nerva.training.samples.CHUNK", 2000)  # a few pieces
    before = state(model)
    X, y = (change(X), y) if which == "X" else (X, change(y))
    with pytest.raises((TypeError, ValueError), match=("validation " if entry == "validation" else "^") + message):
        ENTRIES[entry](model, X, y)
    assert state(model) == before


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


@pytest.mark.parametrize(
    ("name", "value"),
    [("rate", -1), ("rate", np.nan), ("rate", "slow"), ("rate", None), ("optimizer", "sgd"), ("loss", "mse")],
)
def test_a_wrong_argument_of_train_step_is_named(name, value):
    model, (X, y) = network(), samples()
    before = state(model)
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        model.train_step(X, y, **{"optimizer": nerva.SGD(), "rate": 0.1, name: value})
    assert state(model) == before


@pytest.mark.parametrize("batch_size", WHOLE)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "evaluate"])
def test_a_wrong_batch_size_is_named(method, batch_size):
    X, y = samples()
    with pytest.raises((TypeError, ValueError), match="batch_size is"):
        getattr(network(), method)(*((X, y) if method == "evaluate" else (X,)), batch_size=batch_size)
