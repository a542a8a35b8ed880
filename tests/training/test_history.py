"""The training history, and the callbacks that receive its records."""

import numpy as np
import pytest

import nerva

from ..training_reference import Recorder, network, samples


def test_a_history_is_read_by_column():
    history = network().fit(*samples(), epochs=2)
    assert history["epoch"] == [1, 2]
    columns = ["epoch", "learning_rate", "loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
    assert history.as_dicts() == [{name: history[name][i] for name in columns} for i in range(2)]
    assert [list(entry) for entry in history.as_dicts()] == [columns] * 2
    assert [record.loss for record in history.epochs] == history["loss"]
    with pytest.raises(KeyError, match="'accuracy'; the columns are epoch, learning_rate, loss, train_accuracy"):
        history["accuracy"]


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
