"""Processes in which the peers live, and how long what they do takes.

Two OpenMP runtimes in one process steal each other's cores, and even in two processes they do while a pool spins after
its last region: libiomp5 does so for 200 ms. Their settings stay as users have them (a shorter KMP_BLOCKTIME would
change what is measured), so a worker answers only when all its threads have gone to sleep.
"""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

WARM = 2  # calls that are not counted, before those that are
LONG = 0.1  # seconds of a call that is warm after one


class Times(NamedTuple):
    """The seconds of each call, and how many cores other processes took from this one meanwhile."""

    seconds: list[float]
    taken: float


class Worker:
    """A process that holds one object at a time, makes it, calls its methods, and sends back what they return."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far,), daemon=True)
        self._process.start()
        far.close()

    def make(self, kind: type, *args: object) -> None:
        """Make the object kind(*args) in the worker; it replaces the one before."""
        self._ask("make", kind, args)

    def call(self, method: str, *args: object) -> Any:
        """Return what the object's method returns."""
        return self._ask("call", method, args)

    def times(self, method: str, count: int, threads: int) -> Times:
        """Return how long each of `count` calls of the object's method takes, given that it runs so many threads."""
        times: Times = self._ask("times", method, (count, threads))
        return times

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(timeout=5)

    def _ask(self, *request: object) -> Any:
        try:
            self._connection.send(request)
            result, trouble = self._connection.recv()
        except (EOFError, BrokenPipeError):
            self._process.join(timeout=5)
            raise RuntimeError(f"a worker died with exit code {self._process.exitcode}") from None
        if trouble:
            raise RuntimeError(f"in a worker:\n{trouble}")
        return result


def rest(limit: float = 1.0) -> None:
    """Wait until no thread of this process uses a core."""
    until = time.perf_counter() + limit
    while time.perf_counter() < until:
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 0.001:
            return


def _serve(connection: Connection) -> None:
    thing: Any = None
    while True:
        try:
            verb, what, args = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        result, trouble = None, ""
        try:
            if verb == "make":
                thing = None
                thing = what(*args)
            elif verb == "call":
                result = getattr(thing, what)(*args)
            else:
                result = _repeat(getattr(thing, what), *args)
        except Exception:
            trouble = traceback.format_exc()
        rest()
        connection.send((result, trouble))


def _repeat(work: Callable[[], object], count: int, threads: int) -> Times:
    started = time.perf_counter()
    for _ in range(WARM):
        work()
        if time.perf_counter() - started > LONG:
            break
    seconds = []
    taken_by_now = _Taken(threads)
    for _ in range(count):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return Times(seconds, taken_by_now())


def taken(threads: int, seconds: float = 0.2) -> float:
    """Return how many cores other processes take from one with so many threads, during the next moment."""
    taken_by_now = _Taken(threads)
    time.sleep(seconds)
    return taken_by_now()


class _Taken:
    """How many cores other processes took from this one, with so many threads, since the object was made."""

    def __init__(self, threads: int) -> None:
        self._spare = (os.cpu_count() or 1) - threads
        self._others, self._began = _others(), time.perf_counter()

    def __call__(self) -> float:
        busy = (_others() - self._others) / (time.perf_counter() - self._began)
        return max(0.0, busy - self._spare)


def _others() -> float:
    """Return the seconds that all cores together have worked for other processes, or other machines on this one."""
    try:
        user, nice, system, _idle, _wait, irq, softirq, steal = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    except (OSError, ValueError):
        return -time.process_time()
    ticks = sum(map(int, (user, nice, system, irq, softirq, steal)))
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time()
