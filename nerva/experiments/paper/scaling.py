"""Part `scaling`: seconds of an epoch of deeper and wider networks at density 0.01, nerva beside masked PyTorch."""

from __future__ import annotations

from pathlib import Path

from nerva.experiments.paper import figures
from nerva.experiments.paper.epochs import NAMES, Epochs, epochs, unit
from nerva.experiments.paper.peers import dense_weights, setting
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.reference import LOGS, SCALING
from nerva.experiments.paper.results import number, results, rounds_told, spread_line, threads_told, times
from nerva.experiments.paper.sections import Picture, Section, Table
from nerva.experiments.paper.units import Record, Unit

TITLE = "Time of training of deeper and wider networks"
DENSITY = 0.01
EPOCH = 50_000  # samples, to which all times are scaled
SAMPLES = 5_000  # of noise: an epoch of nerva
OPERATIONS = 2e11  # multiply-adds of weights and samples in a turn of PyTorch, about; at least one step
ROUNDS = 3  # at most
SIDES = ("nerva", "masked")
SCALE = EPOCH / SAMPLES
MASKED_BYTES = 4 * 4 * 1.3  # for each weight: weights, gradients, momentum and masks, and something to spare


def units(protocol: Protocol) -> list[Unit]:
    """Return a unit for each network; PyTorch is left out where its memory would not be enough when it is measured."""
    made = []
    for depth, width in networks(protocol):
        sizes = (protocol.sizes[0], *(width,) * depth, protocol.sizes[-1])
        weights, batch = dense_weights(sizes), protocol.batch_size
        network = setting(sizes, 1.0 - DENSITY, batch, SAMPLES)
        network["masked bytes"] = int(MASKED_BYTES * weights)
        steps = max(1, min(20, round(OPERATIONS / (weights * batch * 3))))
        rounds = min(ROUNDS, protocol.rounds)
        threads = [protocol.threads]
        made.append(unit(_name(depth, width), network, sides=SIDES, steps=steps, threads=threads, rounds=rounds))
    return made


def networks(protocol: Protocol) -> list[tuple[int, int]]:
    """Return the numbers and widths of hidden layers: deeper ones first, then wider ones."""
    deeper = [(depth, protocol.width) for depth in protocol.depths]
    wider = [(protocol.depth, width) for width in protocol.widths]
    return deeper + [each for each in wider if each not in deeper]


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the section: seconds, ratios, what the original's logs say."""
    found = results(folder, units(protocol))
    done = {each: found.results[_name(*each)] for each in networks(protocol) if _name(*each) in found.results}
    return Section(
        TITLE,
        "nerva reproduce paper --part scaling",
        text=[
            f"Networks of {protocol.sizes[0]} inputs, hidden layers of one width and {protocol.sizes[-1]} outputs, "
            f"density {DENSITY:g} (Erdos-Renyi), on noise. nerva trains {SAMPLES:,} samples, PyTorch 1 to 20 steps; "
            f"both times are scaled to an epoch of {EPOCH:,} samples.",
            rounds_told(min(ROUNDS, protocol.rounds)),
        ],
        pictures=[_picture(protocol, done)] if done else [],
        tables=[_table(protocol, done)] if done else [],
        answer=_answer(protocol, done),
        missing=found.missing,
    )


def _name(depth: int, width: int) -> str:
    return f"scaling-{depth}x{width}"


def _epochs(result: Record, protocol: Protocol) -> tuple[Epochs, bool]:
    """Return the rounds that count, and whether PyTorch took part."""
    masked = "left out" not in result
    return epochs(result, SIDES if masked else SIDES[:1], protocol.threads), masked


def _table(protocol: Protocol, done: dict[tuple[int, int], Record]) -> Table:
    rows = []
    for each, result in done.items():
        own, masked = _epochs(result, protocol)
        row = [f"{each[0]} x {each[1]}", number(SCALE * own.seconds("nerva").median)]
        if masked:
            row += [number(SCALE * own.seconds("masked").median), times(own.ratio("masked"))]
        else:
            row += [result["left out"], ""]
        logged = SCALING.get(each)
        old = ["", "", ""]
        if logged is not None:
            ours, theirs = logged
            old = [number(ours), *(["none logged", ""] if theirs is None else map(number, (theirs, theirs / ours)))]
        rows.append([*row, own.told, *old])
    header = ["hidden layers", "nerva, s", "masked, s", "masked : nerva", "rounds that count"]
    header += ["original, s", "its masked PyTorch, s", "their ratio"]
    caption = (
        f"Seconds of an epoch of {EPOCH:,} samples (noise, scaled), density {DENSITY:g}, batch {protocol.batch_size}, "
        f"{threads_told(protocol.threads)}. Last columns: {LOGS}."
    )
    return Table(caption, header, rows)


def _picture(protocol: Protocol, done: dict[tuple[int, int], Record]) -> Picture:
    figure, panels = figures.new(columns=2, width=9.0, height=3.8)
    deeper = [each for each in done if each[1] == protocol.width and each[0] in protocol.depths]
    wider = [each for each in done if each[0] == protocol.depth and each[1] in protocol.widths]
    for axes, chosen, axis in ((panels[0], deeper, 0), (panels[1], wider, 1)):
        for side in SIDES:
            shown = [each for each in chosen if side == "nerva" or "left out" not in done[each]]
            spreads = []
            for each in shown:
                spread = _epochs(done[each], protocol)[0].seconds(side)
                spreads.append(type(spread)(*(SCALE * s for s in spread)))
            if shown:
                spread_line(axes, [each[axis] for each in shown], spreads, NAMES[side])
        logged = [each for each in chosen if each in SCALING]
        if logged:
            theirs = [SCALING[each][0] for each in logged]
            figures.line(axes, [each[axis] for each in logged], theirs, "original", label="original (its logs)")
        axes.set_yscale("log")
    panels[0].set(xlabel=f"hidden layers of {protocol.width}", ylabel="seconds of an epoch")
    panels[1].set(xlabel=f"width of {protocol.depth} hidden layers", xscale="log")
    panels[1].set_xticks(protocol.widths, [str(width) for width in protocol.widths])
    panels[1].minorticks_off()
    figures.legend(panels[0])
    caption = (
        f"Seconds of an epoch of {EPOCH:,} samples at density {DENSITY:g} over the number of hidden layers (left) and "
        f"over their width (right), {threads_told(protocol.threads)}. Bands are the range of the rounds."
    )
    return Picture("scaling", figure, caption)


def _answer(protocol: Protocol, done: dict[tuple[int, int], Record]) -> str:
    told = []
    for (depth, width), result in done.items():
        own, masked = _epochs(result, protocol)
        if masked:
            told.append(f"{number(own.ratio('masked').median)} with {depth} hidden layer{'s' * (depth > 1)} of {width}")
    if not told:
        return ""
    shown = threads_told(protocol.threads)
    return f"At density {DENSITY:g} masked PyTorch takes so many times as long as nerva: {', '.join(told)} ({shown})."
