"""Check that all peers compute the same hot step: losses and weights of the first ones, against the first peer's.

Distances are relative to the change of losses and weights in these steps.
"""

from collections.abc import Sequence

import numpy as np

from harness.peer import Peer, installed, supported
from harness.workloads import Array, Step, hot_step
from nerva.experiments.workers import Worker

STEPS = 3
RATE = 0.1  # so high that the change of the weights is far above their rounding errors
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}


def check(peers: Sequence[type[Peer]], sparsities: Sequence[float], threads: int) -> int:
    """Print the distance of every installed peer from the first one; return 1 if one is above the tolerance, else 0."""
    wrong = 0
    for sparsity in sparsities:
        for dtype, tolerance in TOLERANCE.items():
            found = distances(peers, hot_step(sparsity, dtype=dtype, rate=RATE), threads)
            for name, distance in found.items():
                verdict = "the same step" if distance <= tolerance else "A DIFFERENT STEP"
                wrong += distance > tolerance
                print(f"sparsity {sparsity:g}, {dtype}, {name}: relative distance {distance:.1g}, {verdict}")
    return min(wrong, 1)


def distances(peers: Sequence[type[Peer]], work: Step, threads: int) -> dict[str, float]:
    """Return the relative distance of the losses and weights of each other peer from those of the first one."""
    found, ours = {}, None
    for peer in supported(installed(peers), work)[0]:
        if not peer.same_network(work):
            continue
        worker = Worker()
        worker.make(peer, work, threads)
        theirs = worker.call("trajectory", STEPS)
        worker.close()
        if ours is None:
            ours = theirs
        else:
            found[peer.name] = _distance(work, ours, theirs)
    return found


def _distance(work: Step, ours: tuple[list[float], list[Array]], theirs: tuple[list[float], list[Array]]) -> float:
    losses = float(np.abs(np.subtract(ours[0], theirs[0])).max()) / abs(ours[0][-1] - ours[0][0])
    starts = [W.ravel() if isinstance(W, np.ndarray) else W.data for W in work.weights]
    weights = [
        float(np.abs(mine - other).max() / np.abs(mine - start).max())
        for mine, other, start in zip(ours[1], theirs[1], starts, strict=True)
    ]
    return max(losses, *weights)
