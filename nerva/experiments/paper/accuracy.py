"""Part `accuracy`: truly sparse nerva beside masked PyTorch, from the same weights on the same batches."""

from __future__ import annotations

from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.training import SIDES, run
from nerva.experiments.paper.units import Unit

TITLE = "Accuracy beside masked PyTorch"


def units(protocol: Protocol) -> list[Unit]:
    """Return the runs: both sides for `masked_epochs`, and nerva for `epochs`."""
    made = []
    for sparsity in protocol.sparsities:
        for seed in protocol.seeds:
            made += [run(protocol, side, sparsity, seed, protocol.masked_epochs) for side in SIDES]
            if protocol.epochs != protocol.masked_epochs:
                made.append(run(protocol, "nerva", sparsity, seed, protocol.epochs))
    return made
