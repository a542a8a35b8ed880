"""The processes of the peers, and what other processes took from them."""

import os

import pytest

STAT = """cpu  600 0 300 9000 50 0 0 7 0 0
cpu0 100 10 200 4000 20 1 2 3 0 0
cpu1 500 0 100 5000 30 0 0 4 0 0
cpu11 7000 0 0 0 0 0 0 0 0 0
intr 12 34
"""


@pytest.mark.parametrize(("cores", "ticks"), [([0], 316), ([1], 604), ([0, 1], 920), ([], 0)])
def test_busy_is_all_but_idle_and_waiting(cores, ticks):
    from nerva.experiments.workers import busy_seconds

    assert busy_seconds(STAT, cores) == ticks / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def contention(monkeypatch, tmp_path):
    """A function that returns the contention over two seconds in which the two cores were busy for so long."""
    from nerva.experiments import workers

    def measure(threads, busy, ours):
        clock, tick = iter([10.0, 12.0]), os.sysconf("SC_CLK_TCK")
        before, after = tmp_path / "before", tmp_path / "after"
        before.write_text("cpu0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\n")
        after.write_text("".join(f"cpu{i} {round(s * tick)} 0 0 0 0 0 0 0\n" for i, s in enumerate(busy)))
        own = iter([5.0, 5.0 + ours])
        monkeypatch.setattr(workers, "allowed", lambda: [0, 1])
        monkeypatch.setattr(workers.time, "perf_counter", lambda: next(clock))
        monkeypatch.setattr(workers.time, "process_time", lambda: next(own))
        monkeypatch.setattr(workers, "STAT", before)
        measured = workers.Contention(threads)
        monkeypatch.setattr(workers, "STAT", after)
        return measured()

    return measure


def test_our_own_time_is_no_contention(contention):
    assert contention(2, [2.0, 2.0], 4.0) == 0.0


def test_the_time_of_others_is_contention(contention):
    assert contention(2, [2.0, 2.0], 3.0) == pytest.approx(0.5)


def test_a_spare_core_may_be_used_by_others(contention):
    assert contention(1, [2.0, 2.0], 2.0) == 0.0
    assert contention(1, [2.0, 2.0], 1.0) == pytest.approx(0.5)


def test_a_turn_without_warm_up_is_its_calls_alone():
    from nerva.experiments.workers import _repeat

    calls = []
    assert len(_repeat(lambda: calls.append(1), 3, 1, 0).seconds) == 3
    assert len(calls) == 3
    _repeat(lambda: calls.append(1), 3, 1, 2)
    assert len(calls) == 8
