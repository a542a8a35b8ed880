"""Part `distributions`: other ways to share out weights among the layers, and to place them within a layer."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from nerva.experiments.paper import figures
from nerva.experiments.paper.accuracies import differences, finals, listed, missing, points, with_range
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.sections import Picture, Section, Table
from nerva.experiments.paper.statistics import mean_interval
from nerva.experiments.paper.training import run
from nerva.experiments.paper.units import Unit

TITLE = "Where the weights are: distributions and supports"
USUAL = "erdos-renyi"
COMPARED = {  # ways of networks.WAYS
    USUAL: "Erdos-Renyi",
    "uniform": "uniform",
    "balanced": "balanced",
    "fan-in": "Erdos-Renyi, constant fan-in",
}


def units(protocol: Protocol) -> list[Unit]:
    """Return the runs of nerva."""
    return [unit for way in COMPARED for s in protocol.distribution_sparsities for unit in _runs(protocol, way, s)]


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the part of the report, from the records that are there."""
    rows = []
    for sparsity in protocol.distribution_sparsities:
        for way, name in COMPARED.items():
            apart = differences(folder, _pairs(protocol, way, sparsity))
            beside = points(mean_interval(apart)) if len(apart) > 1 and way != USUAL else "-"
            rows.append(
                [figures.percent(sparsity), name, with_range(finals(folder, _runs(protocol, way, sparsity))), beside]
            )
    caption = (
        f"Test accuracy in % of nerva after {protocol.epochs} epochs, mean (lowest to highest) of seeds "
        f"{listed([str(seed) for seed in protocol.seeds])}, and how much it is above that of Erdos-Renyi, with the 95 "
        f"% interval. {protocol.label}."
    )
    return Section(
        TITLE,
        "nerva reproduce paper --part distributions",
        text=TEXT,
        pictures=[_picture(protocol, folder)],
        tables=[Table(caption, ("sparsity", "weights", "accuracy, %", "beside Erdos-Renyi, points"), rows)],
        answer=_answer(protocol, folder),
        missing=missing(folder, units(protocol)),
    )


TEXT = [
    "The paper shares out weights among the layers by Erdos-Renyi: a layer is the sparser, the larger it is. (Its "
    "variant for kernels of convolutions is the same for the linear layers here.) Uniform gives all layers the same "
    "density, balanced the same number of weights. Constant fan-in shares out as Erdos-Renyi does, and gives all "
    "neurons of a layer the same number of weights, but for one."
]


def _runs(protocol: Protocol, way: str, sparsity: float) -> list[Unit]:
    return [run(protocol, "nerva", sparsity, seed, protocol.epochs, way) for seed in protocol.seeds]


def _pairs(protocol: Protocol, way: str, sparsity: float) -> list[tuple[Unit, Unit]]:
    return list(zip(_runs(protocol, way, sparsity), _runs(protocol, USUAL, sparsity), strict=True))


def _picture(protocol: Protocol, folder: Path) -> Picture:
    figure, axes = figures.new("test accuracy, %")
    figures.over_sparsity(axes, protocol.distribution_sparsities)
    for i, (way, name) in enumerate(COMPARED.items()):
        found = {s: finals(folder, _runs(protocol, way, s)) for s in protocol.distribution_sparsities}
        found = {sparsity: values for sparsity, values in found.items() if values}
        low, high = ([bound(values) for values in found.values()] for bound in (min, max))
        figures.line(axes, list(found), [mean(v) for v in found.values()], i, label=name, low=low, high=high)
    figures.legend(axes)
    return Picture(
        "distributions",
        figure,
        "Test accuracy by sparsity for four ways to place the weights: means of the seeds, bands from the lowest to "
        f"the highest. {protocol.label}.",
    )


def _answer(protocol: Protocol, folder: Path) -> str:
    """Say which way is the best at each sparsity; nothing while a run is missing."""
    found = {
        sparsity: {name: finals(folder, _runs(protocol, way, sparsity)) for way, name in COMPARED.items()}
        for sparsity in protocol.distribution_sparsities
    }
    if not found or not all(values for ways in found.values() for values in ways.values()):
        return ""
    best = []
    for sparsity, ways in found.items():
        order = sorted(ways, key=lambda name: -mean(ways[name]))
        first, last = mean(ways[order[0]]), mean(ways[order[-1]])
        best.append(f"{order[0]} at {figures.percent(sparsity)} ({first:.1f} %; the last, {order[-1]}, {last:.1f} %)")
    return f"The highest mean accuracy has {listed(best)}."
