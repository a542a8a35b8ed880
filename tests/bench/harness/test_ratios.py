"""The comparison of two runs by their ratios."""

import json
import sys

import pytest


def test_ratios_of_two_runs_are_compared_by_name():
    from harness.ratios import changes

    found = changes({"a": 2.0, "b": 4.0, "c": 1.0}, {"a": 3.0, "b": 2.0})
    assert list(found.items()) == [("b", -0.5), ("a", 0.5)]


@pytest.mark.parametrize(("fall", "code"), [("0.1", 1), ("0.5", 0)])
def test_the_exit_code_tells_a_fall(fall, code, tmp_path, monkeypatch, capsys):
    from harness.ratios import main

    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, ratio in zip(paths, (4.0, 3.0), strict=True):
        rows = [{"name": "0.99", "threads": 2, "cores": "near", "ratios": {"MKL": ratio}}]
        path.write_text(json.dumps({"tables": [{"label": "sparsity", "rows": rows}]}))
    monkeypatch.setattr(sys, "argv", ["ratios.py", *map(str, paths), "--fall", fall])
    assert main() == code
    assert "-25%" in capsys.readouterr().out
