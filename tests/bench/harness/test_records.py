"""Records of measurements, and the ratios of a document."""

import pytest


def test_a_record_says_all_of_a_row(machine, measured):
    from harness.records import records
    from harness.workloads import hot_step

    work = hot_step(0.9, 16, sizes=(40, 30, 20, 10))
    (row,) = records("0.9", work, measured([1e-6, 3e-6], {"somebody": "float32 only"}, disturbed=1), machine)
    assert (row["threads"], row["cores"], row["rounds"], row["disturbed"]) == (2, "near", 5, 1)
    assert row["ratios"] == {"nerva, MKL backend": pytest.approx(3.0)}
    assert row["gflops"]["nerva"] == pytest.approx(work.flops / 1e3)
    assert row["of_ceiling"]["nerva"] == pytest.approx(row["gflops"]["nerva"] / 100)
    assert row["left_out"] == {"somebody": "float32 only"}


def test_near_and_far_are_rows_of_their_own(machine, measured):
    from harness.pairs import Measurement
    from harness.records import records
    from harness.workloads import hot_step

    near, far = measured([1e-3, 2e-3]), measured([2e-3, 3e-3], apart="far")
    both = Measurement(2, near.groups + far.groups, {})
    rows = records("0.9", hot_step(0.9, 16, sizes=(40, 30, 20, 10)), both, machine)
    assert [(row["cores"], row["ratios"]["nerva, MKL backend"]) for row in rows] == [("near", 2.0), ("far", 1.5)]


def test_what_users_run_has_no_count_of_operations(machine, measured):
    from harness.records import records
    from harness.use import Use
    from harness.workloads import network

    (row,) = records("0.9", Use(network(0.9, sizes=(40, 30, 20, 10))), measured([1e-3, 2e-3]), machine)
    assert row["seconds"]["nerva"] == 1e-3
    assert "gflops" not in row


def test_the_row_of_a_name_for_plots_has_most_threads_and_most_undisturbed_rounds():
    from harness.records import most_measured

    def row(name, threads, cores, rounds, disturbed):
        return {"name": name, "threads": threads, "cores": cores, "rounds": rounds, "disturbed": disturbed}

    rows = [row("a", 1, "near", 9, 0), row("a", 2, "near", 5, 4), row("a", 2, "far", 3, 0), row("b", 1, "far", 2, 0)]
    assert [(found["name"], found["threads"], found["cores"]) for found in most_measured(rows)] == [
        ("a", 2, "far"),
        ("b", 1, "far"),
    ]


def test_a_row_is_unreliable_only_if_another_process_ran_in_all_its_rounds():
    from harness.records import unreliable

    assert not unreliable({"rounds": 5, "disturbed": 4})
    assert unreliable({"rounds": 5, "disturbed": 5})


def test_ratios_have_the_names_of_their_row_threads_cores_and_peer():
    from harness.records import ratios

    row = {"name": "0.99", "threads": 2, "cores": "far", "ratios": {"SparseProp": 12.0}}
    ours = {"tables": [{"label": "hot step, sparsity", "rows": [row]}]}
    assert ratios(ours) == {"hot step, sparsity 0.99, threads 2, far: SparseProp": 12.0}
    timed = {"fullname": "bench_hot_step.py::test_step[0.99]", "extra_info": {"rows": [row]}}
    memory = {"fullname": "bench_memory.py::test_memory", "extra_info": {"ratios": {"PyTorch masked": 43.0}}}
    assert ratios({"benchmarks": [timed, memory]}) == {
        "test_step[0.99], threads 2, far: SparseProp": 12.0,
        "test_memory: PyTorch masked": 43.0,
    }
