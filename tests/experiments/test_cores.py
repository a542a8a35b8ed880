"""How far apart the cores are."""

import pytest

from nerva.experiments import cores


@pytest.fixture
def four(monkeypatch):
    """A machine of four cores of which this process may use the second and the fourth."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {3, 1}, raising=False)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(("nanoseconds", "found"), [(70.0, "near"), (300.0, "far")])
def test_cores_are_near_if_a_line_is_soon_back(monkeypatch, nanoseconds, found):
    asked = []
    monkeypatch.setattr(cores, "round_trip", lambda *pair: asked.append(pair) or nanoseconds)
    assert cores.distance() == found
    assert asked == [(1, 3)]


def test_one_core_has_no_distance(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert cores.distance() == "one core"


def test_this_machine_is_told():
    assert cores.distance() in ("near", "far", "one core")
