"""Trajectories: nerva and masked PyTorch trained side by side, step by step, and how far apart they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from nerva._kernels.mkl import set_num_threads
from nerva.experiments.paper import figures
from nerva.experiments.paper.accuracies import result
from nerva.experiments.paper.batches import batches, order_rng
from nerva.experiments.paper.masked import Masked, require_torch
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.sections import Picture, Table
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
    initial, rows = _weights(model), list[tuple[float, float, float, float]]()
    epochs = batches(data.train, settings["batch_size"], order_rng(settings["seeds"][2]), settings["augment"], dtype)
    while len(rows) < settings["steps"]:
        for X, y in epochs:
            assert y is not None
            ours = model.train_step(np.ascontiguousarray(X.T), y, optimizer, settings["rate"])
            theirs = twin.step(X, y, settings["rate"])
            mine = _weights(model)
            norm = float(np.linalg.norm(mine))
            apart = np.linalg.norm(mine - _flat(twin.weights())) / norm
            rows.append((ours, theirs, float(apart), float(np.linalg.norm(mine - initial)) / norm))
            if len(rows) == settings["steps"]:
                break
    columns = map(list, zip(*rows, strict=True))
    return dict(zip(("nerva", "masked", "apart", "moved"), columns, strict=True))


def _weights(model: Sequential) -> Any:
    return _flat([layer.dense_weight() for layer in model.layers])  # type: ignore[attr-defined]


def _flat(weights: list[Any]) -> Any:
    """Return all weights as one vector of float64."""
    return np.concatenate([np.asarray(W, np.float64).ravel() for W in weights])


def of_steps(protocol: Protocol, folder: Path, sparsity: float, dtype: str) -> list[Record]:
    """Return the trajectories of all seeds that are done."""
    found = (result(folder, trajectory(protocol, sparsity, seed, dtype)) for seed in protocol.cause_seeds)
    return [each for each in found if each is not None]


def steps_table(protocol: Protocol, folder: Path) -> Table:
    """Return how far apart both sides are, by sparsity and precision."""
    rows = []
    for dtype in STEPS:
        for sparsity in protocol.cause_sparsities:
            if found := of_steps(protocol, folder, sparsity, dtype):
                first, last = (f"{max(each['apart'][at] for each in found):.1e}" for at in (0, -1))
                loss, moved = max(map(max, map(_losses_apart, found))), median(each["moved"][-1] for each in found)
                count = f"{len(found)} x {len(found[0]['apart'])}"
                rows.append([dtype, figures.percent(sparsity), count, f"{loss:.1e}", first, last, f"{moved:.2g}"])
    return Table(
        "Nerva and masked PyTorch step by step, from the same weights on the same batches: runs and their steps, the "
        "largest difference of the losses, and of the weights (norm of the difference by norm of the weights) after "
        "the first and after the last step; and how far the weights have moved since the start, in the same unit. "
        f"Largest of the runs, medians for the last column. {protocol.label}.",
        ("precision", "sparsity", "runs x steps", "losses apart", "weights apart, 1 step", "at the end", "moved"),
        rows,
    )


def steps_picture(protocol: Protocol, folder: Path) -> Picture:
    """Return how far apart both sides are, step by step."""
    figure, panels = figures.new(xlabel="step", rows=2, columns=2, height=4.8)
    shown: list[tuple[str, Callable[[Record], list[float]]]] = [
        ("losses apart", _losses_apart),
        ("weights apart, relative", lambda each: each["apart"]),
    ]
    for row, dtype in zip(panels, STEPS, strict=True):
        for axes, (what, values) in zip(row, shown, strict=True):
            axes.set(yscale="log", title=f"{what}, {dtype}")
            for i, sparsity in enumerate(protocol.cause_sparsities):
                runs = [values(each) for each in of_steps(protocol, folder, sparsity, dtype)]
                medians = [median(step) or np.nan for step in zip(*runs, strict=True)]  # no logarithm of zero
                style = figures.look(i) | {"marker": ""}
                axes.plot(range(1, len(medians) + 1), medians, lw=1.2, label=figures.percent(sparsity), **style)
    figures.legend(panels[0, 0])
    return Picture(
        "steps",
        figure,
        "How far nerva and masked PyTorch are apart in the first steps, medians of the seeds, by sparsity: rounding "
        f"alone in float64 (below), and what grows out of it in float32 (above). {protocol.label}.",
    )


def _losses_apart(each: Record) -> list[float]:
    return [abs(ours - theirs) for ours, theirs in zip(each["nerva"], each["masked"], strict=True)]
