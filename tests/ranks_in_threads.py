"""Ranks that are threads of one process, to test what ranks compute without MPI."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

PATIENCE = 60.0


class Meeting:
    """Where the ranks exchange what they have: a place for each, and a barrier."""

    def __init__(self, size):
        self.size, self.places, self.barrier = size, [None] * size, threading.Barrier(size, timeout=PATIENCE)

    def exchange(self, rank, thing):
        """What every rank has brought, by rank."""
        self.places[rank] = thing
        self.barrier.wait()
        found = list(self.places)
        self.barrier.wait()
        return found


class ThreadRanks:
    """A rank of nerva.layers.ranks.Ranks."""

    def __init__(self, meeting, rank):
        self.meeting, self.rank, self.size = meeting, rank, meeting.size

    def sum(self, numbers, kind):
        """The sum, in the order of the ranks."""
        return np.sum(self.meeting.exchange(self.rank, numbers.copy()), axis=0, dtype=numbers.dtype)

    def start_sum(self, vector):
        """Sum at once, and have nothing to wait for."""
        vector[:] = self.sum(vector, "gradients")
        return lambda: None

    def columns(self, matrix, kind):
        """The matrices of all ranks side by side."""
        return np.concatenate(self.meeting.exchange(self.rank, matrix.copy()), axis=1)

    def shared(self, thing):
        """What rank 0 gives."""
        return self.meeting.exchange(self.rank, thing)[0]


def on_ranks(size, function):
    """What function(ranks) returns on each of so many ranks; what one raises is raised, and ends the others."""
    meeting = Meeting(size)

    def run(rank):
        try:
            return function(ThreadRanks(meeting, rank))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        runs = [pool.submit(run, rank) for rank in range(size)]
    errors = [run.exception() for run in runs if run.exception() is not None]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    return [run.result() for run in runs]
