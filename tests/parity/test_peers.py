"""The peers of the benchmarks: all that are installed take the same training steps as nerva."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_peers_take_the_same_steps(monkeypatch, dtype):
    monkeypatch.syspath_prepend(str(BENCH))
    from harness.check import RATE, TOLERANCE, distances
    from harness.workloads import hot_step
    from peers import HOT_STEPS

    found = distances(HOT_STEPS, hot_step(0.9, 20, sizes=(96, 64, 48, 10), dtype=dtype, rate=RATE), 1)
    assert {"nerva, MKL backend", "PyTorch masked", "PyTorch CSR"} <= found.keys()
    assert max(found.values()) <= TOLERANCE[dtype], found
    for name in [name for name, module in sys.modules.items() if str(BENCH) in (getattr(module, "__file__", "") or "")]:
        del sys.modules[name]
