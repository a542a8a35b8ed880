"""Part `inference`: milliseconds of a prediction of 1 and of 100 samples, nerva beside PyTorch, at each sparsity."""

from __future__ import annotations

from pathlib import Path

from nerva.experiments.paper import figures
from nerva.experiments.paper.epochs import threads_of
from nerva.experiments.paper.peers import START, Nerva, Torch, repeated, setting, started
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.reference import INFERENCE, LOGS
from nerva.experiments.paper.results import number, results, rounds_told, spread_line, threads_told, times
from nerva.experiments.paper.sections import Claim, Picture, Section, Table, Verdict
from nerva.experiments.paper.units import Record, Unit
from nerva.experiments.rounds import Round, Spread, counted, in_turns, ratio, seconds

TITLE = "Time of inference"
BATCHES = (1, 100)
SAMPLES = 10_000  # of noise; as many as the test set has
TURN = 0.15  # seconds
SIDES = ("nerva", "PyTorch")


def units(protocol: Protocol) -> list[Unit]:
    """Return a unit for each sparsity, and one for the dense network, with all batches and numbers of threads."""
    made = []
    for sparsity in (0.0, *protocol.sparsities):
        settings = setting(protocol.sizes, sparsity, protocol.batch_size, min(SAMPLES, protocol.samples or SAMPLES))
        settings |= {"rounds": protocol.rounds, "threads": threads_of(protocol), "batches": list(BATCHES)}
        turns = len(settings["threads"]) * len(BATCHES) * len(SIDES)
        cost = 2 * START + (protocol.rounds + 1) * turns * 1.2 * TURN
        made.append(Unit(_name(sparsity), measure, settings, alone=True, cost=cost))
    return made


def measure(settings: Record, folder: Path) -> Record:
    """Return the rounds of turns, which are called such as "nerva/2/100": by side, number of threads and batch."""
    with started((Nerva, settings), (Torch, settings)) as workers:
        runs = {
            f"{side}/{threads}/{batch}": repeated(worker, "predict", threads, batch, turn=TURN)
            for threads in settings["threads"]
            for batch in settings["batches"]
            for side, worker in zip(SIDES, workers, strict=True)
        }
        return {"rounds": in_turns(runs, settings["rounds"])}


class Times:
    """The times of a sparsity that count, with a number of threads, and what is told of the rounds."""

    def __init__(self, result: Record, threads: int, batch: int) -> None:
        self._names = [f"{side}/{threads}/{batch}" for side in SIDES]
        self.rounds: list[Round]
        self.rounds, self.told, self.quiet = counted(result["rounds"], self._names, threads)

    def seconds(self, side: str) -> Spread:
        """Return the seconds of a prediction."""
        return seconds(self.rounds, self._names[SIDES.index(side)])

    @property
    def ratio(self) -> Spread:
        """How many times as long as nerva PyTorch takes, round by round."""
        return ratio(self.rounds, self._names[1], self._names[0])


def section(protocol: Protocol, folder: Path) -> Section:
    """Return the section: milliseconds, ratios, the original's logs, and whether the paper's claim holds."""
    found = results(folder, units(protocol))
    done = {s: found.results[_name(s)] for s in (0.0, *protocol.sparsities) if _name(s) in found.results}
    return Section(
        TITLE,
        "nerva reproduce paper --part inference",
        text=[
            "`model.predict` of nerva on rows of a float32 array, beside PyTorch's model in inference mode on rows of "
            "a tensor, with argmax. Masked weights are dense ones at inference, so PyTorch takes the same time at "
            "every sparsity. Samples are the next ones of noise in each call; a turn is as many calls as take "
            f"{TURN} s, and their median counts.",
            rounds_told(protocol.rounds),
        ],
        pictures=[_picture(done, protocol.threads)] if done else [],
        tables=[_table(protocol, done, batch, threads) for batch in BATCHES for threads in threads_of(protocol)]
        if done
        else [],
        claims=_claims(done, protocol.threads),
        answer=_answer(done, protocol.threads),
        missing=found.missing,
    )


def _name(sparsity: float) -> str:
    return f"inference-{sparsity:g}"


def _table(protocol: Protocol, done: dict[float, Record], batch: int, threads: int) -> Table:
    rows = []
    for sparsity, result in done.items():
        own = Times(result, threads, batch)
        milliseconds = [number(1e3 * own.seconds(side).median) for side in SIDES]
        logged = INFERENCE[batch].get(sparsity)
        old = ["", "", ""] if logged is None else [*map(number, logged), number(logged[1] / logged[0])]
        rows.append([figures.percent(sparsity), *milliseconds, times(own.ratio), own.told, *old])
    header = ["sparsity", "nerva, ms", "PyTorch, ms", "PyTorch : nerva", "rounds that count"]
    header += ["original, ms", "its PyTorch, ms", "their ratio"]
    caption = (
        f"Milliseconds of a prediction of {batch} sample{'s' * (batch > 1)} (noise), "
        f"{'-'.join(map(str, protocol.sizes))}, {threads_told(threads)}. Last columns: {LOGS}."
    )
    return Table(caption, header, rows)


def _picture(done: dict[float, Record], threads: int) -> Picture:
    figure, both = figures.new("milliseconds", columns=len(BATCHES), width=9.0, height=3.8)
    for axes, batch in zip(both, BATCHES, strict=True):
        figures.over_sparsity(axes, list(done))
        axes.set(yscale="log", title=f"{batch} sample{'s' * (batch > 1)}")
        for side, series in (("nerva", "nerva"), ("PyTorch", "masked PyTorch")):
            own = [Times(result, threads, batch).seconds(side) for result in done.values()]
            spread_line(axes, done, [Spread(*(1e3 * s for s in each)) for each in own], series)
        logged = {s: INFERENCE[batch][s][0] for s in done if s in INFERENCE[batch]}
        figures.line(axes, list(logged), list(logged.values()), "original", label="original (its logs)")
        figures.legend(axes)
    caption = (
        f"Milliseconds of a prediction over sparsity, {threads_told(threads)}: of one sample (left) and of a hundred "
        "(right). Bands are the range of the rounds."
    )
    return Picture("inference", figure, caption)


def _claims(done: dict[float, Record], threads: int) -> list[Claim]:
    high = {s: result for s, result in done.items() if s >= 0.95}
    if not high:
        return []
    own = {(s, batch): Times(result, threads, batch) for s, result in high.items() for batch in BATCHES}
    spreads = {key: each.ratio for key, each in own.items()}
    faster = [spread.least > 1 for spread in spreads.values()]
    verdict: Verdict = "holds" if all(faster) else "holds in part" if any(faster) else "does not hold"
    if not all(each.quiet for each in own.values()):
        verdict = "open"
    found = "; ".join(f"{figures.percent(s)}, {batch}: {times(spread)}" for (s, batch), spread in spreads.items())
    found = f"PyTorch takes so many times as long as nerva, by sparsity and batch: {found} ({threads_told(threads)})"
    return [Claim("Inference is faster than PyTorch's at 95 % sparsity and above.", found, verdict)]


def _answer(done: dict[float, Record], threads: int) -> str:
    if not any(done):
        return ""
    told = []
    for batch in BATCHES:
        own = [f"{number(Times(r, threads, batch).ratio.median)} at {figures.percent(s)}" for s, r in done.items() if s]
        told.append(f"for {batch} sample{'s' * (batch > 1)} {', '.join(own)}")
    return f"PyTorch takes so many times as long as nerva to predict: {'; '.join(told)} ({threads_told(threads)})."
