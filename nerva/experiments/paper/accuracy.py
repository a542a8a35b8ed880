"""Part `accuracy`: truly sparse nerva beside masked PyTorch, from the same weights on the same batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import mean

from nerva.experiments.paper import figures
from nerva.experiments.paper.accuracies import LOGS, differences, finals, listed, missing, points, result, with_range
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.sections import Claim, Picture, Section, Table, Verdict
from nerva.experiments.paper.statistics import mean_interval, tost
from nerva.experiments.paper.training import SIDES, run
from nerva.experiments.paper.units import Unit

TITLE = "Accuracy beside masked PyTorch"
MARGIN = 0.5  # points of accuracy that would matter
NAMES = {"nerva": "nerva", "masked": "masked PyTorch"}


def units(protocol: Protocol) -> list[Unit]:
    """Return the runs: both sides for `masked_epochs`, and nerva for `epochs`."""
    made = []
    for sparsity in _sparsities(protocol):
        for seed in protocol.seeds:
            made += [run(protocol, side, sparsity, seed, protocol.masked_epochs) for side in SIDES]
            if protocol.epochs != protocol.masked_epochs and sparsity > 0:
                made.append(run(protocol, "nerva", sparsity, seed, protocol.epochs))
    return made


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the part of the report, from the records that are there."""
    claim = _claim(protocol, folder)
    return Section(
        TITLE,
        "nerva reproduce paper --part accuracy",
        text=_text(protocol),
        pictures=[_by_sparsity(protocol, folder), _by_epoch(protocol, folder)],
        tables=[_table(protocol, folder)],
        claims=[] if claim is None else [claim],
        answer="" if claim is None else f"{claim.found[0].upper()}{claim.found[1:]}.",
        missing=missing(folder, units(protocol)),
    )


def _sparsities(protocol: Protocol) -> list[float]:
    return [*((0.0,) if protocol.dense else ()), *protocol.sparsities]


def _runs(protocol: Protocol, side: str, sparsity: float, epochs: int) -> list[Unit]:
    """Return the runs of all seeds."""
    return [run(protocol, side, sparsity, seed, epochs) for seed in protocol.seeds]


def _pairs(protocol: Protocol, sparsity: float) -> list[tuple[Unit, Unit]]:
    """Return the runs of both sides, seed by seed."""
    ours, theirs = (_runs(protocol, side, sparsity, protocol.masked_epochs) for side in SIDES)
    return list(zip(ours, theirs, strict=True))


def _text(protocol: Protocol) -> list[str]:
    augmented = "Images are shifted by up to four pixels and flipped. " if protocol.augment else ""
    sides = (
        "The same network is trained by nerva, whose sparse layers hold their weights as CSR alone, and by PyTorch, "
        "with dense weights and a mask of 0 and 1 on their gradients. Both begin with the same weights on the same "
        "support, and take the same batches of the same augmented images, bit for bit, in the same order."
    )
    how = (
        f"Supports are drawn uniformly, layers get weights by Erdos-Renyi; weights begin as Xavier's, uniform "
        "to the square root of 6 by inputs and outputs (the original's logs: of 1 by inputs), biases at zero. "
        f"{augmented}Nesterov's method with momentum {protocol.momentum:g}, batches of {protocol.batch_size}; the rate "
        f"is 0.1, 0.03 or 0.01 by sparsity, as in the original's script, and a tenth of it after half and after three "
        f"quarters of the epochs. Accuracy is that on the test images after the last epoch, whatever came before."
    )
    if protocol.epochs == protocol.masked_epochs:
        return [sides, how]
    longer = (
        f"Both sides were trained for {protocol.masked_epochs} epochs, and nerva alone for {protocol.epochs} as well: "
        "only those compare with the original's logs, which are of 100 epochs of the official CIFAR-10."
    )
    return [sides, how, longer]


def _by_sparsity(protocol: Protocol, folder: Path) -> Picture:
    figure, axes = figures.new("test accuracy, %")
    figures.over_sparsity(axes, _sparsities(protocol))
    longer = protocol.epochs != protocol.masked_epochs
    series: list[tuple[str, str | int, int, str]] = [
        (side, NAMES[side], protocol.masked_epochs, f"{NAMES[side]}, {protocol.masked_epochs} epochs") for side in SIDES
    ]
    if longer:
        series.append(("nerva", 2, protocol.epochs, f"nerva, {protocol.epochs} epochs"))
    for side, look, epochs, label in series:
        found = {s: finals(folder, _runs(protocol, side, s, epochs)) for s in _sparsities(protocol)}
        found = {sparsity: values for sparsity, values in found.items() if values}
        low, high = ([bound(values) for values in found.values()] for bound in (min, max))
        figures.line(axes, list(found), [mean(v) for v in found.values()], look, label=label, low=low, high=high)
    known = [sparsity for sparsity in protocol.sparsities if sparsity in LOGS]
    for i, name in enumerate(("Nerva", "PyTorch")):
        axes.plot(known, [LOGS[s][i] for s in known], "+x"[i], color="grey", ms=6, label=f"original's logs, {name}")
    figures.legend(axes)
    return Picture(
        "accuracy",
        figure,
        f"Test accuracy by sparsity: mean of seeds {listed([str(seed) for seed in protocol.seeds])}, bands from the "
        f"lowest to the highest. Grey: the original's logs, 100 epochs, official CIFAR-10. Here: {protocol.label}.",
    )


def _by_epoch(protocol: Protocol, folder: Path) -> Picture:
    sparsities = _sparsities(protocol)
    columns = min(4, len(sparsities))
    rows = -(-len(sparsities) // columns)
    figure, grid = figures.new(rows=rows, columns=columns, width=2.0 * columns + 0.6, height=1.8 * rows + 0.4)
    panels = [grid] if rows == columns == 1 else list(grid.flat)
    for axes, sparsity in zip_longest(panels, sparsities):
        if sparsity is None:
            axes.set_visible(False)
            continue
        axes.set(title=figures.percent(sparsity), xlabel="epoch", ylabel="test accuracy, %")
        axes.label_outer()
        for side in SIDES:
            curves = _curves(folder, _runs(protocol, side, sparsity, protocol.masked_epochs))
            if curves:
                style = figures.look(NAMES[side]) | {"marker": ""}
                axes.plot(range(1, len(curves) + 1), curves, lw=1.3, label=NAMES[side], **style)
    if drawn := [axes for axes in panels if axes.lines]:
        figures.legend(drawn[0], fontsize=6.5)
    return Picture(
        "accuracy-epochs",
        figure,
        f"Test accuracy after each epoch, mean of the seeds, by sparsity: nerva (solid) and masked PyTorch (dashed) "
        f"from the same weights on the same batches. {protocol.label}.",
    )


def _curves(folder: Path, runs: Sequence[Unit]) -> list[float]:
    """Return the mean accuracy in percent after each epoch, of the runs that are done."""
    done = [found["accuracy"] for unit in runs if (found := result(folder, unit)) is not None]
    return [100 * mean(values) for values in zip(*done, strict=True)]


def _table(protocol: Protocol, folder: Path) -> Table:
    both, longer = protocol.masked_epochs, protocol.epochs != protocol.masked_epochs
    header = ["sparsity", f"nerva, {both} epochs", f"masked PyTorch, {both} epochs", "difference, points"]
    header += [f"nerva, {protocol.epochs} epochs"] if longer else []
    rows = []
    for sparsity in _sparsities(protocol):
        cells = [with_range(finals(folder, _runs(protocol, side, sparsity, both))) for side in SIDES]
        apart = differences(folder, _pairs(protocol, sparsity))
        cells.append(points(mean_interval(apart)) if len(apart) > 1 else f"{apart[0]:+.2f}" if apart else "-")
        if longer:
            cells.append(with_range(finals(folder, _runs(protocol, "nerva", sparsity, protocol.epochs))))
        logs = [f"{value:.1f}" for value in LOGS[sparsity]] if sparsity in LOGS else ["-", "-"]
        rows.append([figures.percent(sparsity), *cells, *logs])
    return Table(
        f"Test accuracy in %, mean (lowest to highest) of seeds {listed([str(seed) for seed in protocol.seeds])}; "
        "nerva less PyTorch from the same weights on the same batches, with its 95 % interval; and the original's logs "
        f"(100 epochs, official CIFAR-10). Here: {protocol.label}.",
        [*header, "logs: Nerva", "logs: PyTorch"],
        rows,
    )


def _claim(protocol: Protocol, folder: Path) -> Claim | None:
    """Compare what the paper says with all pairs of runs; None where less than two are done."""
    apart = {s: differences(folder, _pairs(protocol, s)) for s in protocol.sparsities}
    apart = {sparsity: values for sparsity, values in apart.items() if values}
    pooled = [value for values in apart.values() for value in values]
    if len(pooled) < 2:
        return None
    test, means = tost(pooled, MARGIN), [mean(values) for values in apart.values()]
    verdict: Verdict = "open"
    if test.equivalent:
        verdict = "holds" if max(map(abs, means)) < MARGIN else "holds in part"
    elif test.interval.low > MARGIN or test.interval.high < -MARGIN:
        verdict = "does not hold"
    return Claim(
        "Nerva and PyTorch with masks reach equivalent accuracies at all sparsities.",
        f"nerva less masked PyTorch, from the same weights on the same batches for {protocol.masked_epochs} epochs, is "
        f"{points(test.interval)} points of test accuracy (95 % interval of {len(pooled)} pairs at sparsities from "
        f"{figures.percent(min(apart))} to {figures.percent(max(apart))}); means by sparsity lie between "
        f"{min(means):+.2f} and {max(means):+.2f}",
        verdict,
    )
