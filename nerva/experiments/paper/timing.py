"""Part `timing`: seconds of an epoch of training, nerva beside masked and dense PyTorch, at each sparsity."""

from __future__ import annotations

import math
from pathlib import Path

from nerva.experiments.paper import figures
from nerva.experiments.paper.epochs import NAMES, Epochs, epochs, steps_of, threads_of, unit
from nerva.experiments.paper.peers import setting
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.reference import EPOCH, LOGS
from nerva.experiments.paper.results import at_least, number, results, rounds_told, spread_line, threads_told, times
from nerva.experiments.paper.sections import Claim, Picture, Section, Table, Verdict
from nerva.experiments.paper.units import Unit

TITLE = "Time of training"
SAMPLES = 50_000  # of the training set
PART, FEWEST = 0.1, 20  # of an epoch, and steps, that a turn of PyTorch has
SIDES = ("nerva", "masked", "dense")


def units(protocol: Protocol) -> list[Unit]:
    """Return a unit for each sparsity: rounds in which each side has a turn with one thread, and one with all."""
    made = []
    for sparsity in protocol.sparsities:
        samples = min(protocol.samples or SAMPLES, SAMPLES)
        network = setting(protocol.sizes, sparsity, protocol.batch_size, samples, protocol)
        steps = max(FEWEST, math.ceil(PART * steps_of(network)))
        threads = threads_of(protocol)
        made.append(unit(_name(sparsity), network, sides=SIDES, steps=steps, threads=threads, rounds=protocol.rounds))
    return made


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the section: seconds, ratios, what the original's logs say, and whether the paper's claims hold."""
    found = results(folder, units(protocol))
    by_threads = {
        threads: {
            s: epochs(found.results[_name(s)], SIDES, threads) for s in protocol.sparsities if _name(s) in found.results
        }
        for threads in threads_of(protocol)
    }
    most = by_threads[protocol.threads]
    return Section(
        TITLE,
        "nerva reproduce paper --part timing",
        text=_text(protocol),
        pictures=[_picture(most, protocol.threads)] if most else [],
        tables=[_table(protocol, done, threads) for threads, done in by_threads.items() if done],
        claims=_claims(most),
        answer=_answer(most, protocol.threads),
        missing=found.missing,
    )


def _name(sparsity: float) -> str:
    return f"timing-{sparsity:g}"


def _text(protocol: Protocol) -> list[str]:
    return [
        f"An epoch of `model.fit` on the samples of {protocol.label} in memory, without augmentation and evaluation, "
        f"batch {protocol.batch_size}, Nesterov. nerva trains whole epochs. PyTorch, in a process of its own, takes "
        f"{PART:.0%} of the steps of an epoch (at least {FEWEST}), and its time is scaled. Its samples were "
        "standardized in advance; nerva standardizes them in the epoch.",
        rounds_told(protocol.rounds),
    ]


def _table(protocol: Protocol, done: dict[float, Epochs], threads: int) -> Table:
    rows = []
    for sparsity, own in done.items():
        seconds = [number(own.seconds(side).median) for side in SIDES]
        ratios = [times(own.ratio(side)) for side in SIDES[1:]]
        logged = EPOCH.get(sparsity)
        old = ["", "", ""] if logged is None else [*map(number, logged), number(logged[1] / logged[0])]
        rows.append([figures.percent(sparsity), *seconds, *ratios, own.told, *old])
    header = ["sparsity", "nerva, s", "masked, s", "dense, s", "masked : nerva", "dense : nerva", "rounds that count"]
    header += ["original, s", "its masked PyTorch, s", "their ratio"]
    of_all = units(protocol)[0].settings
    caption = (
        f"Seconds of an epoch, {protocol.label}, {'-'.join(map(str, protocol.sizes))}, {threads_told(threads)}; "
        f"PyTorch's from {of_all['steps']} of {steps_of(of_all)} steps. Last columns: {LOGS}, {SAMPLES:,} samples."
    )
    return Table(caption, header, rows)


def _picture(done: dict[float, Epochs], threads: int) -> Picture:
    figure, (left, right) = figures.new(columns=2, width=9.0, height=3.8)
    for axes in (left, right):
        figures.over_sparsity(axes, list(done))
        axes.set_yscale("log")
    for side in SIDES:
        spread_line(left, done, [own.seconds(side) for own in done.values()], NAMES[side])
    for side in SIDES[1:]:
        spread_line(right, done, [own.ratio(side) for own in done.values()], NAMES[side])
    logged = {s: EPOCH[s] for s in done if s in EPOCH}
    if logged:
        theirs = [ours for ours, _ in logged.values()]
        ratios = [masked / ours for ours, masked in logged.values()]
        figures.line(left, list(logged), theirs, "original", label="original (its logs)")
        figures.line(right, list(logged), ratios, "original", label="masked : original (its logs)")
    right.axhline(1.0, color="black", lw=0.8)
    left.set_ylabel("seconds of an epoch")
    right.set_ylabel("times as long as nerva")
    figures.legend(left)
    figures.legend(right)
    caption = (
        f"Seconds of an epoch over sparsity, {threads_told(threads)} (left), and how many times as long as nerva "
        "PyTorch takes (right): above 1, nerva is faster. Bands are the range of the rounds."
    )
    return Picture("timing", figure, caption)


def _claims(done: dict[float, Epochs]) -> list[Claim]:
    claims = []
    if 0.99 in done:
        spread, told = done[0.99].ratio("masked"), threads_told(done[0.99].threads)
        found = f"{times(spread)} times as fast, {told}, rounds: {done[0.99].told}"
        says = "Training is 4 times as fast as masked PyTorch at 99 % sparsity."
        claims.append(Claim(says, found, at_least(spread, 4.0) if done[0.99].quiet else "open"))
    if 0.5 in done:
        spread, told = done[0.5].ratio("masked"), threads_told(done[0.5].threads)
        found = f"masked PyTorch takes {times(spread)} times as long as nerva, {told}, rounds: {done[0.5].told}"
        slower: Verdict = "holds" if spread.most < 1 else "does not hold" if spread.least > 1 else "holds in part"
        slower = slower if done[0.5].quiet else "open"
        claims.append(Claim("Training is slower than masked PyTorch at 50 % sparsity (in its logs).", found, slower))
    return claims


def _answer(done: dict[float, Epochs], threads: int) -> str:
    if not done:
        return ""
    told = ", ".join(f"{number(own.ratio('masked').median)} at {figures.percent(s)}" for s, own in done.items())
    return f"Masked PyTorch takes so many times as long as nerva for an epoch: {told} ({threads_told(threads)})."
