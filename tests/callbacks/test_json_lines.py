"""Metrics: one JSON object per line, each whole or not at all."""

import json
from dataclasses import asdict

import numpy as np
import pytest

import nerva
from nerva.callbacks import Metrics


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_records_of_a_training_are_written_epoch_by_epoch(tmp_path):
    path, model = tmp_path / "run.jsonl", nerva.MLP([4, 3])
    lines = []
    with Metrics(path) as metrics:
        metrics.write({"run": 1})
        history = model.fit(
            np.eye(20, 4), [0] * 20, epochs=3, callbacks=[metrics, lambda *_: lines.append(len(read(path)))]
        )
    assert lines == [2, 3, 4]
    assert read(path) == [{"run": 1}, *({**asdict(record), "nnz": 12} for record in history.epochs)]


def test_what_json_lacks_becomes_null(tmp_path):
    with Metrics(tmp_path / "run.jsonl") as metrics:
        metrics.write({"a": [1.5, float("nan")], "b": {"c": float("-inf")}, "d": (1, "x", None, True)})
    assert read(tmp_path / "run.jsonl") == [{"a": [1.5, None], "b": {"c": None}, "d": [1, "x", None, True]}]


def test_a_file_that_is_not_empty_is_left_alone(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("")
    Metrics(path).close()
    path.write_text("mine\n")
    with pytest.raises(FileExistsError, match=r"run\.jsonl exists already, and it would be lost"):
        Metrics(path)
    assert path.read_text() == "mine\n"
    with Metrics(path, overwrite=True) as metrics:
        metrics.write({"a": 1})
    assert read(path) == [{"a": 1}]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*missing/run\.jsonl: No such file"):
        Metrics(tmp_path / "missing" / "run.jsonl")


def test_a_line_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "run.jsonl"
    with Metrics(path) as metrics:
        metrics.write({"a": 1})
        file = metrics._file

        class Full:
            """A file on a disk that is full after some bytes."""

            def write(self, data):
                if len(data) < 10:
                    raise OSError(28, "No space left on device")
                return file.write(data[:6])

            def __getattr__(self, name):
                return getattr(file, name)

        metrics._file = Full()
        with pytest.raises(OSError, match=r"cannot write .*: No space left on device"):
            metrics.write({"epoch": 1234567})
        metrics._file = file
        metrics.write({"b": 2})
    assert read(path) == [{"a": 1}, {"b": 2}]
