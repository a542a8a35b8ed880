"""How far apart the cores are: whether they share an L3. On a virtual machine it can change from minute to minute.

What one core wrote, another one reads in 50 to 90 ns if they share an L3, and in 200 to 400 ns if not, as between the
core complexes of larger AMD processors and between sockets.
"""

from __future__ import annotations

import os
from typing import Literal

from nerva._kernels.cores import round_trip

Distance = Literal["near", "far", "one core"]
NEAR = 150.0  # nanoseconds of a round trip, below which cores share an L3


def distance() -> Distance:
    """Return how far apart the first two cores are that this process may use, at this moment."""
    cores = allowed()
    if len(cores) < 2:
        return "one core"
    return "near" if round_trip(cores[0], cores[1]) < NEAR else "far"


def allowed() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))
