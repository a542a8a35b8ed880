"""The pure logic of the benchmarks: what is made of times, who is left out, and when the gate fails."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[1] / "bench"

pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="the benchmarks are not here")


@pytest.fixture(autouse=True)
def _bench_importable(monkeypatch):
    """Let tests import the benchmarks' modules, and leave none of them to others."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in set(sys.modules) - before:
        if str(BENCH) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def machine():
    """A made-up machine."""
    from probe import Probe

    read = {"L1": 200.0, "L2": 100.0, "L3": 80.0, "memory": 20.0}
    return Probe("x86-64-v4", {"float32": 110.0, "float64": 55.0}, read, {"L1": 32768})


def measured(seconds, left_out=None):
    """A measurement of nerva's step, and of others' that took so many times longer."""
    from pairs import Measurement, Result
    from peers import STEPS

    results = [Result(peer, s, s / seconds[0], s, s) for peer, s in zip(STEPS, seconds, strict=False)]
    return Measurement(results, 0.0, 2, left_out or {})


def test_a_step_counts_the_operations_of_its_weights():
    from workloads import training_step

    work = training_step(0.9, 16, sizes=(40, 30, 20, 10), dtype="float64")
    counts = [W.size if isinstance(W, np.ndarray) else W.nnz for W in work.weights]
    assert work.X.shape == (16, 40)
    assert {W.dtype for W in work.weights} == {work.dtype} == {np.dtype("float64")}
    assert work.flops == 2 * 16 * (2 * counts[0] + 3 * counts[1] + 3 * counts[2])
    assert work.sparse
    assert not training_step(0.0, 16, sizes=(40, 30, 20, 10)).sparse


def test_the_ceiling_is_one_row_from_l2_for_each_weight(machine):
    assert machine.sparse_ceiling("float32", 1) == 50.0
    assert machine.ceiling(True, "float64", 2) == 50.0
    assert machine.ceiling(False, "float32", 2) == 220.0
    assert type(machine).from_dict(machine.as_dict()) == machine


def test_a_record_says_all_of_a_row(machine):
    from records import record
    from workloads import training_step

    work = training_step(0.9, 16, sizes=(40, 30, 20, 10))
    row = record("0.9", work, measured([1e-6, 3e-6], {"somebody": "float32 only"}), machine)
    assert row["ratios"] == {"nerva, MKL backend": pytest.approx(3.0)}
    assert row["gflops"]["nerva"] == pytest.approx(work.flops / 1e3)
    assert row["of_ceiling"]["nerva"] == pytest.approx(row["gflops"]["nerva"] / 100)
    assert row["left_out"] == {"somebody": "float32 only"}


def test_a_table_has_a_column_for_each_peer_of_any_row(machine):
    from records import record
    from tables import comparison
    from workloads import training_step

    work = training_step(0.9, 16, sizes=(40, 30, 20, 10))
    measurements = {"few": measured([1e-3], {"somebody": "float32 only"}), "more": measured([1e-3, 2e-3])}
    rows = [record(name, work, measurement, machine) for name, measurement in measurements.items()]
    header, _, few, more, *notes = comparison({"label": "row", "unit": "ms", "rows": rows}).splitlines()
    assert "nerva, MKL backend, times" in header
    assert [cell.strip() for cell in few.split("|")][-2] == "-"
    assert [cell.strip() for cell in more.split("|")][-2] == "2"
    assert "few: somebody left out, float32 only." in notes


def test_peers_refuse_what_they_cannot_do():
    from peers import STEPS, able
    from workloads import training_step

    sizes = (40, 30, 20, 10)
    everybody = {peer.name for peer in STEPS}
    among, left_out = able(STEPS, training_step(0.9, 4, sizes=sizes))
    assert {peer.name for peer in among} == everybody
    assert not left_out
    among, left_out = able(STEPS, training_step(0.9, 4, sizes=sizes, dtype="float64"))
    assert {"SparseProp", "SparseLab"} <= left_out.keys()
    among, left_out = able(STEPS, training_step(0.0, 4, sizes=sizes))
    assert [peer.name for peer in among] == ["nerva", "PyTorch dense"]


def test_a_dense_layer_may_be_too_large():
    from peers import DensePyTorchStep
    from scipy.sparse import csr_array
    from workloads import Step

    work = Step([csr_array((16384, 16384), dtype=np.float32)], np.zeros((1, 16384), np.float32), np.zeros(1, np.int64))
    assert "1.1 GB" in DensePyTorchStep.refusal(work)


def test_the_gate_fails_where_a_ratio_fell_by_over_a_tenth():
    from gate import judge

    before = {"spmm": 10.0, "sddmm": 5.0, "gone": 1.0}
    assert judge({"spmm": 9.1, "sddmm": 4.4, "new": 1.0}, before) == {"sddmm": pytest.approx(0.12), "gone": 1.0}
    assert judge(before, before) == {}


def test_ratios_of_two_runs_are_compared_by_name():
    from ratios import changes
    from records import ratios

    ours = {"tables": [{"label": "sparsity", "rows": [{"name": "0.99", "ratios": {"SparseProp": 12.0}}]}]}
    theirs = {"benchmarks": [{"fullname": "bench_step.py::test_step[0.99]", "extra_info": {"ratios": {"MKL": 2.0}}}]}
    assert ratios(ours) == {"sparsity 0.99: SparseProp": 12.0}
    assert ratios(theirs) == {"test_step[0.99]: MKL": 2.0}
    assert changes({"a": 2.0, "b": 4.0, "c": 1.0}, {"a": 3.0, "b": 2.0}) == {"b": -0.5, "a": 0.5}
