"""Part `small`: another network, sparsity above 99.5 %, and small matrices: where truly sparse stops paying."""

from __future__ import annotations

from pathlib import Path

from nerva.experiments.paper import figures
from nerva.experiments.paper.accuracies import listed
from nerva.experiments.paper.epochs import NAMES, Epochs, epochs, steps_of, unit
from nerva.experiments.paper.layer_times import equal_at
from nerva.experiments.paper.peers import START, Nerva, Torch, nerva_seconds, repeated, setting, started, torch_seconds
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.results import number, results, rounds_told, spread_line, threads_told, times
from nerva.experiments.paper.sections import Claim, Picture, Section, Table, Verdict
from nerva.experiments.paper.units import Record, Unit
from nerva.experiments.rounds import counted, in_turns, ratio, seconds

TITLE = "Another network, very high sparsity, and small matrices"
OTHER = (784, 512, 256, 10)
HIGHER = (0.9995, 0.9999)  # sparsities of the paper's network, beside its highest
SAMPLES, STEPS = 10_000, 20  # of noise; of PyTorch in a turn
SIDES = ("nerva", "masked", "dense")
WIDTHS = (32, 64, 128, 256, 512, 1024)  # of networks with as many inputs and two hidden layers
CLASSES = 10
DENSITIES = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)  # at 1, nerva's layers are dense
SMALL_SAMPLES = 2_000
DENSE = f"{DENSITIES[-1]:g}"  # the turn of dense nerva
TURN = 0.1  # seconds


def units(protocol: Protocol) -> list[Unit]:
    """Return units for the other network, for the highest sparsities, and for each width of small ones."""
    made = []
    for name, sizes, sparsities in _networks(protocol):
        for sparsity in sparsities:
            network = setting(sizes, sparsity, protocol.batch_size, SAMPLES)
            threads, rounds = [protocol.threads], protocol.rounds
            made.append(unit(f"{name}-{sparsity:g}", network, sides=SIDES, steps=STEPS, threads=threads, rounds=rounds))
    for width in WIDTHS:
        sizes = (width, width, width, CLASSES)
        settings = setting(sizes, 0.0, protocol.batch_size, SMALL_SAMPLES)
        settings |= {"densities": list(DENSITIES), "threads": protocol.threads, "rounds": protocol.rounds}
        steps, turns = steps_of(settings), protocol.rounds + 2
        slowest = [nerva_seconds(sizes, 1 - d, protocol.batch_size, steps) for d in DENSITIES]
        slowest.append(torch_seconds(sizes, protocol.batch_size, steps))
        cost = START * (1 + len(DENSITIES)) / 2 + turns * sum(max(TURN, 3 * each) for each in slowest)
        made.append(Unit(_small(width), measure_small, settings, alone=True, cost=cost))
    return made


def measure_small(settings: Record, folder: Path) -> Record:
    """Return the rounds of turns, which are called by the density of nerva's network, and "PyTorch", which is dense."""
    densities, threads = settings["densities"], settings["threads"]
    steps = steps_of(settings)
    made = [(Nerva, settings | {"sparsity": 1.0 - density}) for density in densities]
    with started(*made, (Torch, settings)) as (*sparse, dense):
        runs = {
            f"{density:g}": repeated(worker, "epoch", threads, steps, turn=TURN)
            for density, worker in zip(densities, sparse, strict=True)
        }
        runs["PyTorch"] = repeated(dense, "dense", threads, steps, turn=TURN)
        return {"rounds": in_turns(runs, settings["rounds"])}


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the section: the other network, the highest sparsities, and up to which density small networks pay."""
    found = results(folder, units(protocol))
    tables, pictures, claims = [], [], []
    for name, sizes, sparsities in _networks(protocol):
        done = {s: found.results[f"{name}-{s:g}"] for s in sparsities if f"{name}-{s:g}" in found.results}
        if not done:
            continue
        own = {s: epochs(result, SIDES, protocol.threads) for s, result in done.items()}
        tables.append(_table(sizes, own, protocol))
        if name == "other":
            pictures.append(_picture(sizes, own, protocol.threads))
            claims.append(_claim(sizes, own, protocol.threads))
    small = {width: found.results[_small(width)] for width in WIDTHS if _small(width) in found.results}
    if small:
        tables.append(_small_table(small, protocol))
        pictures.append(_small_picture(small, protocol))
    return Section(
        TITLE,
        "nerva reproduce paper --part small",
        text=[
            f"An epoch of {SAMPLES:,} samples of noise of {'-'.join(map(str, OTHER))} and of the paper's network at "
            f"the highest sparsities, as in the part `timing`; PyTorch's times are those of {STEPS} steps, scaled.",
            f"And networks n-n-n-{CLASSES}: nerva at several densities (at density 1 its layers are dense) beside "
            f"dense PyTorch, training on {SMALL_SAMPLES:,} samples of noise with {threads_told(protocol.threads)}. "
            "Truly sparse stops paying at the density at which nerva takes as long as dense PyTorch, or dense nerva.",
            rounds_told(protocol.rounds),
        ],
        pictures=pictures,
        tables=tables,
        claims=claims,
        answer=_answer(small, protocol),
        missing=found.missing,
    )


def _networks(protocol: Protocol) -> list[tuple[str, tuple[int, ...], tuple[float, ...]]]:
    """Return the networks whose epochs are timed: name of the units, sizes, sparsities."""
    return [("other", OTHER, (*protocol.sparsities, *HIGHER)), ("highest", protocol.sizes, HIGHER)]


def _small(width: int) -> str:
    return f"small-{width}"


def _table(sizes: tuple[int, ...], done: dict[float, Epochs], protocol: Protocol) -> Table:
    rows = []
    for sparsity, own in done.items():
        medians = [number(own.seconds(side).median) for side in SIDES]
        ratios = [times(own.ratio(side)) for side in SIDES[1:]]
        rows.append([figures.percent(sparsity), *medians, *ratios, own.told])
    header = ["sparsity", "nerva, s", "masked, s", "dense, s", "masked : nerva", "dense : nerva", "rounds that count"]
    caption = (
        f"Seconds of an epoch of {SAMPLES:,} samples (noise), {'-'.join(map(str, sizes))}, batch "
        f"{protocol.batch_size}, {threads_told(protocol.threads)}."
    )
    return Table(caption, header, rows)


def _picture(sizes: tuple[int, ...], done: dict[float, Epochs], threads: int) -> Picture:
    figure, axes = figures.new("seconds of an epoch")
    figures.over_sparsity(axes, list(done))
    axes.set_yscale("log")
    for side in SIDES:
        spread_line(axes, done, [own.seconds(side) for own in done.values()], NAMES[side])
    figures.legend(axes)
    shown = "-".join(map(str, sizes))
    caption = (
        f"Seconds of an epoch of {SAMPLES:,} samples of {shown} over sparsity, {threads_told(threads)}. Bands are the "
        "range of the rounds."
    )
    return Picture("small-other", figure, caption)


def _claim(sizes: tuple[int, ...], done: dict[float, Epochs], threads: int) -> Claim:
    high = {s: own.ratio("masked") for s, own in done.items() if s >= 0.95}
    faster = [spread.least > 1 for spread in high.values()]
    verdict: Verdict = "open"
    if faster and all(own.quiet for own in done.values()):
        verdict = "holds" if all(faster) else "holds in part" if any(faster) else "does not hold"
    told = ", ".join(f"{times(spread)} at {figures.percent(s)}" for s, spread in high.items())
    shown = "-".join(map(str, sizes))
    found = f"masked PyTorch takes so many times as long as nerva: {told} ({threads_told(threads)})"
    return Claim(
        f"Training is faster than masked PyTorch at high sparsity in another network, too: {shown}.", found, verdict
    )


def _equal(result: Record, threads: int, other: str = "PyTorch") -> str:
    """Return up to which density truly sparse nerva takes less time than dense PyTorch, or another turn, as text."""
    names = [f"{density:g}" for density in DENSITIES]
    kept, *_ = counted(result["rounds"], [*names, "PyTorch"], threads)
    sparse = [(density, name) for density, name in zip(DENSITIES, names, strict=True) if density < 1]
    own = [seconds(kept, name).median for _, name in sparse]
    found = equal_at([density for density, _ in sparse], own, seconds(kept, other).median)
    if found is None:
        return f"{sparse[-1][1]} and above"
    return f"below {names[0]}" if found <= DENSITIES[0] else f"{found:.2g}"


def _small_table(small: dict[int, Record], protocol: Protocol) -> Table:
    rows = []
    names = [f"{density:g}" for density in DENSITIES]
    for width, result in small.items():
        kept, told, _ = counted(result["rounds"], [*names, "PyTorch"], protocol.threads)
        steps = SMALL_SAMPLES / protocol.batch_size
        own = [number(1e6 * seconds(kept, name).median / steps) for name in names]
        dense = number(1e6 * seconds(kept, "PyTorch").median / steps)
        pays = [_equal(result, protocol.threads, other) for other in ("PyTorch", DENSE)]
        best = times(ratio(kept, "PyTorch", names[0]))
        rows.append([f"{width}-{width}-{width}-{CLASSES}", *own, dense, best, *pays, told])
    header = ["network", *[f"density {name}, µs" for name in names], "dense PyTorch, µs"]
    header += [f"PyTorch : density {names[0]}", "as slow as PyTorch at density", "as slow as dense nerva at density"]
    header += ["rounds that count"]
    caption = (
        f"Microseconds of a training step of {protocol.batch_size} samples (noise) in `fit`, "
        f"{threads_told(protocol.threads)}."
    )
    return Table(caption, header, rows)


def _small_picture(small: dict[int, Record], protocol: Protocol) -> Picture:
    figure, axes = figures.new("times as long as nerva", xlabel="width of the layers")
    names = [f"{density:g}" for density in DENSITIES]
    for i, name in enumerate(names):
        ratios = []
        for result in small.values():
            kept, *_ = counted(result["rounds"], [*names, "PyTorch"], protocol.threads)
            ratios.append(ratio(kept, "PyTorch", name))
        spread_line(axes, small, ratios, i, label=f"density {name}")
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(list(small), [str(width) for width in small])
    axes.minorticks_off()
    axes.axhline(1.0, color="black", lw=0.8)
    figures.legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = (
        "How many times as long as nerva dense PyTorch takes for a training step of small networks over their width, "
        f"{threads_told(protocol.threads)}: above 1, nerva is faster. Bands are the range of the rounds."
    )
    return Picture("small-width", figure, caption)


def _answer(small: dict[int, Record], protocol: Protocol) -> str:
    if not small:
        return ""
    widths: dict[str, list[str]] = {}
    for width, result in small.items():
        widths.setdefault(_equal(result, protocol.threads), []).append(str(width))
    told = ", ".join(f"{density} at width{'s' * (len(own) > 1)} {listed(own)}" for density, own in widths.items())
    shown = threads_told(protocol.threads)
    return f"A truly sparse network takes less time to train than dense PyTorch up to the density {told} ({shown})."
