"""Early stopping: when it ends a run, and which weights and pattern it leaves."""

import numpy as np
import pytest

import nerva
from nerva.callbacks import EarlyStopping
from nerva.training.history import EpochRecord

from ..training_reference import assert_same_weights, network, samples

VALIDATION = samples(60, seed=9)
HIGH = {"schedule": 0.2, "batch_size": 20}  # labels are random: what is learnt does not hold for others


class Copies:
    """What a network was after each epoch: its evaluation, and its sparse weights."""

    def __init__(self):
        self.losses, self.accuracies, self.patterns = [], [], []

    def __call__(self, model, record):
        self.losses.append(record.test_loss)
        self.accuracies.append(record.test_accuracy)
        self.patterns.append([(layer.weight.indices.copy(), layer.weight.values.copy()) for layer in model.layers])


def train(stop, *others, model=None, epochs=40, **settings):
    model = network() if model is None else model
    made = {"validation": VALIDATION, "rng": 3, **HIGH, **settings}
    return model, model.fit(*samples(), epochs=epochs, callbacks=[*others, stop], **made)


def watched(figures, **settings):
    """The epoch after which figures of a test loss end the training, None for never; and the callback."""
    stop = EarlyStopping(restore_best_weights=False, **settings)
    for epoch, figure in enumerate(figures, 1):
        try:
            stop.on_epoch_end(type("Run", (), {"global_step": epoch}), EpochRecord(epoch, 0.1, figure, figure, figure,
                                                                                   figure, 0.0))  # fmt: skip
        except nerva.StopTraining:
            return epoch, stop
    return None, stop


@pytest.mark.parametrize(
    ("figures", "settings", "stopped", "best"),
    [
        ([3, 2, 1], {"patience": 1}, None, 3),
        ([3, 3, 1], {"patience": 1}, 2, 1),
        ([3, 4, 2, 3, 3, 3], {"patience": 2}, 5, 3),
        ([3, 2.95, 2.91, 2.5], {"patience": 2, "min_delta": 0.1}, 3, 1),
        ([3, 2.95, 2.85, 2.9, 2.9], {"patience": 2, "min_delta": 0.1}, 5, 3),
        ([0.5, 0.7, 0.6, 0.6], {"patience": 2, "monitor": "test_accuracy"}, 4, 2),
        ([0.5, 0.7, 0.6, 0.6], {"patience": 2, "monitor": "train_accuracy", "mode": "min"}, 3, 1),
        ([3, 2, 4], {"patience": 2, "mode": "max"}, None, 3),
        ([3, 2, 4], {"patience": 1, "monitor": "loss"}, 3, 2),
        ([np.nan, np.nan, 1], {"patience": 2}, 2, None),
        ([np.nan, 2, np.inf, np.nan], {"patience": 2}, 4, 2),
    ],
)
def test_a_run_ends_after_some_epochs_without_a_better_one(figures, settings, stopped, best):
    epoch, stop = watched(figures, **settings)
    assert (epoch, stop.stopped_epoch, stop.best_epoch) == (stopped, stopped, best)
    assert stop.best == (None if best is None else figures[best - 1])


@pytest.mark.parametrize(
    "settings",
    [{}, {"topology": lambda: nerva.SET()}, {"topology": lambda: nerva.RigL(every=3)}, {"model": {"batch_norm": True}},
     {"topology": lambda: nerva.TopKAST(every=3)}, {"optimizer": nerva.Adam, "schedule": 0.02},
     {"model": {"dtype": float, "dropout": 0.2}}],
)  # fmt: skip
def test_the_best_weights_and_their_pattern_are_restored(settings):
    made = {name: value() if callable(value) else value for name, value in settings.items() if name != "model"}
    model = network(**settings.get("model", {}))
    stop, copies = EarlyStopping(patience=4), Copies() if "model" not in settings else print_nothing
    model, history = train(stop, copies, model=model, **made)
    losses = history["test_loss"]
    assert stop.stopped_epoch == len(history) == stop.best_epoch + 4
    assert stop.best == min(losses) == losses[stop.best_epoch - 1] < losses[-1]
    assert model.evaluate(*VALIDATION).loss == pytest.approx(stop.best, rel=1e-5)
    if "model" not in settings:
        for layer, (indices, values) in zip(model.layers, copies.patterns[stop.best_epoch - 1], strict=True):
            kept = values != 0 if isinstance(made.get("topology"), nerva.TopKAST) else slice(None)
            assert layer.weight.indices.tolist() == indices[kept].tolist()
            assert layer.weight.values.tolist() == values[kept].tolist()
    assert len(model.fit(*samples(), epochs=1, **{**HIGH, "optimizer": made.get("optimizer")})) == 1


def print_nothing(model, record):
    pass


def test_without_restoring_the_last_weights_stay():
    model, twin = network(), network()
    stop = EarlyStopping(patience=4, restore_best_weights=False)
    _, history = train(stop, model=model)
    train(print_nothing, model=twin, epochs=len(history))
    assert_same_weights(model, twin)


def test_a_run_whose_last_epoch_was_the_best_keeps_the_state_of_its_optimizer():
    model, twin = network(), network()
    stop = EarlyStopping("loss")
    train(stop, model=model, epochs=3)
    train(print_nothing, model=twin, epochs=3)
    assert stop.best_epoch == 3
    assert_same_weights(model, twin)
    assert [p.state.keys() for p in model.parameters()] == [p.state.keys() for p in twin.parameters()] != [{}] * 4


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_run_has_its_best_weights_too(error):
    class Fail:
        def on_batch_end(self, run, result):
            if run.global_step == 3 * 5 + 2:
                raise error

    stop, copies, model = EarlyStopping("loss", patience=20), Copies(), network()
    with pytest.raises(error):
        train(stop, copies, Fail(), model=model)
    assert stop.best_epoch == 3
    assert model.layers[0].weight.values.tolist() == copies.patterns[2][0][1].tolist()


def test_every_fit_begins_anew():
    stop = EarlyStopping(patience=4)
    first = len(train(stop)[1])
    assert first == len(train(stop)[1])


def test_a_resumed_run_goes_on_with_what_was_remembered(tmp_path):
    class Kill:
        def on_batch(self, batch, batches):
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 5 * (best + 1) + 2:
                raise OSError("killed")

    stop = EarlyStopping(patience=4)
    whole, history = train(stop, topology=nerva.RigL(every=3))
    best = stop.best_epoch
    with pytest.raises(OSError, match="killed"):
        train(EarlyStopping(patience=4), Kill(), topology=nerva.RigL(every=3), checkpoint=tmp_path)
    found, again = network(seed=4), EarlyStopping(patience=4)
    _, rest = train(again, model=found, topology=nerva.RigL(every=3), checkpoint=tmp_path, resume=True)
    assert rest["loss"] == history["loss"]
    assert (again.best, again.best_epoch, again.stopped_epoch) == (stop.best, stop.best_epoch, stop.stopped_epoch)
    assert_same_weights(found, whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"monitor": "val_loss"}, "monitor is 'val_loss'; it must be"),
        ({"mode": "best"}, "mode is 'best'"),
        ({"patience": 0}, "patience is 0"),
        ({"min_delta": -1}, "min_delta is -1"),
        ({"restore_best_weights": 1}, "restore_best_weights is 1"),
    ],
)
def test_a_wrong_argument_is_named(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        EarlyStopping(**settings)


def test_there_must_be_something_to_monitor():
    with pytest.raises(ValueError, match="EarlyStopping monitors test_loss, but fit has no validation data"):
        train(EarlyStopping(), validation=None)
    X = np.eye(8, 12)
    with pytest.raises(ValueError, match="monitors train_accuracy, which there is none of with this loss"):
        network().fit(X, X[:, :4], loss=nerva.SquaredError(), callbacks=[EarlyStopping("train_accuracy")])
