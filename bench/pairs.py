"""Paired measurements: peers take short turns, one after the other, and are compared round by round.

A round begins when no other process uses the cores the peers need. One during which others did says little: contention
slows some peers far more than others, so it is dropped and taken again while the patience lasts.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from statistics import median, quantiles
from typing import NamedTuple

from peers import Peer, able
from workers import Times, Worker, taken

TURN = 0.15  # seconds of repetitions in a turn
ROUNDS = 9  # turns of each peer that count
ENOUGH = 3  # undisturbed rounds with which disturbed ones are done without, once patience is at its end
PATIENCE = 60.0  # seconds after which disturbed rounds are not taken again
LEAST, MOST = 5, 1000  # repetitions in a turn, where each is shorter than that
FEWEST = 2  # repetitions of what takes longer than a turn
BUDGET = 20.0  # seconds of turns on one piece of work; slow work gets fewer rounds, but as many as are ENOUGH
DISTURBED = 0.2  # cores taken by others


class Result(NamedTuple):
    """A peer's median time, and how many times longer than the first peer it takes: median and quartiles of rounds."""

    peer: type[Peer]
    seconds: float
    ratio: float
    low: float
    high: float


class Measurement(NamedTuple):
    """The results, that of the first peer first, and the fraction of the rounds behind them that was disturbed.

    `left_out` says by name why a peer could not do the work.
    """

    results: list[Result]
    disturbed: float
    threads: int
    left_out: dict[str, str]


class Pairs(AbstractContextManager["Pairs"]):
    """Peers in their processes, measured against each other with so many threads each."""

    def __init__(self, threads: int, rounds: int = ROUNDS, patience: float = PATIENCE) -> None:
        self.threads, self.rounds, self.patience = threads, rounds, patience
        self._workers: dict[type[Peer], Worker] = {}

    def measure(self, peers: Sequence[type[Peer]], work: object) -> Measurement:
        """Return a result for each peer that can do the work, the first being what the others are compared to."""
        peers, left_out = able(peers, work)
        counts, seconds = zip(*(self._prepare(peer, work) for peer in peers), strict=True)
        wanted = min(self.rounds, max(ENOUGH, int(BUDGET / sum(seconds))))
        rounds: list[list[Times]] = []
        until, clean = time.monotonic() + self.patience, 0
        while clean < wanted and (len(rounds) < wanted or time.monotonic() < until):
            while taken(self.threads) > DISTURBED and time.monotonic() < until:
                pass
            forth = 1 if len(rounds) % 2 == 0 else -1
            turns = list(zip(peers, counts, strict=True))[::forth]
            times = [self._workers[peer].times(peer.timed, count, self.threads) for peer, count in turns]
            rounds.append(times[::forth])
            clean += _taken(times) <= DISTURBED
        best = sorted(rounds, key=_taken)[: clean if clean >= ENOUGH else wanted]
        disturbed = sum(_taken(times) > DISTURBED for times in best) / len(best)
        columns = [[median(turn.seconds) for turn in column] for column in zip(*best, strict=True)]
        columns = [[s / peer.share for s in column] for peer, column in zip(peers, columns, strict=True)]
        results = [_compare(peer, column, columns[0]) for peer, column in zip(peers, columns, strict=True)]
        return Measurement(results, disturbed, self.threads, left_out)

    def _prepare(self, peer: type[Peer], work: object) -> tuple[int, float]:
        """Give the peer its work, and return how many repetitions make a turn, and how many seconds they take."""
        if peer not in self._workers:
            self._workers[peer] = Worker()
        worker = self._workers[peer]
        worker.make(peer, work, self.threads)
        fastest = min(worker.times(peer.timed, FEWEST, self.threads).seconds)
        if fastest < TURN:
            fastest = min(worker.times(peer.timed, LEAST, self.threads).seconds)
        count = FEWEST if fastest > TURN else max(LEAST, min(MOST, round(TURN / fastest)))
        return count, count * fastest

    def close(self) -> None:
        """End the processes."""
        while self._workers:
            self._workers.popitem()[1].close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _taken(times: Sequence[Times]) -> float:
    return max(turn.taken for turn in times)


def _compare(peer: type[Peer], theirs: list[float], ours: list[float]) -> Result:
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return Result(peer, median(theirs), middle, low, high)
