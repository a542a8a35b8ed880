"""The benchmarks' modules, importable as they are for their scripts, and measurements made up for the tests."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(autouse=True)
def bench(monkeypatch):
    """The folder of the benchmarks; its modules can be imported, and are forgotten after the test."""
    if not BENCH.exists():
        pytest.skip("the benchmarks are not here")
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield BENCH
    for name in set(sys.modules) - before:
        if str(BENCH) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def machine():
    """The peaks of a made-up machine."""
    from harness.probe import Probe

    read = {"L1": 200.0, "L2": 100.0, "L3": 80.0, "memory": 20.0}
    return Probe("x86-64-v4", {"float32": 110.0, "float64": 55.0}, read, {"L1": 32768})


@pytest.fixture
def measured():
    """A function that returns the measurement of the first peers of the hot step, given their seconds."""
    from harness.pairs import Group, Measurement, Result
    from peers import HOT_STEPS

    def measure(seconds, left_out=None, threads=2, apart="near", rounds=5, disturbed=0):
        results = [Result(peer, s, s / seconds[0], s, s) for peer, s in zip(HOT_STEPS, seconds, strict=False)]
        return Measurement(threads, [Group(apart, rounds, disturbed, results)], left_out or {})

    return measure
