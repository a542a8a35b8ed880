"""How long a cache line takes from one core to another and back."""

import os

cdef extern from "cores.h" nogil:
    double nerva_round_trip(int first, int second, long blocks, long trips)


def round_trip(int first, int second, long blocks=20, long trips=500):
    """Return the nanoseconds that a cache line takes from the first core to the second and back.

    Two threads, each pinned to its core, count in turns. The mean of the fastest block of trips counts; the defaults
    take a few milliseconds in all. Raises ValueError for a count below 1 or one core given twice, OSError where no
    thread can be started on one of them.
    """
    if blocks < 1 or trips < 1:
        raise ValueError(f"blocks and trips are {blocks} and {trips}; both must be at least 1")
    if first == second:
        raise ValueError(f"first and second are both core {first}; there must be two")
    cdef double found
    with nogil:
        found = nerva_round_trip(first, second, blocks, trips)
    if found < 0:
        raise OSError(-<int> found, f"no thread on core {first} or {second}: {os.strerror(-<int> found)}")
    return found
