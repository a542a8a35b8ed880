"""What is measured and kept: files that come back, files that are broken, folders that cannot be written."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from math import isfinite
from pathlib import Path

import numpy as np
import pytest

import nerva
from nerva._kernels import isa, mkl
from nerva.backends import calibration
from nerva.backends.cost_model import BATCHES, CANDIDATES, DENSITIES

from .reference import made_up

FLOAT = np.dtype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty place for the cache; nothing is known, and measuring, which is counted, gives made-up costs."""
    monkeypatch.setenv("NERVA_CACHE", str(tmp_path / "a" / "cache"))
    monkeypatch.setattr(calibration, "_known", {})
    return tmp_path / "a" / "cache"


@pytest.fixture
def measured(monkeypatch):
    """The dtypes that were measured."""
    calls = []
    monkeypatch.setattr(calibration, "measure", lambda dtype: calls.append(dtype) or made_up(dense=len(calls)))
    return calls


def forget(monkeypatch):
    """Do as a new process would."""
    monkeypatch.setattr(calibration, "_known", {})


def test_what_is_measured_is_whole(folder):
    costs = calibration.costs("float32")
    assert {direction: tuple(backends) for direction, backends in costs.rates.items()} == CANDIDATES
    for backends in costs.rates.values():
        for table in backends.values():
            assert [len(row) for row in table] == [len(BATCHES)] * len(DENSITIES)
            assert all(isfinite(rate) and 0 < rate < 1e-3 for row in table for rate in row)
    assert 0 < costs.step < 1e-3
    (file,) = folder.iterdir()
    assert calibration.load(file, calibration.identity(FLOAT)) == costs
    assert "forward         native" in calibration.describe("float32")
    content = json.loads(file.read_text())
    assert content["threads"] == mkl.get_num_threads()
    assert content["processor"] == nerva.config()["processor"]


def test_a_disturbed_measurement_is_bounded_by_larger_products():
    """Weights down, batch across: what took longer than a larger product was disturbed, and counts as that one."""
    times = np.array([[1.0, 9.0, 5.0], [2.0, 3.0, 7.0], [8.0, 4.0, 6.0]])
    wanted = [[1.0, 3.0, 5.0], [2.0, 3.0, 6.0], [4.0, 4.0, 6.0]]
    np.testing.assert_array_equal(calibration._ascending(times), wanted)


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
    "no step": lambda path: spoil(path, step=None),
    "a step of zero": lambda path: spoil(path, step=0.0),
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


def test_where_it_is_kept(tmp_path, monkeypatch):
    def place():
        return calibration.cache_file("float32").parent

    monkeypatch.setenv("NERVA_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert place() == tmp_path / "mine"
    monkeypatch.setenv("NERVA_CACHE", "")
    assert place() == tmp_path / "xdg" / "nerva"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert place() == tmp_path / "home" / ".cache" / "nerva"

    def no_home():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", no_home)
    assert calibration.cache_file("float32") is None
    assert calibration.load(None, {"nerva": 1}) is None
    calibration.save(None, {}, made_up())


def test_many_may_write_at_once(folder):
    """Whoever reads meanwhile finds the whole of one of them, or nothing."""
    path, about = folder / "costs.json", {"nerva": "1"}
    written, wrong = [made_up(step=n) for n in range(1, 5)], []
    done = threading.Event()

    def write(costs):
        for _ in range(100):
            calibration.save(path, about, costs)

    def read():
        while not done.is_set():
            if path.exists() and calibration.load(path, about) not in written:
                wrong.append(path.read_text())

    writers = [threading.Thread(target=write, args=(costs,)) for costs in written]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not wrong
    assert list(folder.iterdir()) == [path]


def test_threads_measure_once(folder, measured):
    threads = [threading.Thread(target=calibration.costs, args=("float32",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(measured) == 1


def test_costs_come_back_to_the_last_bit(folder):
    path, costs = folder / "costs.json", made_up(dense=1 / 3, mkl=0.1, step=1 / 7)
    calibration.save(path, {}, costs)
    assert asdict(calibration.load(path, {})) == asdict(costs)


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
