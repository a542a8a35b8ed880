"""Seconds of an epoch of training, measured in rounds: nerva's whole epochs of `fit` beside some steps of PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nerva.experiments import ram
from nerva.experiments.paper.peers import (
    START,
    WARM_UP,
    Nerva,
    Torch,
    dense_weights,
    nerva_seconds,
    once,
    started,
    torch_seconds,
)
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.units import Record, Unit
from nerva.experiments.rounds import Round, Spread, counted, in_turns, ratio, seconds

MAKING = 3e-8  # estimated seconds of a dense weight until PyTorch's network is made
NAMES = {"nerva": "nerva", "masked": "masked PyTorch", "dense": "dense PyTorch"}  # of the sides


def unit(name: str, network: Record, *, sides: Sequence[str], steps: int, threads: Sequence[int], rounds: int) -> Unit:
    """Return the unit that times an epoch of a network, as of `peers.setting`.

    Parameters
    ----------
    sides : of NAMES, "nerva" first
    steps : of PyTorch in a turn, at most those of an epoch; its time is scaled
    threads : numbers of threads; each side has a turn with each of them in a round
    """
    every = steps_of(network)
    some = min(steps, every)
    settings = network | {"sides": list(sides), "steps": some, "threads": list(threads), "rounds": rounds}
    sizes, batch, each = network["sizes"], network["batch_size"], 0.0
    for count in threads:
        each += nerva_seconds(sizes, network["sparsity"], batch, every, count)
        each += (len(sides) - 1) * torch_seconds(sizes, batch, some + WARM_UP, count)
    return Unit(name, measure, settings, alone=True, cost=2 * START + MAKING * dense_weights(sizes) + rounds * each)


def steps_of(network: Record) -> int:
    """Return the steps of an epoch."""
    samples, batch = int(network["samples"]), int(network["batch_size"])
    return math.ceil(samples / batch)


def threads_of(protocol: Protocol) -> list[int]:
    """Return the numbers of threads that are timed: one, and all of the protocol's."""
    return sorted({1, protocol.threads})


def measure(settings: Record, folder: Path) -> Record:
    """Return the rounds of turns, which are called such as "nerva/2": by side and number of threads.

    PyTorch is left out, and the reason is in the record, where "masked bytes" of the settings are not free.
    """
    every, some = steps_of(settings), settings["steps"]
    others, result = settings["sides"][1:], {}
    if (needed := settings.get("masked bytes", 0)) > (free := ram.free()):
        others, result = [], {"left out": f"needs {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB were free"}
    with started((Nerva, settings), *[(Torch, settings)] * bool(others)) as workers:
        runs = {}
        for threads in settings["threads"]:
            runs[f"nerva/{threads}"] = once(workers[0], "epoch", threads, every)
            for side in others:
                runs[f"{side}/{threads}"] = once(workers[1], side, threads, some, part=some / every)
        return {**result, "rounds": in_turns(runs, settings["rounds"])}


class Epochs(NamedTuple):
    """The rounds that count of the sides with a number of threads, and what is told of them."""

    rounds: list[Round]
    told: str
    quiet: bool
    threads: int

    def seconds(self, side: str) -> Spread:
        """Return the seconds of an epoch."""
        return seconds(self.rounds, f"{side}/{self.threads}")

    def ratio(self, side: str) -> Spread:
        """Return how many times as long as nerva a side takes, round by round."""
        return ratio(self.rounds, f"{side}/{self.threads}", f"nerva/{self.threads}")


def epochs(result: Record, sides: Sequence[str], threads: int) -> Epochs:
    """Return the rounds of a result that count for these sides with so many threads."""
    return Epochs(*counted(result["rounds"], [f"{side}/{threads}" for side in sides], threads), threads)
