"""The training history, and the callbacks that receive its records."""

import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
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


# ---- other faces of a history


def test_pandas_takes_a_history():
    history = network().fit(*samples(), validation=samples(30), epochs=3, topology=nerva.SET())
    frame = pd.DataFrame(history)
    assert list(frame.columns) == list(history.as_dicts()[0])
    assert frame["loss"].tolist() == history["loss"]
    pd.testing.assert_frame_equal(history.to_frame(), frame)
    moves = history.to_frame(topology=True)
    assert moves["nnz"].tolist() == [record.nnz for record in history.topology] != []
    assert list(history) == history.epochs


def test_an_empty_history_has_columns_too():
    assert list(nerva.History().to_frame().columns)[:3] == ["epoch", "learning_rate", "loss"]
    assert list(nerva.History().to_frame(topology=True).columns)[:3] == ["step", "layer", "dropped"]
    assert "0 epochs" in nerva.History()._repr_html_()
    assert len(nerva.History().plot().axes) == 1


def test_a_history_is_plotted(tmp_path):
    history = network().fit(*samples(), validation=samples(30), epochs=3)
    figure = history.plot(path=tmp_path / "run.svg")
    lines = {(axes.get_title(), line.get_label()): line for axes in figure.axes for line in axes.lines}
    columns = {("loss", "train"): "loss", ("loss", "test"): "test_loss", ("accuracy", "train"): "train_accuracy",
               ("accuracy", "test"): "test_accuracy"}  # fmt: skip
    assert lines.keys() == columns.keys()
    for name, column in columns.items():
        assert list(lines[name].get_xdata()) == [1, 2, 3]
        assert list(lines[name].get_ydata()) == history[column]
    assert (tmp_path / "run.svg").read_text().startswith("<?xml")


def test_regression_has_no_accuracy_to_plot():
    X = np.eye(8, 12)
    history = network().fit(X, X[:, :4], loss=nerva.SquaredError(), epochs=2)
    assert [axes.get_title() for axes in history.plot().axes] == ["loss"]
    assert history._repr_html_().count("<svg") == 1


def test_a_notebook_shows_curves_and_the_last_epochs():
    history = network().fit(*samples(), epochs=12)
    html = history._repr_html_()
    root = ElementTree.fromstring(html)
    rows = [[cell.text for cell in row] for row in root.iter("tr")]
    assert rows[0][:3] == ["epoch", "learning_rate", "loss"]
    assert [row[0] for row in rows[1:]] == [str(epoch) for epoch in range(3, 13)]
    assert [row[2] for row in rows[1:]] == [f"{loss:.4g}" for loss in history["loss"][2:]]
    assert html.count("<svg") == 2


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_frame"), ("matplotlib.figure", "plot")])
def test_extras_are_named(monkeypatch, package, method):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'nerva-sparse\[(pandas|plot)\]'"):
        getattr(nerva.History(), method)()


def test_the_text_of_a_history_is_short():
    model, X = nerva.MLP([4, 8, 3], density=0.5), np.zeros((20, 4), np.float32)
    settings = {"topology": nerva.RigL(every=1)}
    history = model.fit(X, [0] * 20, epochs=30, batch_size=10, validation=(X, [0] * 20), **settings)
    text = repr(history)
    assert text.startswith(f"History(30 epochs, loss={history['loss'][-1]:.4g}, train_accuracy=1, test_loss=")
    assert text.endswith(f", {len(history.topology)} records of the topology)")
    assert len(text) < 200
    assert repr(type(history)()) == "History(0 epochs)"
