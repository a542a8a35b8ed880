"""Handle SIGINT (Ctrl-C) and SIGTERM: both raise KeyboardInterrupt, with the number of the signal as argument."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Install a handler of SIGINT and SIGTERM for the time of the context.

    A signal that is ignored stays so: a shell ignores SIGINT for what runs in the background. Does nothing in another
    thread than the main one.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():  # Python allows handlers there only
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, former in before.items():
            if former is not signal.SIG_IGN and former is not None:
                signal.signal(number, handler)
        yield
    finally:
        for number, former in before.items():
            if former is not None:  # None: not installed from Python, which cannot restore it
                signal.signal(number, former)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer a signal until the end of the context: what runs in it is not interrupted halfway."""
    held: list[int] = []
    try:
        with handling(lambda number, frame: held.append(number)):
            yield
    finally:
        if held:
            signal.raise_signal(held[0])


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt at once."""
    raise KeyboardInterrupt(number)
