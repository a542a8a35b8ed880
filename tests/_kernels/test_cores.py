"""The round trip of a cache line between two cores."""

import os

import pytest

from nerva._kernels.cores import round_trip

CORES = sorted(os.sched_getaffinity(0))


@pytest.mark.skipif(len(CORES) < 2, reason="one core")
def test_a_round_trip_takes_time():
    assert 1 < round_trip(*CORES[:2]) < 1e7
    assert round_trip(*CORES[:2], blocks=1, trips=1) > 0


@pytest.mark.parametrize("pair", [(CORES[0], 10**6), (10**6, CORES[0])])
def test_a_core_that_is_not_there_is_refused(pair):
    with pytest.raises(OSError, match=f"no thread on core {pair[0]} or {pair[1]}"):
        round_trip(*pair)


@pytest.mark.parametrize(
    ("given", "message"),
    [((0, 0), "both core 0"), ((0, 1, 0), "blocks and trips are 0 and 500"), ((0, 1, 20, -1), "20 and -1")],
)
def test_what_cannot_be_measured_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        round_trip(*given)
