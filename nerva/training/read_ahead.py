"""Read chunks ahead, by a thread, into places that go round in a ring: when which chunk is needed is known before."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerva.system.signals import deferred

Rows = npt.NDArray[np.int64]
PIECE = 1 << 20  # samples of an order looked at at a time


class Plan(NamedTuple):
    """Which chunks an epoch reads, in order, and when.

    `sequence` are the chunks in the order of their first use. Batch i needs the first `loaded[i]` of them in memory,
    and none of the first `done[i]` any more. `places` are enough for every batch: the chunk at position p of the
    sequence goes to place p % places, when the one at p - places is done.
    """

    sequence: Rows
    loaded: Rows
    done: Rows
    places: int


def plan(
    order: Rows, chunk_of: Callable[[Rows], Rows], chunks: int, batch_size: int, *, first: int = 0, ahead: int = 1
) -> Plan:
    """Return what batches from number `first` on need, in an epoch of this order.

    `chunk_of` tells the chunks of samples, of which there are `chunks`; `ahead` is the least number of places, if there
    are so many chunks.

    >>> found = plan(np.array([4, 5, 0, 1, 2, 3]), lambda rows: rows // 2, 3, batch_size=3)
    >>> found.sequence.tolist(), found.loaded.tolist(), found.done.tolist(), found.places
    ([2, 0, 1], [2, 3], [0, 1], 2)
    """
    batches = -(-len(order) // batch_size)
    begins, ends = np.full(chunks, -1, np.int64), np.full(chunks, -1, np.int64)
    for at in range(first * batch_size, len(order), PIECE):
        own = chunk_of(order[at : at + PIECE])
        batch = np.arange(at, at + len(own)) // batch_size
        ends[own] = batch  # of an index that is there twice, the last value stays
        here = np.full(chunks, -1, np.int64)
        here[own[::-1]] = batch[::-1]
        begins = np.where(begins < 0, here, begins)
    used = np.flatnonzero(begins >= 0)
    sequence = used[np.lexsort((ends[used], begins[used]))]  # of those that begin together, the first to end first
    numbers = np.arange(batches)
    loaded = np.searchsorted(begins[sequence], numbers, side="right")
    done = np.searchsorted(np.maximum.accumulate(ends[sequence]), numbers, side="left")
    least = int((loaded - done)[first:].max(initial=1))
    return Plan(sequence, loaded, done, max(least, min(ahead, len(sequence))))


class ReadAhead:
    """A thread that reads the chunks of a plan.

    Parameters
    ----------
    sequence, places : of the plan
    load : is called in the thread as load(position, chunk)

    `wait` and `release` are for the one thread that uses the chunks; `close` ends the reading, as losing the last
    reference to `owner` does.
    """

    def __init__(self, sequence: Rows, places: int, load: Callable[[int, int], None], owner: object) -> None:
        self._sequence, self._places, self._load = sequence, places, load
        self._changed = threading.Condition()
        self._loaded = self._done = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="nerva-reader", daemon=True)
        self._end_with_owner = weakref.finalize(owner, self._end)
        with deferred():  # an exception of a signal within `start` would become a KeyError there
            self._thread.start()

    def wait(self, loaded: int) -> None:
        """Wait until so many chunks of the sequence have been read; raise what reading one of them raised."""
        if self._loaded < loaded:
            with self._changed:
                while self._loaded < loaded and self._failure is None:
                    self._changed.wait()
            if self._loaded < loaded and self._failure is not None:
                raise self._failure

    def release(self, done: int) -> None:
        """Let the places of so many chunks of the sequence be written to."""
        if done > self._done:
            with self._changed:
                self._done = done
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread, and wait for it: nothing is read after this."""
        self._end_with_owner()
        self._end_with_owner.detach()
        self._thread.join()

    def _end(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _read(self) -> None:
        for position, chunk in enumerate(self._sequence.tolist()):
            with self._changed:
                while position - self._done >= self._places and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
            try:
                self._load(position, chunk)
            except BaseException as error:
                self._failure = error
            with self._changed:
                self._loaded += self._failure is None
                self._changed.notify_all()
            if self._failure is not None:
                return
