"""Paired measurements: peers take short turns, one after the other, and are compared round by round.

A round begins when no other process uses the cores that the peers need. Contention slows some peers far more than
others, so a round with contention is dropped and repeated while the patience lasts.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from statistics import median, quantiles
from typing import NamedTuple

from harness.peer import Peer, supported
from harness.workers import Times, Worker, contention

TURN = 0.15  # seconds of repetitions in a turn
ROUNDS = 9  # turns of each peer that count
MIN_ROUNDS = 3  # undisturbed rounds that suffice, without any disturbed one, when the patience is over
PATIENCE = 60.0  # seconds after which disturbed rounds are not repeated
MIN_REPETITIONS, MAX_REPETITIONS = 5, 1000  # in a turn, if one repetition is shorter than the turn
MIN_LONG_REPETITIONS = 2  # in a turn, if one repetition is longer
BUDGET = 20.0  # seconds of turns for one workload; slow ones get fewer rounds, but at least MIN_ROUNDS
DISTURBED = 0.2  # cores taken by other processes above which a round is disturbed


class Result(NamedTuple):
    """A peer's median time, and the ratio of its time to the first peer's: median and quartiles over the rounds."""

    peer: type[Peer]
    seconds: float
    ratio: float
    low: float
    high: float


class Measurement(NamedTuple):
    """The results, the first peer's first, and the fraction of their rounds that was disturbed.

    `left_out` has the reason for each peer that cannot do the workload, by name.
    """

    results: list[Result]
    disturbed: float
    threads: int
    left_out: dict[str, str]


class Pairs(AbstractContextManager["Pairs"]):
    """Peers in their processes, measured against each other with the same number of threads."""

    def __init__(self, threads: int, rounds: int = ROUNDS, patience: float = PATIENCE) -> None:
        self.threads, self.rounds, self.patience = threads, rounds, patience
        self._workers: dict[type[Peer], Worker] = {}

    def measure(self, peers: Sequence[type[Peer]], work: object) -> Measurement:
        """Return a result for each peer that can do the workload; ratios are relative to the first."""
        peers, left_out = supported(peers, work)
        counts, seconds = zip(*(self._prepare(peer, work) for peer in peers), strict=True)
        wanted = min(self.rounds, max(MIN_ROUNDS, int(BUDGET / sum(seconds))))
        rounds: list[list[Times]] = []
        until, clean = time.monotonic() + self.patience, 0
        while clean < wanted and (len(rounds) < wanted or time.monotonic() < until):
            while contention(self.threads) > DISTURBED and time.monotonic() < until:
                pass
            # Every other round runs in reverse order, so that no peer profits from its place in the order.
            direction = 1 if len(rounds) % 2 == 0 else -1
            turns = list(zip(peers, counts, strict=True))[::direction]
            times = [self._workers[peer].times(peer.timed, count, self.threads) for peer, count in turns]
            rounds.append(times[::direction])
            clean += _contention(times) <= DISTURBED
        best = sorted(rounds, key=_contention)[: clean if clean >= MIN_ROUNDS else wanted]
        disturbed = sum(_contention(times) > DISTURBED for times in best) / len(best)
        columns = [[median(turn.seconds) for turn in column] for column in zip(*best, strict=True)]
        columns = [[s / peer.fraction for s in column] for peer, column in zip(peers, columns, strict=True)]
        results = [_compare(peer, column, columns[0]) for peer, column in zip(peers, columns, strict=True)]
        return Measurement(results, disturbed, self.threads, left_out)

    def _prepare(self, peer: type[Peer], work: object) -> tuple[int, float]:
        """Send the workload to the peer; return the repetitions in a turn, and the seconds they take."""
        if peer not in self._workers:
            self._workers[peer] = Worker()
        worker = self._workers[peer]
        worker.make(peer, work, self.threads)
        fastest = min(worker.times(peer.timed, MIN_LONG_REPETITIONS, self.threads).seconds)
        if fastest < TURN:
            fastest = min(worker.times(peer.timed, MIN_REPETITIONS, self.threads).seconds)
        if fastest > TURN:
            return MIN_LONG_REPETITIONS, MIN_LONG_REPETITIONS * fastest
        count = max(MIN_REPETITIONS, min(MAX_REPETITIONS, round(TURN / fastest)))
        return count, count * fastest

    def close(self) -> None:
        """End the processes."""
        while self._workers:
            self._workers.popitem()[1].close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _contention(times: Sequence[Times]) -> float:
    return max(turn.contention for turn in times)


def _compare(peer: type[Peer], theirs: list[float], ours: list[float]) -> Result:
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return Result(peer, median(theirs), middle, low, high)
