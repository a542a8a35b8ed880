"""Part `layers`: where the time of a layer goes, over densities: is it linear, where does it bend, and why?"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from nerva.experiments.paper import figures
from nerva.experiments.paper.epochs import threads_of
from nerva.experiments.paper.layer_times import (
    DENSITIES,
    PRODUCTS,
    READ,
    TURN,
    Fit,
    equal_at,
    fit,
    measure_products,
    measure_steps,
    phases,
)
from nerva.experiments.paper.peers import START, nerva_seconds, setting
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.results import number, results, rounds_told, threads_told
from nerva.experiments.paper.sections import Claim, Picture, Section, Table, Verdict
from nerva.experiments.paper.units import Record, Unit
from nerva.experiments.rounds import Round, counted, seconds

TITLE = "Time of each layer over density"
PROFILED = 5_000  # samples of an epoch under a profile
LINEAR = 0.2  # the most by which times may differ from a line, relative to them


def units(protocol: Protocol) -> list[Unit]:
    """Return a unit for the products of each layer, and one for profiles of training."""
    threads = threads_of(protocol)
    common: Record = {"batch_size": protocol.batch_size, "threads": threads, "rounds": protocol.rounds}
    made = []
    for D, K in pairwise(protocol.sizes):
        settings = {**common, "shape": [D, K], "densities": list(DENSITIES)}
        turns = len(threads) * (len(PRODUCTS) * (len(DENSITIES) + 2) + 3)
        cost = START + turns * (protocol.rounds + 1) * 1.3 * TURN
        made.append(Unit(_name(D, K), measure_products, settings, alone=True, cost=cost))
    settings = setting(protocol.sizes, 0.0, protocol.batch_size, min(PROFILED, protocol.samples or PROFILED))
    settings |= common | {"sparsities": list(protocol.sparsities)}
    steps: float = settings["samples"] / protocol.batch_size
    epochs = sum(nerva_seconds(protocol.sizes, s, protocol.batch_size, steps) for s in protocol.sparsities)
    cost = START + protocol.rounds * len(threads) * epochs
    return [*made, Unit("layers-steps", measure_steps, settings, alone=True, cost=cost)]


class Layer(NamedTuple):
    """The times of a product of a layer: median seconds over the densities, without weights, dense, and of a write."""

    densities: list[float]
    times: list[float]
    empty: float
    dense: float
    write: float | None
    told: str
    quiet: bool

    @property
    def fit(self) -> Fit:
        """The line through the times."""
        return fit(self.densities, self.times)


def layer(result: Record, product: str, threads: int) -> Layer:
    """Return the times of a product in a result, from the rounds that count for it."""
    written = {"forward": "write Y", "input gradient": "write DX"}.get(product)
    names = [name for name in result["rounds"][0] if name.startswith(f"{product}@") and name.endswith(f"/{threads}")]
    dense = f"dense {product}/{threads}"
    others = [dense, *([f"{written}/{threads}"] if written else [])]
    kept, told, quiet = counted(result["rounds"], [*names, *others], threads)
    times = {float(name.split("@")[1].split("/")[0]): seconds(kept, name).median for name in names}
    empty = times.pop(0.0)
    write = seconds(kept, f"{written}/{threads}").median if written else None
    densities = sorted(times)
    taken = [times[density] for density in densities]
    return Layer(densities, taken, empty, seconds(kept, dense).median, write, told, quiet)


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the section: times over density, the lines through them, and whether the time is linear."""
    found = results(folder, units(protocol))
    shapes = [(D, K) for D, K in pairwise(protocol.sizes) if _name(D, K) in found.results]
    most = protocol.threads
    done = {
        threads: {(D, K, p): layer(found.results[_name(D, K)], p, threads) for D, K in shapes for p in PRODUCTS}
        for threads in threads_of(protocol)
    }
    steps = found.results.get("layers-steps")
    pictures = [_picture(done[most], shapes, most)] if shapes else []
    tables = [_table(own, protocol, threads) for threads, own in done.items() if own]
    if steps is not None:
        pictures.append(_profile_picture(steps, protocol))
        tables += [_profile_table(steps, protocol, threads) for threads in threads_of(protocol)]
    read = [found.results[_name(*shape)]["rounds"] for shape in shapes]
    return Section(
        TITLE,
        "nerva reproduce paper --part layers",
        text=_text(done[most], protocol, read[0] if read else None),
        pictures=pictures,
        tables=tables,
        claims=_claims(done[most], most),
        answer=_answer(done[most], most),
        missing=found.missing,
    )


def _name(D: int, K: int) -> str:
    return f"layers-{D}-{K}"


Layers = dict[tuple[int, int, str], Layer]


def _text(done: Layers, protocol: Protocol, rounds: list[Round] | None) -> list[str]:
    told = [
        "The three products of each layer, with supports drawn uniformly, on one batch that stays in the caches: "
        "forward (W X), input gradient (W' DY) and weight gradient (DY X' on the pattern of W). A line, floor + rate x "
        "density, is fitted to the times, with relative least squares. The bend is the density at which the floor is "
        "half of the time: above it time follows density, below it does not.",
        rounds_told(protocol.rounds),
    ]
    if rounds is not None:
        rate = 8 * READ / seconds(rounds, "read/1").median
        told.append(
            f"Why: each weight reads a row of the batch, {4 * protocol.batch_size} bytes for {2 * protocol.batch_size} "
            f"operations. One core reads {rate / 1e9:.0f} GB/s from its L2 cache here (a dot product of two vectors of "
            f"{4 * READ >> 10} KiB), so a product has {rate / 2e9:.0f} GFLOP/s a thread if all rows come from there. "
            "The floor is what does not depend on the weights: the call, the threads' start, and for the first two "
            "products the result, which is written whole at any density."
        )
    for (D, K, product), own in done.items():
        if own.write is not None and own.empty > 0:
            told.append(
                f"{D}-{K}, {product}: without a weight {number(1e6 * own.empty)} µs, of which the result's writing "
                f"alone is {min(own.write / own.empty, 1.0):.0%}; with all weights {number(1e6 * own.times[-1])} µs "
                f"in CSR ({_gflops(own, D, K, protocol):.0f} GFLOP/s), {number(1e6 * own.dense)} µs in MKL's dense "
                "product."
            )
    return told


def _gflops(own: Layer, D: int, K: int, protocol: Protocol) -> float:
    return 2e-9 * own.densities[-1] * D * K * protocol.batch_size / own.times[-1]


def _table(done: Layers, protocol: Protocol, threads: int) -> Table:
    rows = []
    for (D, K, product), own in done.items():
        line = own.fit
        equal = equal_at(own.densities, own.times, own.dense)
        slopes = ["" if slope is None else f"{slope:.2f}" for slope in (line.below, line.above)]
        row = [f"{D}-{K}", product, number(1e6 * own.empty), number(1e6 * line.floor) if line.floor else "0"]
        row += [number(1e4 * line.rate), f"{line.bend:.2g}", *slopes, f"{line.worst:.0%}"]
        row += [f"{_gflops(own, D, K, protocol):.0f}", "above 1" if equal is None else f"{equal:.2g}", own.told]
        rows.append(row)
    header = ["layer", "product", "no weights, µs", "floor, µs", "per percent of density, µs", "bend at density"]
    header += ["slope below", "slope above", "furthest from the line", "GFLOP/s at density 1"]
    header += ["as slow as dense at density", "rounds that count"]
    low, high = f"{DENSITIES[0]:g}", f"{DENSITIES[-1]:g}"
    caption = (
        f"Products of batches of {protocol.batch_size} (noise), densities {low} to {high}, {threads_told(threads)}. "
        "Slopes are those of log time over log density: 1 is linear, 0 is constant."
    )
    return Table(caption, header, rows)


def _picture(done: Layers, shapes: list[tuple[int, int]], threads: int) -> Picture:
    figure, panels = figures.new(xlabel="density", columns=len(PRODUCTS), width=10.0, height=3.6)
    for axes, product in zip(panels, PRODUCTS, strict=True):
        for i, (D, K) in enumerate(shapes):
            own = done[D, K, product]
            figures.line(axes, own.densities, [1e6 * t for t in own.times], i, label=f"{D}-{K}")
            line = own.fit
            fitted = [1e6 * (line.floor + line.rate * d) for d in own.densities]
            axes.plot(own.densities, fitted, color="black", lw=0.7, ls=":")
        axes.set(xscale="log", yscale="log", title=product)
    panels[0].set_ylabel("microseconds")
    figures.legend(panels[0])
    caption = (
        f"Time of the products of each layer over density, {threads_told(threads)}; dotted, floor + rate x density. "
        "On the right of a bend the time follows density, on its left it is the floor."
    )
    return Picture("layers", figure, caption)


def _profile_table(steps: Record, protocol: Protocol, threads: int) -> Table:
    rows = []
    for name in (f"{s:g}" for s in protocol.sparsities):
        own = phases(steps["profiles"][f"{name}/{threads}"])
        row = [figures.percent(float(name))]
        for i, density in enumerate(steps["densities"][name]):
            row.append(f"{density:.3g}")
            row += [_us(own, i, phase) for phase in ("forward", "backward")]
        rest = sum(taken for (of, phase), taken in own.items() if phase not in ("forward", "backward"))
        rows.append([*row, number(1e6 * rest), number(1e6 * sum(own.values()))])
    header = ["sparsity"]
    for D, K in pairwise(protocol.sizes):
        header += [f"{D}-{K}, density", "forward, µs", "backward, µs"]
    header += ["all else, µs", "step, µs"]
    caption = (
        f"A training step by layer under `nerva.profile`, Erdos-Renyi densities, noise, {threads_told(threads)}, "
        f"medians of {protocol.rounds} rounds. Backward is both gradients, and the update where it is part of the pass."
    )
    return Table(caption, header, rows)


def _us(own: dict[tuple[str, str], float], number_of: int, phase: str) -> str:
    found = [taken for (of, p), taken in own.items() if p == phase and of.split(" ")[0] == str(number_of)]
    return number(1e6 * found[0]) if found else ""


def _profile_picture(steps: Record, protocol: Protocol) -> Picture:
    figure, panels = figures.new(columns=2, xlabel="density of the layer", width=9.0, height=3.6)
    names = [f"{s:g}" for s in protocol.sparsities]
    own = {name: phases(steps["profiles"][f"{name}/{protocol.threads}"]) for name in names}
    for axes, phase in zip(panels, ("forward", "backward"), strict=True):
        for i, (D, K) in enumerate(pairwise(protocol.sizes)):
            points = [
                (steps["densities"][name][i], 1e6 * taken)
                for name in names
                for (of, p), taken in own[name].items()
                if p == phase and of.split(" ")[0] == str(i)
            ]
            if points:
                densities, taken = zip(*sorted(points), strict=True)
                figures.line(axes, densities, taken, i, label=f"{D}-{K}")
        axes.set(xscale="log", yscale="log", title=phase)
    panels[0].set_ylabel("microseconds of a step")
    figures.legend(panels[0])
    caption = (
        f"Time of each layer in training steps over its own density, {threads_told(protocol.threads)}, in networks "
        "with Erdos-Renyi densities: the smaller a layer, the denser it is."
    )
    return Picture("layers-steps", figure, caption)


def _claims(done: Layers, threads: int) -> list[Claim]:
    if not done:
        return []
    worst = {key: own.fit.worst for key, own in done.items()}
    linear = [deviation <= LINEAR for deviation in worst.values()]
    verdict: Verdict = "holds" if all(linear) else "holds in part" if any(linear) else "does not hold"
    if not all(own.quiet for own in done.values()):
        verdict = "open"
    told = "; ".join(f"{D}-{K} {p}: bend at {own.fit.bend:.2g}" for (D, K, p), own in done.items())
    found = (
        f"{sum(linear)} of {len(linear)} products are within {LINEAR:.0%} of a line with a floor, "
        f"{threads_told(threads)}; below the bend the floor counts more than the weights ({told})"
    )
    return [Claim("Run time is linear in density.", found, verdict)]


def _answer(done: Layers, threads: int) -> str:
    if not done:
        return ""
    D, K, _ = next(iter(done))
    told = ", ".join(f"{done[D, K, p].fit.bend:.2g} ({p})" for p in PRODUCTS)
    return f"In the layer {D}-{K} time follows density down to {told}; below, it is a floor ({threads_told(threads)})."
