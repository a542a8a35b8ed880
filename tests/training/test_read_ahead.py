"""Reading ahead: what an order needs when, and a thread that reads no further than there is room."""

import gc
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva.training.read_ahead import ReadAhead, plan


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 12), st.integers(0, 9), st.integers(0, 2**32))
def test_every_batch_finds_its_chunks(n, size, batch_size, ahead, seed):
    order = np.random.default_rng(seed).permutation(n)
    chunks, batches = -(-n // size), -(-n // batch_size)
    for first in (0, batches // 2):
        found = plan(order, lambda rows: rows // size, chunks, batch_size, first=first, ahead=ahead)
        position = {chunk: p for p, chunk in enumerate(found.sequence.tolist())}
        assert len(position) == len(found.sequence)
        for i in range(first, batches):
            needed = {position[chunk] for chunk in (order[i * batch_size : (i + 1) * batch_size] // size).tolist()}
            assert max(needed) < found.loaded[i] <= found.done[i] + found.places
            assert min(needed) >= found.done[i]
        assert found.places >= min(ahead, len(found.sequence))


def test_a_chunk_is_done_as_soon_as_those_before_it_are():
    found = plan(np.arange(12), lambda rows: rows // 2, 6, batch_size=4)
    assert (found.loaded.tolist(), found.done.tolist(), found.places) == ([2, 4, 6], [0, 2, 4], 2)


def settled(condition):
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.02)  # for what would come after it
    return condition()


class Owner:
    """What may be lost."""


def test_it_reads_no_further_than_there_is_room():
    read, owner = [], Owner()
    reader = ReadAhead(np.array([4, 2, 0, 3, 1]), 2, lambda position, chunk: read.append((position, chunk)), owner)
    assert settled(lambda: read == [(0, 4), (1, 2)])
    reader.wait(2)
    reader.release(1)
    assert settled(lambda: read == [(0, 4), (1, 2), (2, 0)])
    reader.release(3)
    reader.wait(5)
    assert read[3:] == [(3, 3), (4, 1)]
    reader.close()


def test_a_failure_is_raised_where_the_chunk_is_waited_for():
    def load(position, chunk):
        if position == 1:
            raise OSError("no such chunk")

    owner = Owner()
    reader = ReadAhead(np.arange(3), 3, load, owner)
    reader.wait(1)
    with pytest.raises(OSError, match="no such chunk"):
        reader.wait(2)
    reader.close()


@pytest.mark.parametrize("how", ["closed", "lost"])
def test_the_thread_ends(how):
    owner, before = Owner(), threading.active_count()
    reader = ReadAhead(np.arange(9), 1, lambda position, chunk: None, owner)
    assert settled(lambda: threading.active_count() == before + 1)
    if how == "closed":
        reader.close()
    else:
        del owner
        gc.collect()
    assert settled(lambda: threading.active_count() == before)


def test_a_signal_while_the_thread_starts_waits_until_it_has_started(monkeypatch):
    """What a handler raises within `Thread.start` becomes a KeyError there, and is lost."""

    class Alarm(Exception):
        pass

    def ring(number, frame):
        raise Alarm

    def start(thread):
        own(thread)
        signal.raise_signal(signal.SIGALRM)
        whole.append(True)

    own, whole, before = threading.Thread.start, [], signal.signal(signal.SIGALRM, ring)
    monkeypatch.setattr(threading.Thread, "start", start)
    try:
        with pytest.raises(Alarm):
            ReadAhead(np.arange(3), 1, lambda position, chunk: None, Owner())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert whole
