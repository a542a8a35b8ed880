"""Part `work`: FLOPs and bytes of an epoch beside what the machine can do, a roofline; and energy if it is told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nerva.experiments import energy
from nerva.experiments.flops import Work, WorkTable, epoch_work
from nerva.experiments.paper import figures, timing
from nerva.experiments.paper.epochs import epochs
from nerva.experiments.paper.masked import require_torch
from nerva.experiments.paper.peers import MOMENTUM, START, Nerva, Torch, network, setting, started
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.results import number, results, threads_told
from nerva.experiments.paper.sections import Claim, Picture, Section, Table
from nerva.experiments.paper.units import Record, Unit
from nerva.models.mlp import MLP
from nerva.optimizers import Nesterov

TITLE = "Work: FLOPs, bytes, and energy"
SIDE, LENGTH, TRIES = 2048, 1 << 26, 5  # of the matrices and of the arrays that are timed, and how often
STEPS, LONG = 50, 5.0  # of PyTorch in a turn whose energy is measured; the least seconds of a turn


def units(protocol: Protocol) -> list[Unit]:
    """Return the units of `timing`, one of what the machine can do, and one of energy."""
    machine = {"threads": protocol.threads, "side": SIDE, "length": LENGTH}
    taken = {"sizes": list(protocol.sizes), "sparsities": list(protocol.sparsities), "threads": protocol.threads}
    taken |= {"batch_size": protocol.batch_size, "root": energy.ROOT, "long": LONG}
    return [
        *timing.units(protocol),
        Unit("work-machine", measure_machine, machine, alone=True, cost=10.0),
        Unit("work-energy", measure_energies, taken, alone=True, cost=START),  # most machines tell no energy
    ]


def measure_machine(settings: Record, folder: Path) -> Record:
    """Return FLOP/s of a product of dense matrices, and bytes/s of adding two long arrays: the best of some tries."""
    torch = require_torch()
    torch.set_num_threads(settings["threads"])
    A, B = torch.rand(settings["side"], settings["side"]), torch.rand(settings["side"], settings["side"])
    x, y, z = (torch.rand(settings["length"]) for _ in range(3))
    product = min(_seconds(torch.mm, A, B) for _ in range(TRIES))
    added = min(_seconds(torch.add, x, y, out=z) for _ in range(TRIES))
    return {"peak": 2 * settings["side"] ** 3 / product, "bandwidth": 3 * 4 * settings["length"] / added}


def measure_energies(settings: Record, folder: Path) -> Record:
    """Return the joules of an epoch by sparsity, of nerva and of masked PyTorch; or the reason why there are none."""
    with energy.measure_energy(settings["root"]) as found:
        pass
    if found.joules is None:
        return {"reason": found.reason}
    made: dict[str, Record] = {}
    for sparsity in settings["sparsities"]:
        own = setting(tuple(settings["sizes"]), sparsity, settings["batch_size"], STEPS * settings["batch_size"])
        with started((Nerva, own), (Torch, own)) as (nerva, torch):
            nerva.call("prepare", "epoch", settings["threads"], STEPS)
            torch.call("prepare", "masked", settings["threads"], STEPS)
            turns = {side: _joules(worker, settings) for side, worker in (("nerva", nerva), ("masked", torch))}
        made[f"{sparsity:g}"] = turns
    return {"steps": STEPS, "joules": made}


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the section: the counts, the roofline, and energy or why it is left out."""
    found = results(folder, units(protocol))
    counted = {s: _work(protocol, s) for s in protocol.sparsities}
    dense = _work(protocol, 0.0)
    machine = found.results.get("work-machine")
    times = _times(protocol, found.results)
    joules = found.results.get("work-energy", {})
    return Section(
        TITLE,
        "nerva reproduce paper --part work",
        text=_text(protocol, machine, joules),
        pictures=[_picture(protocol, counted, dense, times, machine)] if machine and times else [],
        tables=[
            _table(protocol, counted, dense, times, machine),
            *([_energies(protocol, joules)] if "joules" in joules else []),
        ],
        claims=_claims(counted, dense, times),
        answer=_answer(counted, dense),
        missing=found.missing,
    )


def _seconds(work: Any, *arguments: Any, **settings: Any) -> float:
    started = time.perf_counter()
    work(*arguments, **settings)
    return time.perf_counter() - started


def _joules(worker: Any, settings: Record) -> float:
    """Return the joules of what a worker has prepared, on average of as many calls as take a while."""
    count, began = 0, time.perf_counter()
    with energy.measure_energy(settings["root"]) as found:
        while count == 0 or time.perf_counter() - began < settings["long"]:
            worker.call("run")
            count += 1
    return (found.joules or 0.0) / count


def _samples(protocol: Protocol) -> int:
    return min(protocol.samples or timing.SAMPLES, timing.SAMPLES)


def _work(protocol: Protocol, sparsity: float) -> WorkTable:
    """Return the work of an epoch; at sparsity 0 that of dense layers."""
    settings = setting(protocol.sizes, sparsity, protocol.batch_size, _samples(protocol))
    model = network(settings) if sparsity else MLP(list(protocol.sizes), density=1.0, seed=0)
    return epoch_work(model, _samples(protocol), protocol.batch_size, Nesterov(MOMENTUM))


def _times(protocol: Protocol, found: dict[str, Record]) -> dict[float, tuple[float, float]]:
    """Return the median seconds of an epoch by sparsity: of nerva and of masked PyTorch, with all threads."""
    made = {}
    for sparsity, unit in zip(protocol.sparsities, timing.units(protocol), strict=True):
        if unit.name in found:
            own = epochs(found[unit.name], timing.SIDES, protocol.threads)
            made[sparsity] = own.seconds("nerva").median, own.seconds("masked").median
    return made


def _text(protocol: Protocol, machine: Record | None, joules: Record) -> list[str]:
    text = [
        "Counted from the network, not measured: the operations of the linear layers and of the update, a multiply-add "
        "as two, and the bytes of every array that a phase reads or writes, once (`nerva.experiments.flops`). What the "
        "caches hold from one phase to the next is not read from memory again, so a point may lie above the roof."
    ]
    if machine:
        text.append(
            f"The roof, measured with {threads_told(protocol.threads)}: {number(machine['peak'] / 1e9)} GFLOP/s, of a "
            f"product of dense matrices of {SIDE} x {SIDE}, and {number(machine['bandwidth'] / 1e9)} GB/s, of adding "
            f"two arrays of {4 * LENGTH / 1e6:.0f} MB (both by PyTorch)."
        )
    if "reason" in joules:
        text.append(f"Energy is left out: {joules['reason'].removesuffix('.')}.")
    return text


def _table(
    protocol: Protocol,
    counted: dict[float, WorkTable],
    dense: WorkTable,
    times: dict[float, tuple[float, float]],
    machine: Record | None,
) -> Table:
    rows = []
    for sparsity, work in {0.0: dense, **counted}.items():
        total = work.total()
        row = [figures.percent(sparsity), number(total.flops / 1e9), f"{total.flops / dense.total().flops:.2%}"]
        row += [number(total.bytes / 1e9), number(total.intensity)]
        least = number(work.seconds(machine["peak"], machine["bandwidth"])) if machine else ""
        taken = times.get(sparsity)
        row += [least, *(["", ""] if taken is None else [number(taken[0]), number(total.flops / 1e9 / taken[0])])]
        rows.append(row)
    header = ["sparsity", "GFLOP", "of dense", "GB", "FLOP/byte", "the roof allows, s", "nerva, s", "nerva, GFLOP/s"]
    caption = (
        f"The work of an epoch of {_samples(protocol):,} samples, {'-'.join(map(str, protocol.sizes))}, batch "
        f"{protocol.batch_size}, and the seconds of `timing` on {protocol.label}, {threads_told(protocol.threads)}. "
        "Masked PyTorch does the work of the dense network at every sparsity."
    )
    return Table(caption, header, rows)


def _picture(
    protocol: Protocol,
    counted: dict[float, WorkTable],
    dense: WorkTable,
    times: dict[float, tuple[float, float]],
    machine: Record,
) -> Picture:
    figure, axes = figures.new("GFLOP/s", xlabel="FLOP / byte")
    done = {s: counted[s].total() for s in times}
    points = [total.intensity for total in done.values()] + [dense.total().intensity]
    ridge = machine["peak"] / machine["bandwidth"]
    xs = sorted([min(points) / 2, ridge, max([*points, ridge]) * 2])
    axes.plot(xs, [_roof(machine, x) for x in xs], color=figures.BLACK, lw=1.2, label="roof of the machine")
    rates = [total.flops / times[s][0] / 1e9 for s, total in done.items()]
    figures.line(axes, [total.intensity for total in done.values()], rates, "nerva")
    for (sparsity, total), rate in zip(done.items(), rates, strict=True):
        axes.annotate(
            figures.percent(sparsity), (total.intensity, rate), (4, -9), textcoords="offset points", fontsize=7
        )
    whole = dense.total()
    masked = [whole.flops / times[s][1] / 1e9 for s in times]
    useful = [total.flops / times[s][1] / 1e9 for s, total in done.items()]
    label = "masked PyTorch, zeros counted"
    figures.line(axes, [whole.intensity] * len(masked), masked, "masked PyTorch", label=label)
    label = "masked PyTorch, weights that exist alone"
    figures.line(axes, [total.intensity for total in done.values()], useful, "twice masked PyTorch", label=label)
    axes.set(xscale="log", yscale="log")
    figures.legend(axes)
    caption = (
        f"Roofline of an epoch of training, {threads_told(protocol.threads)}: operations a second over operations a "
        "byte. nerva's points are marked with their sparsity; below them, what masked PyTorch does of the same work."
    )
    return Picture("roofline", figure, caption)


def _roof(machine: Record, intensity: float) -> float:
    """Return the GFLOP/s that the machine allows."""
    return float(min(machine["peak"], machine["bandwidth"] * intensity) / 1e9)


def _energies(protocol: Protocol, joules: Record) -> Table:
    rows = []
    for name, taken in joules["joules"].items():
        ratio = number(taken["masked"] / taken["nerva"]) if taken["nerva"] else ""
        rows.append([figures.percent(float(name)), number(taken["nerva"]), number(taken["masked"]), ratio])
    caption = (
        f"Joules of {joules['steps']} steps of {protocol.batch_size} samples (noise), by the counters of the processor "
        f"(RAPL), of all that ran on it, {threads_told(protocol.threads)}."
    )
    return Table(caption, ["sparsity", "nerva, J", "masked PyTorch, J", "masked : nerva"], rows)


def _claims(counted: dict[float, WorkTable], dense: WorkTable, times: dict[float, tuple[float, float]]) -> list[Claim]:
    """Tell whether operations and time fall as the density does."""
    low, high = min(counted, default=0.0), max(counted, default=0.0)
    if low not in times or high not in times or low == high:
        return []
    first, last = counted[low].total(), counted[high].total()
    fewer, faster = first.flops / last.flops, times[low][0] / times[high][0]
    found = (
        f"from {figures.percent(low)} to {figures.percent(high)}: weights / {number((1 - low) / (1 - high))}, "
        f"operations / {number(fewer)}, nerva's seconds / {number(faster)}"
    )
    says = "Operations and time fall linearly with the weights that exist."
    return [Claim(says, found, "holds" if faster > 0.8 * fewer else "holds in part" if faster > 2 else "does not hold")]


def _answer(counted: dict[float, WorkTable], dense: WorkTable) -> str:
    whole: Work = dense.total()
    told = ", ".join(f"{w.total().flops / whole.flops:.2%} at {figures.percent(s)}" for s, w in counted.items())
    return f"An epoch takes this part of the operations of the dense network: {told}."
