"""Whether all peers compute the same step: losses and weights of the first steps, against nerva's."""

from collections.abc import Sequence

import numpy as np
from peers import STEPS, DensePyTorchStep, able, installed
from workers import Worker
from workloads import Array, Step, training_step

TOGETHER = 3  # steps
RATE = 0.1  # so high that weights move by far more than they are rounded
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of how far the weights have moved


def check(sparsities: Sequence[float], threads: int) -> int:
    """Print how far every peer that is installed is from nerva; return 1 where one is too far, 0 otherwise."""
    wrong = 0
    for sparsity in sparsities:
        for dtype, tolerance in TOLERANCE.items():
            found = distances(training_step(sparsity, dtype=dtype, rate=RATE), threads)
            for name, distance in found.items():
                verdict = "the same step" if distance <= tolerance else "ANOTHER STEP"
                wrong += distance > tolerance
                print(f"sparsity {sparsity:g}, {dtype}, {name}: off by {distance:.1g} of the way, {verdict}")
    return min(wrong, 1)


def distances(work: Step, threads: int) -> dict[str, float]:
    """Return for each peer how far its losses and weights are from nerva's, relative to how far these have moved."""
    peers = [peer for peer in able(installed(STEPS), work)[0] if peer is not DensePyTorchStep or not work.sparse]
    found, ours = {}, None
    for peer in peers:
        worker = Worker()
        worker.make(peer, work, threads)
        theirs = worker.call("trajectory", TOGETHER)
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
