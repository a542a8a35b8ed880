"""Processes that run what is measured, and the time that a method takes there.

Each framework has a process of its own because two OpenMP runtimes in one process steal each other's cores. (nerva is
loaded in each of them, but starts no threads unless it computes.) Even in two processes they do while a thread pool
spins after its last region (libiomp5 spins for 200 ms). A shorter KMP_BLOCKTIME would change what is measured, so a
worker answers only when all its threads are asleep.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from nerva.experiments.cores import allowed

WARM_UP = 2  # calls before those that are timed
LONG = 0.1  # seconds of a call that needs only one to warm up
STAT = Path("/proc/stat")


class Times(NamedTuple):
    """The seconds of each call, and the number of cores that other processes took from its threads meanwhile."""

    seconds: list[float]
    contention: float


class Worker:
    """A process that holds one object at a time: it makes the object, calls its methods and returns their results."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far,), daemon=True)
        self._process.start()
        far.close()

    def make(self, kind: type, *args: object) -> None:
        """Make the object kind(*args) in the worker, in place of the previous one."""
        self._ask("make", kind, args)

    def call(self, method: str, *args: object) -> Any:
        """Return the result of the object's method."""
        return self._ask("call", method, args)

    def times(self, method: str, count: int, threads: int, warm_up: bool = True) -> Times:
        """Return the time of each of `count` calls of the object's method, which uses `threads` threads."""
        times: Times = self._ask("times", method, (count, threads, WARM_UP if warm_up else 0))
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
            result, error = self._connection.recv()
        except (EOFError, BrokenPipeError):
            self._process.join(timeout=5)
            raise RuntimeError(f"a worker died with exit code {self._process.exitcode}") from None
        if error:
            raise RuntimeError(f"in a worker:\n{error}")
        return result


def rest(limit: float = 1.0) -> None:
    """Wait until no thread of this process uses a core, at most `limit` seconds."""
    until = time.perf_counter() + limit
    while time.perf_counter() < until:
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 0.001:
            return


def _serve(connection: Connection) -> None:
    held: Any = None
    while True:
        try:
            verb, what, args = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        result, error = None, ""
        try:
            if verb == "make":
                held = None  # frees the memory of the previous object before the next takes its own
                held = what(*args)
            elif verb == "call":
                result = getattr(held, what)(*args)
            else:
                result = _repeat(getattr(held, what), *args)
        except Exception:
            error = traceback.format_exc()
        rest()
        connection.send((result, error))


def _repeat(work: Callable[[], object], count: int, threads: int, warm_up: int) -> Times:
    started = time.perf_counter()
    for _ in range(warm_up):
        work()
        if time.perf_counter() - started > LONG:
            break
    seconds = []
    contention = Contention(threads)
    for _ in range(count):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return Times(seconds, contention())


class Contention:
    """The cores that other processes took from the threads of this one since the object was made.

    It is the CPU time of all others, on the cores that this process may use and does not need for its threads. How fast
    or slow the threads were does not enter.
    """

    def __init__(self, threads: int) -> None:
        self._cores = allowed()
        self._spare = max(0, len(self._cores) - threads)
        self._others, self._began = self._cpu_time(), time.perf_counter()

    def __call__(self) -> float:
        busy = (self._cpu_time() - self._others) / (time.perf_counter() - self._began)
        return max(0.0, busy - self._spare)

    def _cpu_time(self) -> float:
        """Return the CPU seconds of other processes, and of other virtual machines on the same host, so far."""
        return busy_seconds(STAT.read_text(), self._cores) - time.process_time()


def busy_seconds(stat: str, cores: Sequence[int]) -> float:
    """Return for how many seconds these cores were not idle, from the text of /proc/stat.

    The time that a hypervisor gave to other machines ("steal") counts as busy.
    """
    ticks = 0
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.removeprefix("cpu").isdigit() and name.startswith("cpu") and int(name[3:]) in cores:
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")
