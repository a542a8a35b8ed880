"""Records of measurements, and the ratios of a document."""

import pytest


def test_a_record_says_all_of_a_row(machine, measured):
    from harness.records import record
    from harness.workloads import training_step

    work = training_step(0.9, 16, sizes=(40, 30, 20, 10))
    row = record("0.9", work, measured([1e-6, 3e-6], {"somebody": "float32 only"}), machine)
    assert row["ratios"] == {"nerva, MKL backend": pytest.approx(3.0)}
    assert row["gflops"]["nerva"] == pytest.approx(work.flops / 1e3)
    assert row["of_ceiling"]["nerva"] == pytest.approx(row["gflops"]["nerva"] / 100)
    assert row["left_out"] == {"somebody": "float32 only"}


def test_ratios_have_the_names_of_their_row_and_peer():
    from harness.records import ratios

    ours = {"tables": [{"label": "sparsity", "rows": [{"name": "0.99", "ratios": {"SparseProp": 12.0}}]}]}
    theirs = {"benchmarks": [{"fullname": "bench_step.py::test_step[0.99]", "extra_info": {"ratios": {"MKL": 2.0}}}]}
    assert ratios(ours) == {"sparsity 0.99: SparseProp": 12.0}
    assert ratios(theirs) == {"test_step[0.99]: MKL": 2.0}
