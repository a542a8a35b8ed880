"""How this process was started, and how another one finds the same nerva."""

import os
import sys
from pathlib import Path


def is_command() -> bool:
    """Whether this process is the command `nerva`, or is starting as `python -m nerva`; a library must not end others.

    >>> is_command()
    False
    """
    called = os.path.basename(sys.argv[0]) if sys.argv else ""
    if called == "-m":  # what stands there while the package is being imported
        return "nerva" in sys.orig_argv[1:] and sys.orig_argv[sys.orig_argv.index("nerva") - 1].endswith("m")
    return called == "nerva"


def python() -> list[str]:
    """Return the interpreter that finds this nerva, whatever lies in the present folder, such as its sources."""
    here = Path(__file__).parents[2] == Path.cwd()  # nerva was found in this folder, as `python -m` finds it
    return [sys.executable] if here else [sys.executable, "-P"]
