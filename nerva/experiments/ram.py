"""The memory of the machine and of this process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

MEMORY = Path("/proc/meminfo")
PROCESS = Path("/proc/self")
LIMITS = (  # of a container, and what it uses
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def free() -> int:
    """Return the bytes that a process may still take: what is available, within the limit of a container."""
    least = _kilobytes(MEMORY, "MemAvailable")
    for limit, used in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # there is none; "max"
            least = min(least, int(limit.read_text()) - int(used.read_text()))
    return max(0, least)


def resident() -> int:
    """Return the bytes of this process's resident memory."""
    return int((PROCESS / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """Return the most bytes that were resident since `forget_peak`, or since the process began."""
    return _kilobytes(PROCESS / "status", "VmHWM")


def forget_peak() -> None:
    """Let `peak` begin anew, where the system allows it."""
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")


def _kilobytes(path: Path, name: str) -> int:
    """Return a field of a file of /proc in bytes."""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return 1024 * int(value.split()[0])
    raise OSError(f"{path} has no {name}")
