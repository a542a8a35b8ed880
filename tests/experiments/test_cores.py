"""How far apart the cores are."""

import shutil

import pytest


@pytest.fixture
def cores(monkeypatch):
    """The module, on a machine of four cores of which this process may use the second and the fourth."""
    from nerva.experiments import cores

    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {3, 1}, raising=False)
    return cores


@pytest.mark.parametrize(("nanoseconds", "found"), [(70.0, "near"), (300.0, "far")])
def test_cores_are_near_if_a_line_is_soon_back(cores, monkeypatch, nanoseconds, found):
    asked = []
    monkeypatch.setattr(cores, "round_trip", lambda *pair: asked.append(pair) or nanoseconds)
    assert cores.distance() == found
    assert asked == [(1, 3)]


def test_one_core_has_no_distance(cores, monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert cores.distance() == "one core"


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler")
def test_a_round_trip_takes_time():
    from nerva.experiments.cores import allowed, round_trip

    if len(allowed()) < 2:
        pytest.skip("one core")
    assert round_trip(*allowed()[:2]) > 0
    with pytest.raises(OSError, match="no thread on core"):
        round_trip(allowed()[0], 10**6)
    with pytest.raises(OSError, match="no thread on core"):
        round_trip(10**6, allowed()[0])
