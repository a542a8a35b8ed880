"""Several processes that work for one command, and end with it, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from types import TracebackType

from nerva.cli.build import Failure
from nerva.system.signals import handling, interrupt

GRACE = 60.0  # seconds for a process to end its batch after a signal


class Processes:
    """Processes that call `work` with the options; at the end of the context they are ended, if they have not yet.

    Ctrl-C is for this process alone, which passes it on; a second one kills them. Where this process is killed, they
    notice, and end too.
    """

    def __init__(self, work: Callable[[Namespace], None], options: Namespace, count: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share the threads of MKL, which it does not have
        self._processes = [context.Process(target=_serve, args=(work, options)) for _ in range(count)]

    def __enter__(self) -> Processes:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the processes inherit
        try:
            for process in self._processes:
                process.start()
        except BaseException:
            self._end()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def alive(self) -> bool:
        """Whether a process still works."""
        return any(process.is_alive() for process in self._processes)

    def check(self) -> None:
        """Raise Failure where no process came to its end by itself; warn where one did not."""
        failed = [process for process in self._processes if process.exitcode != 0]
        for process in failed:
            code = process.exitcode or 0
            why = f"by signal {-code}, as by a lack of memory" if code < 0 else f"with code {code}"
            print(f"nerva: a process of the search ended {why}", file=sys.stderr)
        if len(failed) == len(self._processes):
            raise Failure("all processes of the search failed", max(1, *(p.exitcode or 0 for p in failed)))

    def _end(self) -> None:
        """End what still works: let each batch end, and kill what takes too long, or at the next signal."""
        started = [process for process in self._processes if process.pid is not None]
        try:
            for process in started:
                process.terminate()
            until = time.monotonic() + GRACE
            for process in started:
                process.join(max(0.0, until - time.monotonic()))
        finally:
            for process in started:
                if process.is_alive():
                    process.kill()
                process.join()


def _serve(work: Callable[[Namespace], None], options: Namespace) -> None:
    """Work in a process of its own; errors are lines on standard error, and the exit code that of the command."""
    threading.Thread(target=_follow, daemon=True).start()
    try:
        with handling(interrupt):
            work(options)
    except KeyboardInterrupt as signalled:
        sys.exit(128 + (signalled.args[0] if signalled.args else signal.SIGINT))
    except (Failure, OSError, MemoryError) as error:
        print("nerva:", *(str(error) or type(error).__name__).split(), file=sys.stderr)
        sys.exit(error.code if isinstance(error, Failure) else 1)


def _follow() -> None:
    """Wait until the command has ended, and end this process as by SIGTERM: it gives its trial back."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
