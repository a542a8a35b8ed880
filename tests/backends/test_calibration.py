"""Costs are measured once: by threads, processes, instruction sets, and again where a file is broken."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nerva._kernels import isa, mkl
from nerva.backends import calibration

from ..reference import made_up

FLOAT = np.dtype(np.float32)


@pytest.fixture
def measured(monkeypatch):
    """The dtypes that were measured."""
    calls = []
    monkeypatch.setattr(calibration, "measure", lambda dtype: calls.append(dtype) or made_up(dense=len(calls)))
    return calls


def forget(monkeypatch):
    """Do as a new process would."""
    monkeypatch.setattr(calibration, "_known", {})


def test_it_is_measured_once(folder, measured, monkeypatch):
    assert calibration.known("float32") is None
    first = calibration.costs("float32")
    assert calibration.costs("float32") is first
    forget(monkeypatch)
    assert calibration.known("float32") == calibration.costs("float32") == first
    assert measured == [FLOAT]
    calibration.costs(float)
    mkl.set_num_threads(mkl.get_num_threads() + 1)
    calibration.costs("float32")
    assert len(measured) == 3
    assert len(list(folder.iterdir())) == 3
    assert calibration.calibrate("float32") != first
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("name", isa.supported())
def test_instruction_sets_are_told_apart(folder, measured, name):
    before = isa.chosen()
    calibration.costs("float32")
    try:
        isa.choose(name)
        calibration.costs("float32")
    finally:
        isa.choose(before)
    assert len(measured) == len(list(folder.iterdir())) == (1 if name == before else 2)


def spoil(path, **changed):
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changed}))


def spoil_rate(path, rate):
    content = json.loads(path.read_text())
    content["rates"]["forward"]["mkl"][1][2] = rate
    path.write_text(json.dumps(content))


SPOILED = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "no text": lambda path: path.write_bytes(b"\xff\x00\x80"),
    "another text": lambda path: path.write_text("[1, 2]"),
    "a number": lambda path: path.write_text("3"),
    "deep": lambda path: path.write_text("[" * 200_000),
    "another version": lambda path: spoil(path, nerva="0.0.0"),
    "another MKL": lambda path: spoil(path, MKL="?"),
    "another processor": lambda path: spoil(path, processor="?"),
    "other threads": lambda path: spoil(path, threads=77),
    "other batches": lambda path: spoil(path, batches=[1, 2, 3, 4]),
    "no rates": lambda path: spoil(path, rates={}),
    "a rate of zero": lambda path: spoil_rate(path, 0.0),
    "a rate that is a word": lambda path: spoil_rate(path, "fast"),
    "a rate that is no number": lambda path: spoil_rate(path, float("nan")),
    "an infinite rate": lambda path: spoil_rate(path, float("inf")),
    "a negative rate": lambda path: spoil_rate(path, -1e-9),
    "a rate that is a list": lambda path: spoil_rate(path, [1.0]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("way", SPOILED)
def test_a_broken_file_is_measured_again(folder, measured, monkeypatch, way):
    calibration.costs("float32")
    (path,) = folder.iterdir()
    SPOILED[way](path)
    forget(monkeypatch)
    assert calibration.known("float32") is None
    again = calibration.costs("float32")
    assert len(measured) == 2
    forget(monkeypatch)
    if way != "a folder":
        assert calibration.costs("float32") == again
        assert len(measured) == 2
    assert list(folder.iterdir()) == [path]


def test_a_file_that_cannot_be_read(folder, measured, monkeypatch):
    calibration.costs("float32")

    def refuse(self):
        raise PermissionError(13, "not for you")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    forget(monkeypatch)
    calibration.costs("float32")
    assert len(measured) == 2


@pytest.mark.parametrize("place", ["file/cache", "file", "/proc/nerva", "/dev/full", "nul\0"])
def test_a_folder_that_cannot_be_had(tmp_path, measured, monkeypatch, place):
    (tmp_path / "file").write_text("in the way")
    forget(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(calibration, "cache_file", lambda dtype: tmp_path / place / "costs.json")
        assert calibration.costs("float32") is calibration.costs("float32")
        assert "kept nowhere" in calibration.describe("float32")
    assert len(measured) == 1
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_leaves_nothing_behind(folder, measured, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        calibration.costs("float32")
    assert list(folder.iterdir()) == []


def test_threads_measure_once(folder, measured):
    threads = [threading.Thread(target=calibration.costs, args=("float32",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(measured) == 1


def test_a_wrong_dtype_is_named():
    for call in (calibration.costs, calibration.known, calibration.calibrate, calibration.describe):
        with pytest.raises(ValueError, match="dtype"):
            call(np.int32)


def test_small_and_thin_networks_never_measure(tmp_path):
    """Nor does an import: nothing is read or written, not even the folder made."""
    program = """
import numpy as np, nerva
from nerva.backends import calibration
def refuse(*_): raise AssertionError("measured")
calibration.costs = refuse
rng = np.random.default_rng(0)
for sizes, density in (([30, 40, 3], 0.9), ([3072, 1024, 512, 10], 0.01)):
    model = nerva.MLP(sizes, density=density)
    X, y = rng.standard_normal((600, sizes[0]), dtype=np.float32), rng.integers(0, 3, 600)
    model.fit(X, y, epochs=1)
    model.predict(X)
"""
    cache = tmp_path / "cache"
    environment = {**os.environ, "NERVA_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, timeout=120, check=True)
    assert not cache.exists()
