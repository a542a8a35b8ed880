"""Teams of threads: after a late one, kernels run on one thread for a while. See native/team.c."""

import ctypes
import time

import pytest

from nerva._kernels import isa

WORK = 1 << 20
LONG_AGO, FAR_OFF = 1, 2**62  # deadlines


class Team(ctypes.Structure):
    _fields_ = (("size", ctypes.c_int), ("deadline", ctypes.c_int64))


@pytest.fixture
def library():
    """The module that holds the native kernels; afterwards, no team was late."""
    library = ctypes.CDLL(isa.__file__)
    library.nerva_team_begin.argtypes = (ctypes.c_int, ctypes.c_int64)
    library.nerva_team_begin.restype = Team
    library.nerva_team_end.argtypes = (Team,)
    library.nerva_team_end.restype = None
    yield library
    wait_for_a_team(library)
    for _ in range(1000):  # each team in time shortens the next period alone
        library.nerva_team_end(Team(2, FAR_OFF))


def wait_for_a_team(library):
    deadline = time.monotonic() + 5
    while library.nerva_team_begin(2, WORK).size == 1:
        assert time.monotonic() < deadline, "one thread has worked alone for 5 seconds"
        time.sleep(0.001)


def test_little_work_gets_one_thread(library):
    wait_for_a_team(library)
    assert library.nerva_team_begin(8, 16383).size == 1
    assert library.nerva_team_begin(1, WORK).size == 1
    assert library.nerva_team_begin(8, 16384).size == 8


def test_after_a_late_team_one_thread_works_alone_for_a_while(library):
    wait_for_a_team(library)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    team = library.nerva_team_begin(8, WORK)
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert team.size == 8
    assert before + WORK < team.deadline < after + 10 * WORK
    library.nerva_team_end(Team(8, FAR_OFF))
    assert library.nerva_team_begin(8, WORK).size == 8, "a team in time changes nothing"
    library.nerva_team_end(Team(8, LONG_AGO))
    assert library.nerva_team_begin(8, WORK).size == 1
    assert library.nerva_team_begin(2, WORK).size == 1
    wait_for_a_team(library)


def test_the_second_late_team_costs_more_than_the_first(library):
    def alone():
        wait_for_a_team(library)
        library.nerva_team_end(Team(8, LONG_AGO))
        start = time.monotonic()
        wait_for_a_team(library)
        return time.monotonic() - start

    first, second = alone(), alone()
    assert first >= 0.015
    assert second >= 1.9 * 0.016


def test_there_is_one_state_for_all_builds(library):
    for build in ("avx2_f32", "avx2_f64", "avx512_f32", "avx512_f64"):
        assert hasattr(library, f"nerva_spmm_{build}")
        assert not hasattr(library, f"nerva_team_begin_{build}")
