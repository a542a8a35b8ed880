"""How Ctrl-C and SIGTERM end what runs: by KeyboardInterrupt, whose argument is the number of the signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Handle SIGINT and SIGTERM so, but for one that is ignored, as SIGINT is in the background of a shell."""
    before = {}
    if threading.current_thread() is threading.main_thread():  # which alone may set handlers
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, former in before.items():
            if former is not signal.SIG_IGN and former is not None:
                signal.signal(number, handler)
        yield
    finally:
        for number, former in before.items():
            if former is not None:  # one that was not set from Python cannot be, either
                signal.signal(number, former)


@contextmanager
def deferred() -> Iterator[None]:
    """Let a signal that comes meanwhile wait for the end."""
    held: list[int] = []
    try:
        with handling(lambda number, frame: held.append(number)):
            yield
    finally:
        if held:
            signal.raise_signal(held[0])


def interrupt(number: int, frame: FrameType | None) -> None:
    """End at once."""
    raise KeyboardInterrupt(number)
