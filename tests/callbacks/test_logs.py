"""Callbacks that write or keep figures: CSV, TensorBoard, monitors."""

import csv
import sys
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import nerva
from nerva.callbacks import CSVLogger, LearningRateMonitor, Metrics, TensorBoard, TopologyMonitor

from ..training_reference import network, samples


def train(*callbacks, model=None, **settings):
    model = network() if model is None else model
    made = {"validation": samples(30, seed=9), "rng": 3, "batch_size": 40, "epochs": 3, **settings}
    return model.fit(*samples(), callbacks=callbacks, **made)


class Kill:
    """Fail after some steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_batch_end(self, run, result):
        if run.global_step == self.steps:
            raise OSError("killed")


# ---- CSV


def test_a_csv_file_has_a_line_for_each_epoch_as_soon_as_it_is_over(tmp_path):
    path, lines = tmp_path / "run.csv", []
    history = train(CSVLogger(path), lambda *_: lines.append(len(path.read_text().splitlines())))
    assert lines == [2, 3, 4]
    pd.testing.assert_frame_equal(pd.read_csv(path), pd.DataFrame(history.as_dicts()))
    assert b"\r" not in path.read_bytes()


def test_what_an_epoch_lacks_is_empty(tmp_path):
    X = np.eye(8, 12)
    network().fit(X, X[:, :4], loss=nerva.SquaredError(), epochs=1, callbacks=[CSVLogger(tmp_path / "a.csv")])
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert (row["train_accuracy"], row["test_loss"], row["test_accuracy"]) == ("", "", "")


def test_a_csv_file_that_is_not_empty_is_left_alone(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("mine\n")
    with pytest.raises(FileExistsError, match=r"run\.csv exists already, and it would be lost; overwrite=True"):
        train(CSVLogger(path))
    assert path.read_text() == "mine\n"
    history = train(CSVLogger(path, overwrite=True))
    assert len(path.read_text().splitlines()) == len(history) + 1


def test_a_run_that_goes_on_goes_on_with_its_csv_file(tmp_path):
    path, run = tmp_path / "run.csv", tmp_path / "run"
    # Killed in the third epoch, with a state of the first batch of the second.
    with pytest.raises(OSError, match="killed"):
        train(CSVLogger(path), Kill(8), checkpoint=run, checkpoint_every=4)
    path.write_text(path.read_text() + "3,0.1")  # and a line of which the rest is lost
    history = train(CSVLogger(path), checkpoint=run, checkpoint_every=4, resume=True)
    assert pd.read_csv(path)["loss"].tolist() == history["loss"]
    assert pd.read_csv(path)["epoch"].tolist() == [1, 2, 3]
    more = train(CSVLogger(path), initial_epoch=3, epochs=2)
    assert pd.read_csv(path)["loss"].tolist() == history["loss"] + more["loss"]


def test_a_run_does_not_go_on_with_another_file(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"run\.csv: holds something else than the figures of a run"):
        train(CSVLogger(path), initial_epoch=3)
    assert path.read_text() == "a,b\n1,2\n"


def test_a_csv_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match=r"missing/run\.csv: cannot be written"):
        train(CSVLogger(tmp_path / "missing" / "run.csv"))


# ---- TensorBoard


def scalars(folder):
    """The scalars of the event files in a folder: {tag: [(step, value), ...]}."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(s.step, s.value) for s in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_epochs_batches_and_updates(tmp_path):
    rates = LearningRateMonitor(every=2)
    history = train(TensorBoard(tmp_path, every=2), rates, topology=nerva.RigL(every=4))
    found = scalars(tmp_path)
    epochs = {"loss/train": "loss", "loss/test": "test_loss", "accuracy/train": "train_accuracy",
              "accuracy/test": "test_accuracy", "learning_rate": "learning_rate", "seconds": "seconds"}  # fmt: skip
    for tag, name in epochs.items():
        steps, values = zip(*found.pop(tag), strict=True)
        assert steps == (1, 2, 3)
        assert list(values) == pytest.approx(history[name], rel=1e-6)
    assert [step for step, _ in found["loss/batch"]] == [2, 4, 6, 8]
    assert [loss for _, loss in found.pop("loss/batch")] == pytest.approx([e["loss"] for e in rates.entries], rel=1e-6)
    updates = {tag: values for tag, values in found.items() if tag.startswith("topology/layer ")}
    assert updates == found
    for layer in (0, 1):
        records = [record for record in history.topology if record.layer == layer]
        assert found[f"topology/layer {layer}/nnz"] == [(record.step, record.nnz) for record in records]
        assert [value for _, value in found[f"topology/layer {layer}/churn"]] == pytest.approx(
            [record.churn for record in records], rel=1e-6
        )


def test_what_was_done_before_a_failure_is_in_the_event_file(tmp_path):
    with pytest.raises(OSError, match="killed"):
        train(TensorBoard(tmp_path), Kill(7))
    assert [step for step, _ in scalars(tmp_path)["loss/train"]] == [1, 2]


def test_tensorboard_is_an_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'nerva-sparse\[tensorboard\]'"):
        TensorBoard(tmp_path)


# ---- monitors


def test_monitors_keep_rates_and_updates_and_pass_them_on(tmp_path):
    seen = []
    with Metrics(tmp_path / "moves.jsonl") as metrics:
        rates, moves = LearningRateMonitor(seen.append), TopologyMonitor(metrics.write)
        history = train(rates, moves, topology=nerva.RigL(every=4), schedule=lambda epoch: 0.1 / (1 + epoch))
    assert [entry["step"] for entry in rates.entries] == list(range(1, 10))
    rate = [0.1 / (1 + step / 3) for step in range(9)]
    assert [entry["learning_rate"] for entry in rates.entries] == pytest.approx(rate)
    assert seen == rates.entries
    assert moves.entries == [asdict(record) for record in history.topology] != []
    assert pd.read_json(tmp_path / "moves.jsonl", lines=True)["nnz"].tolist() == [r.nnz for r in history.topology]


def test_monitors_go_on_with_a_resumed_run_and_begin_anew_with_another(tmp_path):
    def both():
        return LearningRateMonitor(), TopologyMonitor()

    settings = {"checkpoint": tmp_path, "checkpoint_every": 5}
    whole, killed, resumed = both(), both(), both()
    train(*whole, topology=nerva.RigL(every=4))
    with pytest.raises(OSError, match="killed"):
        train(*killed, Kill(7), topology=nerva.RigL(every=4), **settings)
    train(*resumed, topology=nerva.RigL(every=4), **settings, resume=True)
    assert [one.entries for one in resumed] == [one.entries for one in whole]
    train(*resumed, topology=nerva.RigL(every=4))
    assert [one.entries for one in resumed] == [one.entries for one in whole]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearningRateMonitor(3), "write is 3; it must be callable"),
        (lambda: LearningRateMonitor(every=0), "every is 0"),
        (lambda: TensorBoard("runs", every=0), "every is 0"),
        (lambda: CSVLogger(3), "path is 3"),
        (lambda: CSVLogger("a.csv", overwrite=1), "overwrite is 1"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
