"""Part `cause`: whether truly sparse training is more accurate than masked training, or an implementation was."""

from __future__ import annotations

from pathlib import Path

from nerva.experiments.paper import figures, twice
from nerva.experiments.paper.accuracies import LOGS, differences, listed, missing, points
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.sections import Claim, Section, Table, Verdict
from nerva.experiments.paper.statistics import Equivalence, tost
from nerva.experiments.paper.training import SIDES, run
from nerva.experiments.paper.trajectories import STEPS, of_steps, steps_picture, steps_table, trajectory
from nerva.experiments.paper.units import Unit

TITLE = "Truly sparse or masked: the cause of the difference"
MARGIN = 0.5  # points of accuracy that would matter
HIGH = 0.99  # the sparsity from which on the paper asks
SAME = 1e-10  # relative distance of weights in float64 below which two computations are the same but for rounding


def units(protocol: Protocol) -> list[Unit]:
    """Return the runs: trajectories of both sides, both sides for `masked_epochs`, and the mask drawn twice."""
    made = []
    for sparsity in protocol.cause_sparsities:
        for seed in protocol.cause_seeds:
            made += [trajectory(protocol, sparsity, seed, dtype) for dtype in STEPS]
            made += [run(protocol, side, sparsity, seed, protocol.masked_epochs) for side in SIDES]
    return list({unit.name: unit for unit in [*made, *twice.units(protocol)]}.values())


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the part of the report, from the records that are there."""
    tests, drawn = _tests(protocol, folder), twice.sparsities(protocol)
    tables = [steps_table(protocol, folder), _table(protocol, tests)]
    return Section(
        TITLE,
        "nerva reproduce paper --part cause",
        text=_text(protocol, folder),
        pictures=[steps_picture(protocol, folder), *([twice.picture(protocol, folder)] if drawn else [])],
        tables=[*tables, *([twice.table(protocol, folder)] if drawn else [])],
        claims=_claims(protocol, folder, tests),
        answer=_answer(protocol, folder, tests),
        missing=missing(folder, units(protocol)),
    )


def _text(protocol: Protocol, folder: Path) -> list[str]:
    question = (
        "The paper leaves it open whether truly sparse training is more accurate than masked training at 99 % sparsity "
        "and more, or whether the two implementations differ. On paper both compute the same: with masks, weights off "
        "the support begin at zero and stay there. So here both begin with the same weights, take the same batches, "
        "and are compared step by step, in float64, too, where rounding hardly shows; and then by their accuracies."
    )
    test = (
        f"Accuracies are compared in pairs by two one-sided t-tests (TOST), with a margin of {MARGIN:g} points: the "
        "two are equivalent at 5 % where the 90 % interval of the mean difference lies within the margin. What is left "
        "is chance: rounding differs, and makes other runs of the same distribution out of the same start."
    )
    return [question, _rounding(protocol, folder), test, twice.EXPLANATION]


def _rounding(protocol: Protocol, folder: Path) -> str:
    apart = _furthest(protocol, folder)
    if apart is None:
        return "The steps in float64 are not done yet."
    word = "the same but for rounding" if apart < SAME else "not the same"
    return (
        f"After {STEPS['float64']} steps in float64 the weights are {apart:.0e} of their norm apart at most, over all "
        f"sparsities and seeds: what both compute is {word}."
    )


def _furthest(protocol: Protocol, folder: Path) -> float | None:
    """Return the largest relative distance of the weights in float64, None where no run is done."""
    runs = (each for s in protocol.cause_sparsities for each in of_steps(protocol, folder, s, "float64"))
    return max((max(each["apart"]) for each in runs), default=None)


def _tests(protocol: Protocol, folder: Path) -> dict[tuple[float, ...], Equivalence]:
    """Return the tests of each sparsity, and of several together, by sparsities; those with two pairs at least."""
    found: dict[tuple[float, ...], list[float]]
    found = {(sparsity,): differences(folder, _pairs(protocol, sparsity)) for sparsity in protocol.cause_sparsities}
    for several in (_asked(protocol), protocol.cause_sparsities):
        found[tuple(several)] = [value for sparsity in several for value in found[(sparsity,)]]
    return {which: tost(values, MARGIN) for which, values in found.items() if len(values) > 1}


def _pairs(protocol: Protocol, sparsity: float) -> list[tuple[Unit, Unit]]:
    """Return the runs of both sides, seed by seed."""
    ours, theirs = (
        [run(protocol, side, sparsity, seed, protocol.masked_epochs) for seed in protocol.cause_seeds] for side in SIDES
    )
    return list(zip(ours, theirs, strict=True))


def _asked(protocol: Protocol) -> tuple[float, ...]:
    """Return the sparsities that the paper asks about."""
    return tuple(sparsity for sparsity in protocol.cause_sparsities if sparsity >= HIGH)


def _table(protocol: Protocol, tests: dict[tuple[float, ...], Equivalence]) -> Table:
    rows = []
    for which, test in tests.items():
        name = figures.percent(which[0]) if len(which) == 1 else f"{figures.percent(min(which))} and above, all runs"
        ninety = f"{test.low:+.2f} to {test.high:+.2f}"
        ninety_five = f"{test.interval.low:+.2f} to {test.interval.high:+.2f}"
        p = "< 0.0001" if test.p < 1e-4 else f"{test.p:.4f}"
        verdict = "yes" if test.equivalent else "not shown"
        rows.append([name, str(test.count), f"{test.interval.value:+.2f}", ninety, ninety_five, p, verdict])
    return Table(
        f"Test accuracy of nerva less that of masked PyTorch after {protocol.masked_epochs} epochs, in points, from "
        f"the same weights on the same batches: paired test of equivalence (TOST) with a margin of {MARGIN:g} points. "
        f"{protocol.label}.",
        ("sparsity", "pairs", "mean difference", "90 % interval", "95 % interval", "p", "equivalent"),
        rows,
    )


def _claims(protocol: Protocol, folder: Path, tests: dict[tuple[float, ...], Equivalence]) -> list[Claim]:
    claims, test = [], _high(protocol, tests)
    equivalent = test is not None and test.equivalent
    if test is not None:
        verdict: Verdict = "open"
        if test.equivalent or test.interval.high < 0:
            verdict = "does not hold"
        elif test.interval.low > 0:
            verdict = "holds"
        says = "Truly sparse training may be more accurate than masked training at 99 % sparsity and more: open."
        claims.append(Claim(says, f"from the same start, nerva less masked PyTorch is {_found(test)}", verdict))
    if gaps := twice.gaps(protocol, folder):
        logs = _listed({sparsity: LOGS[sparsity][0] - LOGS[sparsity][1] for sparsity in gaps})
        found = (
            f"a mask drawn twice, as in the script of these logs, costs {_listed(gaps)} after {protocol.epochs} epochs"
        )
        if biased := twice.gaps(protocol, folder, "twice-biased"):
            found += f", and {_listed(biased)} with the biases of nn.Linear"
        found += "; with one mask the two are equivalent" if equivalent else ""
        says = f"Nerva is more accurate than masked PyTorch, in the original's logs by {logs}."
        claims.append(Claim(says, found, "does not hold" if equivalent else "open"))
    return claims


def _high(protocol: Protocol, tests: dict[tuple[float, ...], Equivalence]) -> Equivalence | None:
    """Return the test of all sparsities that the paper asks about; None where it has too few runs."""
    return tests.get(_asked(protocol))


def _found(test: Equivalence) -> str:
    equivalent = f"equivalent within {MARGIN:g} points, p {'< 0.0001' if test.p < 1e-4 else f'= {test.p:.4f}'}"
    return (
        f"{points(test.interval)} points of accuracy (95 % interval of {test.count} pairs; "
        f"{equivalent if test.equivalent else f'equivalence within {MARGIN:g} points is not shown'})"
    )


def _listed(gaps: dict[float, float]) -> str:
    values, where = [f"{gap:.1f}" for gap in gaps.values()], [figures.percent(sparsity) for sparsity in gaps]
    return f"{listed(values)} points at {listed(where)}"


def _answer(protocol: Protocol, folder: Path, tests: dict[tuple[float, ...], Equivalence]) -> str:
    if (test := _high(protocol, tests)) is None:
        return ""
    if test.equivalent:
        better = "Truly sparse training is as accurate as masked training"
    elif test.interval.low > 0:
        better = "Truly sparse training is more accurate than masked training"
    elif test.interval.high < 0:
        better = "Truly sparse training is less accurate than masked training"
    else:
        better = "Whether truly sparse training is as accurate as masked training is not decided by these runs"
    gaps = twice.gaps(protocol, folder)
    drawn = f"; a mask drawn twice, as in the original's baseline, costs {_listed(gaps)}" if gaps else ""
    biased = twice.gaps(protocol, folder, "twice-biased")
    drawn += f", and {_listed(biased)} with the biases of nn.Linear" if biased else ""
    return f"{better} at 99 % sparsity and more: the difference is {_found(test)}{drawn}."
