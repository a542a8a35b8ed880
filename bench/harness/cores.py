"""How far apart the cores are: whether they share an L3. On a virtual machine it can change from minute to minute.

What one core wrote, another one reads in 50 to 90 ns if they share an L3, and in 200 to 400 ns if not, as between the
core complexes of larger AMD processors and between sockets.
"""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Literal

from harness.compiled import library

Distance = Literal["near", "far", "one core"]
SOURCE = Path(__file__).with_suffix(".c")
NEAR = 150.0  # nanoseconds of a round trip, below which cores share an L3
BLOCKS, TRIPS = 20, 500  # a few milliseconds in all


def distance() -> Distance:
    """Return how far apart the first two cores are that this process may use, at this moment."""
    cores = allowed()
    if len(cores) < 2:
        return "one core"
    return "near" if round_trip(cores[0], cores[1]) < NEAR else "far"


def allowed() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def round_trip(first: int, second: int) -> float:
    """Return the nanoseconds that a cache line takes from the first core to the second and back.

    Raises OSError where no thread can be started on one of them.
    """
    found = float(_compiled().cores_round_trip(first, second, BLOCKS, TRIPS))
    if found < 0:
        raise OSError(-int(found), f"no thread on core {first} or {second}: {os.strerror(-int(found))}")
    return found


@cache
def _compiled() -> ctypes.CDLL:
    compiled = library(SOURCE, ["-O2", "-pthread"])
    compiled.cores_round_trip.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    compiled.cores_round_trip.restype = ctypes.c_double
    return compiled
