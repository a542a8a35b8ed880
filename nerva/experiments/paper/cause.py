"""Part `cause`: whether truly sparse training is more accurate than masked training, or an implementation was."""

from __future__ import annotations

from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.training import SIDES, run
from nerva.experiments.paper.trajectories import trajectory
from nerva.experiments.paper.units import Unit

TITLE = "Truly sparse or masked: the cause of the difference"
TWICE = (0.99, 0.995, 0.999)  # sparsities at which the original's PyTorch was worse than its Nerva


def units(protocol: Protocol) -> list[Unit]:
    """Return the runs: trajectories of both sides, both sides for `masked_epochs`, and the mask drawn twice."""
    made = []
    for sparsity in protocol.cause_sparsities:
        for seed in protocol.cause_seeds:
            made += [trajectory(protocol, sparsity, seed, dtype) for dtype in ("float32", "float64")]
            made += [run(protocol, side, sparsity, seed, protocol.masked_epochs) for side in SIDES]
    for sparsity in twice_sparsities(protocol):
        for seed in protocol.seeds:
            made += [run(protocol, side, sparsity, seed, protocol.masked_epochs, "twice") for side in SIDES]
            made += [run(protocol, side, sparsity, seed, protocol.masked_epochs) for side in SIDES]
            made += [run(protocol, "nerva", sparsity, seed, protocol.epochs, way) for way in ("twice", "erdos-renyi")]
    return list({unit.name: unit for unit in made}.values())


def twice_sparsities(protocol: Protocol) -> list[float]:
    """Return the sparsities at which a network with the mask drawn twice is trained."""
    return [sparsity for sparsity in protocol.cause_sparsities if sparsity in TWICE]
