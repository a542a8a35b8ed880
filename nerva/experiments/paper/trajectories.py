"""Trajectories: nerva and masked PyTorch trained side by side, step by step, and how far apart they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nerva._kernels.mkl import set_num_threads
from nerva.experiments.paper.batches import batches, order_rng
from nerva.experiments.paper.masked import Masked, require_torch
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.training import network_of, settings_of
from nerva.experiments.paper.units import Record, Unit
from nerva.models.sequential import Sequential
from nerva.optimizers import Nesterov

STEPS = {"float32": 200, "float64": 50}
SECONDS = {"float32": 0.05, "float64": 0.1}  # of a step on one core, roughly


def trajectory(protocol: Protocol, sparsity: float, seed: int, dtype: str) -> Unit:
    """Return the unit of work that takes the first steps on both sides."""
    settings = settings_of(protocol, "both", sparsity, seed, protocol.masked_epochs)
    settings |= {"dtype": dtype, "steps": STEPS[dtype]}
    return Unit(f"steps-{dtype}-{sparsity:g}-{seed}", follow, settings, cost=SECONDS[dtype] * STEPS[dtype])


def follow(settings: Record, folder: Path) -> Record:
    """Train both sides on the same batches; return, by step, both losses and how far apart the weights are after it.

    The distance is relative: the norm of the difference of all weights by the norm of those of nerva. Beside it is how
    far nerva has come from its initial weights, in the same unit.
    """
    set_num_threads(1)
    require_torch().set_num_threads(1)
    data = Protocol(data=settings["data"], samples=settings["samples"]).load()
    model, dtype = network_of(settings, settings["dtype"]), np.dtype(settings["dtype"])
    twin, optimizer = Masked(model, settings["momentum"], settings["batch_size"]), Nesterov(settings["momentum"])
    initial, rows = _weights(model), []
    epochs = batches(data.train, settings["batch_size"], order_rng(settings["seeds"][2]), settings["augment"], dtype)
    while len(rows) < settings["steps"]:
        for X, y in epochs:
            ours = model.train_step(np.ascontiguousarray(X.T), y, optimizer, settings["rate"])
            theirs = twin.step(X, y, settings["rate"])
            mine = _weights(model)
            norm = float(np.linalg.norm(mine))
            apart = np.linalg.norm(mine - _flat(twin.weights())) / norm
            rows.append((ours, theirs, float(apart), float(np.linalg.norm(mine - initial)) / norm))
            if len(rows) == settings["steps"]:
                break
    ours, theirs, apart, moved = (list(column) for column in zip(*rows, strict=True))
    return {"nerva": ours, "masked": theirs, "apart": apart, "moved": moved}


def _weights(model: Sequential) -> Any:
    return _flat([layer.dense_weight() for layer in model.layers])  # type: ignore[attr-defined]


def _flat(weights: list[Any]) -> Any:
    """Return all weights as one vector of float64."""
    return np.concatenate([np.asarray(W, np.float64).ravel() for W in weights])
