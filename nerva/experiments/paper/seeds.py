"""Part `seeds`: how much accuracy varies with the support that is drawn, and with initial weights and batches."""

from __future__ import annotations

from pathlib import Path

from nerva.experiments.paper import figures
from nerva.experiments.paper.accuracies import finals, missing, with_range
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.sections import Picture, Section, Table
from nerva.experiments.paper.statistics import Interval, ratio_interval, spread_interval
from nerva.experiments.paper.training import run
from nerva.experiments.paper.units import Unit

TITLE = "How much depends on the seed"
GROUPS = {
    "supports": "the support, of the same weights' seed and the same batches",
    "weights": "initial weights, order and augmentation, on the same support",
}


def units(protocol: Protocol) -> list[Unit]:
    """Return the runs of nerva: one with seed 1 throughout, and others that differ in one respect."""
    return list({unit.name: unit for group in GROUPS for unit in _runs(protocol, group)}.values())


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the part of the report, from the records that are there."""
    found = {group: finals(folder, _runs(protocol, group)) for group in GROUPS}
    spreads = {group: spread_interval(values) for group, values in found.items() if len(values) > 1}
    rows = []
    for group, about in GROUPS.items():
        spread = _spread(spreads[group]) if group in spreads else "-"
        rows.append([about, str(len(found[group])), with_range(found[group]), spread])
    caption = (
        f"Test accuracy in % of nerva at {figures.percent(protocol.redraw_sparsity)} sparsity after {protocol.epochs} "
        "epochs: mean (lowest to highest) of runs that differ in one respect, and their standard deviation with its 95 "
        f"% interval. {protocol.label}."
    )
    return Section(
        TITLE,
        "nerva reproduce paper --part seeds",
        text=_text(protocol),
        pictures=[_picture(protocol, found)],
        tables=[Table(caption, ("what differs", "runs", "accuracy, %", "standard deviation, points"), rows)],
        answer=_answer(protocol, found, spreads),
        missing=missing(folder, units(protocol)),
    )


def _runs(protocol: Protocol, group: str) -> list[Unit]:
    """Return the runs of a group: those of other supports, or of other weights and batches."""
    seeds = [(i, 1, 1) if group == "supports" else (1, i, i) for i in range(1, protocol.redraws + 1)]
    return [run(protocol, "nerva", protocol.redraw_sparsity, each, protocol.epochs) for each in seeds]


def _text(protocol: Protocol) -> list[str]:
    return [
        f"A seed draws a support, initial weights, the order of samples and their augmentation. Here "
        f"{protocol.redraws} supports are trained with one seed for all else, and one support with as many seeds of "
        "weights and batches. The paper has one seed for all of that, and three of them: differences between two runs "
        "that are smaller than these spreads say nothing."
    ]


def _picture(protocol: Protocol, found: dict[str, list[float]]) -> Picture:
    figure, axes = figures.new(xlabel="test accuracy, %", height=2.0)
    for i, values in enumerate(found.values()):
        style = figures.look(i) | {"linestyle": ""}
        axes.plot(values, [i] * len(values), ms=6, alpha=0.7, **style)
    axes.set_yticks(range(len(found)), ["other supports", "other weights\nand batches"])
    axes.set_ylim(len(found) - 0.5, -0.5)
    return Picture(
        "seeds",
        figure,
        f"Test accuracy of nerva at {figures.percent(protocol.redraw_sparsity)} sparsity, a mark for each run: those "
        f"with other supports above, those with other initial weights and batches below. {protocol.label}.",
    )


def _answer(protocol: Protocol, found: dict[str, list[float]], spreads: dict[str, Interval]) -> str:
    if len(spreads) < len(GROUPS):
        return ""
    supports, weights = spreads.values()
    if weights.value > 0:
        ratio = ratio_interval(found["supports"], found["weights"])
        compared = f"their ratio is {ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    else:
        compared = "the latter do not vary"
    return (
        f"At {figures.percent(protocol.redraw_sparsity)} sparsity the accuracy of runs that differ in the support "
        f"alone has a standard deviation of {_spread(supports)} points (95 % interval), that of runs that differ in "
        f"weights and batches one of {_spread(weights)}; {compared}."
    )


def _spread(interval: Interval) -> str:
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"
