"""Paired measurements: peers take short turns, one after the other, and are compared round by round.

A round has a turn of each peer with each number of threads. It is dropped only if another process ran on the cores of a
turn: contention slows some peers far more than others. No round is dropped because it was slow. Rounds in which the
cores were near, far apart, or changed between them are not mixed: each has medians of its own.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from statistics import median, quantiles
from typing import Literal, NamedTuple, get_args

from harness.peer import Peer, supported
from nerva.experiments.cores import Distance, distance
from nerva.experiments.rounds import DISTURBED
from nerva.experiments.workers import Worker

Apart = Distance | Literal["mixed"]  # in a round or turn; mixed: it changed meanwhile
APART: tuple[Apart, ...] = (*get_args(Distance), "mixed")

TURN = 0.15  # seconds of repetitions in a turn
ROUNDS = 9  # undisturbed rounds, of each number of threads
MIN_ROUNDS = 3  # of these, however slow
PATIENCE = 60.0  # seconds after which disturbed rounds are not repeated
MIN_REPETITIONS, MAX_REPETITIONS = 5, 5000  # in a turn, if one repetition is shorter than the turn
MIN_LONG_REPETITIONS = 2  # in a turn, if one repetition is longer
BUDGET = 20.0  # seconds of turns for one workload; slow ones get fewer rounds, but at least MIN_ROUNDS


class Turn(NamedTuple):
    """A peer's median time, the cores that other processes took, and how far apart the cores were."""

    seconds: float
    contention: float
    apart: Apart


class Round(NamedTuple):
    """A turn of each peer with the same number of threads."""

    turns: list[Turn]

    @property
    def disturbed(self) -> bool:
        """Whether another process ran on the cores in one of the turns."""
        return max(turn.contention for turn in self.turns) > DISTURBED

    @property
    def apart(self) -> Apart:
        """How far apart the cores were in all of the turns."""
        found = {turn.apart for turn in self.turns}
        return found.pop() if len(found) == 1 else "mixed"


class Result(NamedTuple):
    """A peer's median time, and the ratio of its time to the first peer's: median and quartiles over the rounds."""

    peer: type[Peer]
    seconds: float
    ratio: float
    low: float
    high: float


class Group(NamedTuple):
    """The rounds in which the cores were equally far apart: the results, the first peer's first.

    `rounds` is the number of all of them, and `disturbed` of those in which another process ran. These do not count,
    unless there are no others.
    """

    apart: Apart
    rounds: int
    disturbed: int
    results: list[Result]


class Measurement(NamedTuple):
    """The results with a number of threads, near and far apart.

    `left_out` has the reason for each peer that cannot do the workload, by name.
    """

    threads: int
    groups: list[Group]
    left_out: dict[str, str]


class Pairs(AbstractContextManager["Pairs"]):
    """Peers measured against each other, each in a process of its own for each number of threads."""

    def __init__(
        self, threads: Sequence[int], rounds: int = ROUNDS, patience: float = PATIENCE, budget: float = BUDGET
    ) -> None:
        self.threads, self.rounds, self.patience, self.budget = tuple(threads), rounds, patience, budget
        self._workers: dict[tuple[type[Peer], int], Worker] = {}

    def measure(self, peers: Sequence[type[Peer]], work: object) -> list[Measurement]:
        """Return, for each number of threads, the results of each peer that can do the workload."""
        peers, left_out = supported(peers, work)
        turns = [(peer, threads) for peer in peers for threads in self.threads]
        for other in self._workers.keys() - set(turns):
            self._workers.pop(other).close()  # frees the memory of its data
        counts, seconds = zip(*(self._prepare(peer, work, threads) for peer, threads in turns), strict=True)
        wanted = min(self.rounds, max(MIN_ROUNDS, int(self.budget / sum(seconds))))
        found: dict[int, list[Round]] = {threads: [] for threads in self.threads}
        until, run = time.monotonic() + self.patience, 0
        while run < wanted or (_fewest_undisturbed(found) < wanted and time.monotonic() < until):
            # Every other round runs in reverse order, so that no peer profits from its place in the order.
            direction = 1 if run % 2 == 0 else -1
            order = list(zip(turns, counts, strict=True))[::direction]
            taken = {turn: self._turn(*turn, count, work) for turn, count in order}
            for threads, rounds in found.items():
                rounds.append(Round([taken[peer, threads] for peer in peers]))
            run += 1
        return [Measurement(threads, grouped(peers, rounds), left_out) for threads, rounds in found.items()]

    def _turn(self, peer: type[Peer], threads: int, count: int, work: object) -> Turn:
        before = distance()
        times = self._workers[peer, threads].times(peer.timed, count, threads, not peer.long)
        after = distance()
        seconds = median(times.seconds) / peer.fraction(work)
        return Turn(seconds, times.contention, before if before == after else "mixed")

    def _prepare(self, peer: type[Peer], work: object, threads: int) -> tuple[int, float]:
        """Send the workload to the peer; return the repetitions in a turn, and the seconds they take."""
        if (peer, threads) not in self._workers:
            self._workers[peer, threads] = Worker()
        worker = self._workers[peer, threads]
        worker.make(peer, work, threads)
        if peer.long:
            return 1, worker.times(peer.timed, 1, threads, False).seconds[0]
        fastest = min(worker.times(peer.timed, MIN_LONG_REPETITIONS, threads).seconds)
        if fastest < TURN:
            fastest = min(worker.times(peer.timed, MIN_REPETITIONS, threads).seconds)
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


def grouped(peers: Sequence[type[Peer]], rounds: Sequence[Round]) -> list[Group]:
    """Return the results of the rounds of the peers, for each distance of the cores that occurred."""
    groups = []
    for apart in APART:
        alike = [taken for taken in rounds if taken.apart == apart]
        if not alike:
            continue
        undisturbed = [taken for taken in alike if not taken.disturbed]
        by_peer = zip(*(taken.turns for taken in undisturbed or alike), strict=True)
        columns = [[turn.seconds for turn in turns] for turns in by_peer]
        results = [_compare(peer, column, columns[0]) for peer, column in zip(peers, columns, strict=True)]
        groups.append(Group(apart, len(alike), len(alike) - len(undisturbed), results))
    return groups


def _fewest_undisturbed(found: dict[int, list[Round]]) -> int:
    return min(sum(not taken.disturbed for taken in rounds) for rounds in found.values())


def _compare(peer: type[Peer], theirs: list[float], ours: list[float]) -> Result:
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else 3 * ratios
    return Result(peer, median(theirs), middle, low, high)
