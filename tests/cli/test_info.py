"""The command `nerva info`."""

import nerva
from nerva.backends import calibration

from ..reference import made_up


def test_info_prints_the_configuration_and_the_speed_of_the_backends(command, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("NERVA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "_known", {})
    monkeypatch.setattr(calibration, "measure", lambda dtype: made_up(dense=0.5))
    nerva.show_config()
    expected = capsys.readouterr().out.splitlines()
    code, out, errors = command("info")
    assert (code, out[: len(expected)], errors) == (0, expected, [])
    assert [line.split()[1] for line in out if line.startswith("backends,") and "not measured" in line] == [
        "float32,",
        "float64,",
    ]
    assert not (tmp_path / "cache").exists()
    code, measured, errors = command("info", "--calibrate")
    assert (code, measured[: len(expected)], errors) == (0, expected, [])
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert sum(line.split()[-5:-4] == ["dense"] for line in measured) == 6
    monkeypatch.setattr(calibration, "_known", {})
    assert command("info") == (0, measured, [])
