"""The table of a sweep: what is in a row, and the files it is written to."""

import builtins
import csv
import json

import pandas
import pytest

from nerva.experiments import load_table
from nerva.experiments.sweeps import place
from nerva.experiments.tables import rows, write_tables


def write(folder, settings, epochs=(), result=None):
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"settings": settings}))
    lines = [{"run": {"nnz": 30, "dense_weights": 300}}, *epochs] if epochs else []
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))


def epoch(number, loss, accuracy, test_loss=None):
    return {
        "epoch": number,
        "learning_rate": 0.1,
        "loss": loss,
        "train_accuracy": accuracy,
        "test_loss": test_loss,
        "test_accuracy": accuracy,
        "seconds": float(number),
        "nnz": 30 - number,
    }


@pytest.fixture
def out(tmp_path):
    """Three runs: done, begun, failed before its first epoch."""
    common = {"epochs": 3, "hidden": [5, 6], "seed": 1}
    epochs = [epoch(1, 3.0, 0.5, 2.0), epoch(2, 2.0, 0.8, 1.5), epoch(3, 1.0, 0.8, 1.0)]
    done = {"status": "done", "exit_code": 0, "seconds": 9.0, "attempts": 2, "threads": 1, "error": None}
    write(tmp_path / "a", {**common, "topology": None}, epochs, done)
    write(tmp_path / "b", {**common, "topology": "rigl", "hidden": []}, epochs[:1])
    failed = {"status": "failed", "exit_code": 1, "error": "nerva: no memory", "seconds": 1.0}
    write(tmp_path / "c", {**common, "topology": "rigl", "augment": True}, (), failed)
    (tmp_path / "other").mkdir()
    return tmp_path


def test_a_row_has_what_varies_and_the_figures(out):
    first, second, third = rows(out)
    assert list(first)[:6] == ["run", "status", "hidden", "topology", "augment", "seed"]
    assert (first["hidden"], first["topology"], first["seed"], first["nnz"]) == ("5,6", None, 1, 27)
    assert (first["epochs"], first["loss"], first["test_loss"], first["test_accuracy"]) == (3, 1.0, 1.0, 0.8)
    assert (first["best_epoch"], first["best_test_accuracy"], first["best_test_loss"]) == (2, 0.8, 1.5)
    assert (first["seconds_per_epoch"], first["seconds"], first["attempts"]) == (2.0, 9.0, 2)
    assert (second["status"], second["epochs"], second["hidden"]) == ("unfinished", 1, "none")
    assert (third["status"], third["epochs"], third["error"]) == ("failed", 0, "nerva: no memory")
    assert third["loss"] is third["best_epoch"] is third["seconds_per_epoch"] is None


def test_the_best_epoch_of_regression_has_the_least_loss(tmp_path):
    epochs = [{**epoch(n, loss, None, loss)} for n, loss in ((1, 3.0), (2, 1.0), (3, 2.0))]
    epochs.append({**epoch(4, None, None)})  # JSON has no NaN
    write(tmp_path / "a", {}, epochs)
    assert (rows(tmp_path)[0]["best_epoch"], rows(tmp_path)[0]["best_test_loss"]) == (2, 1.0)


def test_both_files_have_the_same_rows(out):
    assert [path.name for path in write_tables(out, rows(out))] == ["table.csv", "table.parquet"]
    frame = pandas.read_parquet(out / "table.parquet")
    assert frame["run"].tolist() == ["a", "b", "c"]
    assert frame["seed"].tolist() == [1, 1, 1]
    assert frame["test_loss"].isna().tolist() == [False, False, True]
    with open(out / "table.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(frame.columns) == list(rows(out)[0])
    assert read[2]["error"] == "nerva: no memory"
    pandas.testing.assert_frame_equal(load_table(out), pandas.DataFrame(rows(out)))


def test_settings_of_several_kinds_and_no_runs(tmp_path):
    write(tmp_path / "a", {"size": 1, "wide": [1]})
    write(tmp_path / "b", {"size": "large", "wide": None})
    write_tables(tmp_path, rows(tmp_path))
    assert pandas.read_parquet(tmp_path / "table.parquet")["size"].tolist() == ["1", "large"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder without runs"):
        load_table(tmp_path / "empty")
    with pytest.raises(TypeError, match="path is 3"):
        load_table(3)


def test_without_pandas_there_is_csv(out, monkeypatch):
    true = builtins.__import__

    def refuse(name, *arguments, **settings):
        if name == "pandas":
            raise ImportError(name)
        return true(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert [path.name for path in write_tables(out, rows(out))] == ["table.csv"]
    with pytest.raises(ImportError, match=r"pip install 'nerva-sparse\[sweep\]'"):
        load_table(out)


def test_folders_of_others_with_a_file_of_that_name_are_no_runs(out):
    others = {".editor": '{"font": 12, // not JSON}', "program": '{"font": 12}', "list": '{"settings": []}'}
    for name, text in others.items():
        (out / name).mkdir()
        (out / name / "settings.json").write_text(text)
    assert [row["run"] for row in rows(out)] == ["a", "b", "c"]
    assert place(out, ["new"], [{"epochs": 3, "hidden": [], "seed": 1, "topology": "rigl"}]) == [out / "b"]
