"""Which process runs a trial, and whether it still does."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


def owner() -> dict[str, str | int]:
    """Return what tells this process from every other one, here and elsewhere, now and later."""
    return {"machine": _machine(), "process": os.getpid(), "started": started(os.getpid()) or ""}


def started(process: int) -> str | None:
    """Return when a process of this machine was started, in the clock ticks of the system; None where there is none."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()  # the name before it may hold spaces
    return None if state in "ZX" else fields[18]


def is_lost(who: Mapping[str, Any] | None, seen: float, lost_after: float) -> bool:
    """Whether the owner of a trial is gone.

    Parameters
    ----------
    who : what `owner` returned in its process; None where it came to nothing before it could say
    seen : when a sign of it was last written, in seconds since the epoch
    lost_after : seconds without a sign after which a process of another machine, which cannot be asked, counts as gone
    """
    if who is None:
        return True
    if who["machine"] == _machine():
        return started(int(who["process"])) != str(who["started"])
    return time.time() - seen > lost_after


@cache
def _machine() -> str:
    """Return a name of this machine until it is started again, and of what can see its processes (a container)."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [platform.node()]
    with contextlib.suppress(OSError):  # a system that hides them
        parts += [boot.read_text().strip(), os.readlink(space)]
    return " ".join(parts)
