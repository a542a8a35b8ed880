"""Part `memory`: bytes of the weights, of training, and of a process that trains, nerva beside masked PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.mkl import set_num_threads
from nerva.experiments import ram
from nerva.experiments.paper import figures
from nerva.experiments.paper.masked import Masked, require_torch
from nerva.experiments.paper.peers import MOMENTUM, RATE, START, dense_weights, network, setting, started
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.results import number, results, threads_told
from nerva.experiments.paper.sections import Claim, Picture, Section, Table, Verdict
from nerva.experiments.paper.units import Record, Unit
from nerva.models.mlp import MLP
from nerva.optimizers import Nesterov

TITLE = "Memory"
WIDE, WIDE_SPARSITY = (8192, 8192, 8192), 0.99  # where what does not depend on the weights hardly counts
STEPS = 3  # until all is allocated
SMALL = (64, 64, 64)  # trained before, so that libraries and threads do not count
SPARE = 1.3  # times the counted bytes that must be free
PAPER = 49


def units(protocol: Protocol) -> list[Unit]:
    """Return a unit for each sparsity, and one for a wide network."""
    made = [_unit(_name(sparsity), protocol.sizes, sparsity, protocol) for sparsity in protocol.sparsities]
    return [*made, _unit("memory-wide", WIDE, WIDE_SPARSITY, protocol)]


def _unit(name: str, sizes: tuple[int, ...], sparsity: float, protocol: Protocol) -> Unit:
    settings = setting(sizes, sparsity, protocol.batch_size, protocol.batch_size) | {"threads": protocol.threads}
    return Unit(name, measure, settings, cost=2 * START + 8e-8 * dense_weights(sizes))


def measure(settings: Record, folder: Path) -> Record:
    """Return the bytes of both sides, each in a fresh process."""
    found: Record = {}
    for side, kind in (("nerva", NervaMemory), ("masked", MaskedMemory)):
        needed = SPARE * 16 * dense_weights(settings["sizes"])
        if side == "masked" and needed > (free := ram.free()):
            found[side] = {"left out": f"needs {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free"}
            continue
        with started((kind, settings)) as (worker,):
            found[side] = worker.call("measure")
    return found


class NervaMemory:
    """A network of nerva in a fresh process."""

    def __init__(self, settings: Record) -> None:
        self._settings = settings
        set_num_threads(settings["threads"])

    def measure(self) -> Record:
        """Train for some steps; return the bytes that are counted, and those by which the process grew."""
        self._trained(self._settings | {"sizes": list(SMALL)})
        return _grown(self._settings, self._trained)

    def _trained(self, settings: Record) -> tuple[object, Record]:
        model, optimizer, (X, y) = network(settings), Nesterov(MOMENTUM), _batch(settings)
        ram.forget_peak()
        for _ in range(STEPS):
            model.train_step(X, y, optimizer, RATE)
        return model, {"nonzeros": model.nnz, "weights": stored(model), "training": model.nbytes}


class MaskedMemory:
    """The same network in masked PyTorch."""

    def __init__(self, settings: Record) -> None:
        self._settings, self._torch = settings, require_torch()
        self._torch.set_num_threads(settings["threads"])

    def measure(self) -> Record:
        """Train for some steps; return the bytes that are counted, and those by which the process grew."""
        self._trained(self._settings | {"sizes": list(SMALL)})
        return _grown(self._settings, self._trained)

    def _trained(self, settings: Record) -> tuple[object, Record]:
        twin = Masked(network(settings), MOMENTUM, settings["batch_size"])
        X, y = map(self._torch.from_numpy, _batch(settings))
        ram.forget_peak()  # nerva's network, from which this one was made, does not count
        for _ in range(STEPS):
            twin.update(X, y)
        return twin, {"weights": sum(W.nbytes for W in twin.weights()), "training": twin.nbytes}


def stored(model: MLP) -> int:
    """Return the bytes of the weights alone: of CSR values and both index arrays, of dense layers the values."""
    found = 0
    for layer in model.layers:
        W: Any = layer.weight  # type: ignore[attr-defined]
        arrays = (W.values, W.indices, W.indptr) if isinstance(W, CSR) else (W,)
        found += sum(int(array.nbytes) for array in arrays)
    return found


def _grown(settings: Record, trained: Any) -> Record:
    """Return what was counted of a trained network, and how much the process grew, and at the peak of training."""
    before = ram.resident()
    alive, counted = trained(settings)
    grown: Record = {**counted, "grown": ram.resident() - before, "peak": ram.peak() - before}
    del alive
    return grown


def _batch(settings: Record) -> tuple[Any, Any]:
    rng, count = np.random.default_rng(0), settings["batch_size"]
    return rng.standard_normal((count, settings["sizes"][0]), np.float32), rng.integers(0, settings["sizes"][-1], count)


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the section: weights, training and process, and whether the paper's claim holds."""
    every = units(protocol)
    found = results(folder, every)
    done = {s: found.results[_name(s)] for s in protocol.sparsities if _name(s) in found.results}
    wide = found.results.get("memory-wide")
    rows = [_row(figures.percent(s), result, dense_weights(protocol.sizes)) for s, result in done.items()]
    if wide is not None:
        shown = f"{figures.percent(WIDE_SPARSITY)}, {'-'.join(map(str, WIDE))}"
        rows.append(_row(shown, wide, dense_weights(WIDE)))
    header = ["sparsity", "weights that exist", "weights, MB", "dense, MB", "times", "training, MB", "masked, MB"]
    header += ["times", "process, MB", "masked, MB", "times", "at its peak, MB", "masked, MB"]
    sizes = "-".join(map(str, protocol.sizes))
    caption = f"Megabytes (10^6 bytes) of {sizes}, float32, after {STEPS} steps on batches of {protocol.batch_size}."
    return Section(
        TITLE,
        "nerva reproduce paper --part memory",
        text=[
            "Weights are those of nerva in CSR, 4 bytes for a value, 4 for its column and 4 for each row, and those of "
            "the dense network, 4 bytes each. Training is the sum of what lasts: weights with patterns or masks, "
            "gradients and momentum. Process is by how much the resident memory of a fresh process grew from before "
            "it made the network until it had trained it, and at the peak of training; batches and activations are "
            f"in it, and what {threads_told(protocol.threads)} need of their own.",
        ],
        pictures=[_picture(done)] if done else [],
        tables=[Table(caption, header, rows)] if rows else [],
        claims=_claims(done, dense_weights(protocol.sizes)),
        answer=_answer(done, dense_weights(protocol.sizes)),
        missing=found.missing,
    )


def _name(sparsity: float) -> str:
    return f"memory-{sparsity:g}"


def _row(name: str, result: Record, dense: int) -> list[str]:
    ours, theirs = result["nerva"], result["masked"]
    row = [name, f"{ours['nonzeros']:,}", _mb(ours["weights"]), _mb(4 * dense), number(4 * dense / ours["weights"])]
    for kind in ("training", "grown"):
        if "left out" in theirs:
            row += [_mb(ours[kind]), theirs["left out"], ""]
        else:
            row += [_mb(ours[kind]), _mb(theirs[kind]), number(theirs[kind] / max(ours[kind], 1))]
    return [*row, _mb(ours["peak"]), _mb(theirs["peak"]) if "peak" in theirs else ""]


def _mb(size: int) -> str:
    return number(size / 1e6) if size > 0 else "0"


def _picture(done: dict[float, Record]) -> Picture:
    figure, axes = figures.new("times as much as nerva")
    figures.over_sparsity(axes, list(done))
    both = {s: (r["nerva"], r["masked"]) for s, r in done.items() if "left out" not in r["masked"]}
    kinds = (("weights", "weights"), ("training", "training, counted"), ("peak", "process, at its peak"))
    for i, (kind, label) in enumerate(kinds):
        ratios = [theirs[kind] / max(ours[kind], 1) for ours, theirs in both.values()]
        figures.line(axes, list(both), ratios, i, label=label)
    axes.axhline(1.0, color="black", lw=0.8)
    axes.set_yscale("log")
    figures.legend(axes)
    caption = "How many times as much memory as nerva masked PyTorch takes, over sparsity: above 1, nerva takes less."
    return Picture("memory", figure, caption)


def _claims(done: dict[float, Record], dense: int) -> list[Claim]:
    if 0.99 not in done:
        return []
    times = 4 * dense / done[0.99]["nerva"]["weights"]
    verdict: Verdict = "holds" if round(times) >= PAPER else "does not hold"
    found = f"{times:.2f} times less for the weights"
    if "left out" not in done[0.99]["masked"]:
        ours, theirs = done[0.99]["nerva"], done[0.99]["masked"]
        found += f"; {number(theirs['training'] / ours['training'])} times less than masked PyTorch in training"
    return [Claim(f"Memory is {PAPER} times less at 99 % sparsity than dense.", found, verdict)]


def _answer(done: dict[float, Record], dense: int) -> str:
    if not done:
        return ""
    told = ", ".join(f"{number(4 * dense / r['nerva']['weights'])} at {figures.percent(s)}" for s, r in done.items())
    return f"Dense weights take so many times as much memory as nerva's with their indices: {told}."
