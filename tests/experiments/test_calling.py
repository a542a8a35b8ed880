"""`nerva.experiments.sweep`, which is `nerva sweep` as a function."""

import numpy as np
import pytest

from nerva.experiments import load_table, sweep
from nerva.experiments.calling import _toml


def test_it_returns_the_table_and_prints_its_lines(blobs, tmp_path, capsys):
    options = {"data": blobs, "hidden": [[16, 8], []], "seed": np.arange(1, 3), "epochs": 1, "prediction": False}
    frame = sweep(tmp_path / "runs", grids=[{"topology": None}, {"topology": "rigl", "hidden": [16, 8]}], **options)
    assert len(frame) == 6
    assert frame["status"].unique().tolist() == ["done"]
    assert sorted(frame["hidden"].unique()) == ["16,8", "none"]
    assert frame["topology"].notna().sum() == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("6 of 6 runs done")
    assert load_table(tmp_path / "runs").equals(frame)


def test_runs_that_fail_are_warned_of(blobs, tmp_path, capsys):
    options = {
        "data": blobs,
        "hidden": [16, 8],
        "density": 0.3,
        "learning_rate": [1e30, 0.1],
        "epochs": 1,
        "verbose": False,
    }
    with pytest.warns(RuntimeWarning, match="1 of 2 runs failed"):
        frame = sweep(tmp_path, prediction=False, verbose=False, **options)
    assert sorted(frame["status"]) == ["done", "failed"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"densty": 0.1}, ValueError, "^densty is no option of nerva train"),
        ({"density": [0.1, 2]}, ValueError, "^--density: '2' is not a number above 0"),
        ({"density": 0.1, "densities": [0.1, 0.2, 0.3]}, ValueError, "^--densit.*not allowed"),
        ({"density": object()}, TypeError, "an option is <object"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(tmp_path, options, error, complaint):
    with pytest.raises(error, match=complaint):
        sweep(tmp_path / "runs", **options)
    assert not (tmp_path / "runs").exists()


def test_options_are_written_as_toml(tmp_path):
    import tomllib

    options = {"a": 'quoted " \\ ü 𝛼\n', "b": [True, None, 1e-5], "c": [[1, 2], ()], "d": tmp_path, "e": {"f": 1}}
    found = tomllib.loads(_toml(options))
    assert found == {**options, "b": [True, "none", 1e-5], "c": [[1, 2], []], "d": str(tmp_path)}
