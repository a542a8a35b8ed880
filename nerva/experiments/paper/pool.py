"""Do units of work in processes: what one of them does to its process is of no matter to the others."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from nerva.experiments.paper.units import Unit
from nerva.experiments.paper.worker import request
from nerva.system.program import python

GRACE = 10.0  # seconds that processes have to end, before they are killed
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Done(NamedTuple):
    """What came of a unit: the seconds it took, or what went wrong."""

    unit: Unit
    seconds: float = 0.0
    error: str | None = None


def do_all(
    units: Sequence[Unit],
    folder: Path,
    *,
    jobs: int,
    threads: int,
    log: Path,
    started: Callable[[Unit], None] = lambda unit: None,
) -> Generator[Done, None, None]:
    """Do units, and yield what came of each as they end.

    Parameters
    ----------
    units : those that are `alone` come first, one at a time, each in a fresh process; the others after them, the
        longest first, in processes that take one after another
    folder : of the records
    jobs : processes at a time, of one thread each
    threads : of a unit that is alone
    log : a file, to which is added what the units print
    started : is called with each unit when it begins

    A unit that fails, or whose process is killed, does not keep the others from being done. The processes have ended
    where the generator has, or was closed.
    """
    alone = [unit for unit in units if unit.alone]
    others = sorted((unit for unit in units if not unit.alone), key=lambda unit: -unit.cost)
    with log.open("ab") as stream:
        for unit in alone:
            yield from _do([unit], folder, 1, threads, stream, started)
        yield from _do(others, folder, jobs, 1, stream, started)


def _do(
    units: list[Unit], folder: Path, jobs: int, threads: int, log: IO[bytes], started: Callable[[Unit], None]
) -> Generator[Done, None, None]:
    """Do units in at most so many processes at a time."""
    waiting, workers = units[::-1], list[_Worker]()
    doing: dict[_Worker, Unit] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or doing:
                while waiting and len(doing) < jobs:
                    worker = next((each for each in workers if each not in doing), None)
                    if worker is None:
                        workers.append(worker := _Worker(threads, log))
                        selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
                    doing[worker] = unit = waiting.pop()
                    worker.ask(unit, folder)
                    started(unit)
                for key, _ in selector.select():
                    worker = key.data
                    done = worker.answer(doing.pop(worker))
                    if worker.process.poll() is not None:  # killed: another takes its place
                        selector.unregister(key.fileobj)
                        workers.remove(worker)
                        _end([worker], at_once=False)
                    yield done
        finally:
            _end(workers, at_once=bool(doing))


class _Worker:
    """A process that does units, with so many threads."""

    def __init__(self, threads: int, log: IO[bytes]) -> None:
        own = dict.fromkeys(THREADS, str(threads))
        self.process = subprocess.Popen(
            [*python(), "-m", "nerva.experiments.paper.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | own,
            start_new_session=True,  # Ctrl-C in a terminal is for the command, which ends its processes
        )

    def ask(self, unit: Unit, folder: Path) -> None:
        """Have a unit done."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: so says its answer
            self.process.stdin.write(request(unit, folder))
            self.process.stdin.flush()

    def answer(self, unit: Unit) -> Done:
        """Wait for what came of the unit."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            code = self.process.wait()
            return Done(unit, error=f"its process was ended by {_name(-code)}" if code < 0 else f"exit code {code}")
        found: dict[str, Any] = json.loads(line)
        return Done(unit, **found)


def _end(workers: Sequence[_Worker], *, at_once: bool) -> None:
    """End processes: those that wait for work by the end of their input, those at work by a signal."""
    for worker in workers:
        with contextlib.suppress(BrokenPipeError):
            worker.process.stdin.close()  # type: ignore[union-attr]
        if at_once:
            worker.process.terminate()
    deadline = time.monotonic() + GRACE
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(worker.process.pid, signal.SIGKILL)  # with what it has started
            worker.process.wait()
        worker.process.stdout.close()  # type: ignore[union-attr]


def _name(number: int) -> str:
    return signal.Signals(number).name if number in {*signal.Signals} else f"signal {number}"
