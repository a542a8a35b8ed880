"""What a reproduction ran on, in words."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from nerva.backends.config import config
from nerva.experiments.cores import allowed, distance

PACKAGES = {"PyTorch": "torch", "SciPy": "scipy", "matplotlib": "matplotlib"}


def versions() -> dict[str, str]:
    """Return the processor, its memory and the versions of all that takes part, by name; no folder of the machine."""
    found = config()
    ours = ("nerva", "Python", "NumPy", "MKL")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": found["processor"],
        "instruction set": found["instruction set"],
        "processors of the process": f"{len(allowed())}, {_apart()}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": _system(),
        **{name: found[name] for name in ours},
        **{title: _version(name) for title, name in PACKAGES.items()},
    }


def _apart() -> str:
    """Return whether the first two processors share an L3 cache; each measurement tells it for its own time."""
    found = distance()
    shared = {"near": " (they share an L3 cache)", "far": " (they share no L3 cache)"}
    return f"the first two {found}{shared[found]}" if found in shared else found


def _version(package: str) -> str:
    if find_spec(package) is None:
        return "not installed"
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _system() -> str:
    """Return kernel and distribution."""
    found = {}
    for line in Path("/etc/os-release").read_text().splitlines() if Path("/etc/os-release").exists() else ():
        name, _, value = line.partition("=")
        found[name] = value.strip('"')
    return f"{platform.system()} {platform.release()}, {found.get('PRETTY_NAME', 'of unknown distribution')}"
