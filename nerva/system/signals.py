"""Handle SIGINT (Ctrl-C) and SIGTERM: both raise KeyboardInterrupt, with the number of the signal as argument."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handling(handler: Handler, *, every: bool = False) -> Iterator[None]:
    """Install a handler of SIGINT and SIGTERM for the time of the context; of `every` signal with one in Python, too.

    A signal that is ignored stays so: a shell ignores SIGINT for what runs in the background. Does nothing in another
    thread than the main one.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():  # Python allows handlers there only
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if every:
            found = {number: signal.getsignal(number) for number in signal.valid_signals()}
            before |= {number: former for number, former in found.items() if callable(former)}
    try:
        for number, former in before.items():
            if former is not signal.SIG_IGN and former is not None:
                signal.signal(number, handler)
        yield
    finally:
        raised: BaseException | None = None
        for number, former in before.items():
            if former is not None:  # None: not installed from Python, which cannot restore it
                try:
                    signal.signal(number, former)
                except BaseException as error:  # of a handler that is back already: the others are to be, too
                    raised = error
                    signal.signal(number, former)
        if raised is not None:
            raise raised


@contextmanager
def deferred() -> Iterator[None]:
    """Defer signals until the end of the context: what runs in it is not interrupted halfway.

    They are SIGINT, SIGTERM and those with a handler in Python, such as the SIGALRM of a time limit.
    """
    held: list[int] = []
    try:
        with handling(lambda number, frame: held.append(number), every=True):
            yield
    finally:
        for number in dict.fromkeys(held):
            signal.raise_signal(number)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt at once."""
    raise KeyboardInterrupt(number)
