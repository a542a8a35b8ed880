"""How this process was started."""

import os
import sys


def is_command() -> bool:
    """Whether this process is the command `nerva`, or is starting as `python -m nerva`; a library must not end others.

    >>> is_command()
    False
    """
    called = os.path.basename(sys.argv[0]) if sys.argv else ""
    if called == "-m":  # what stands there while the package is being imported
        return "nerva" in sys.orig_argv[1:] and sys.orig_argv[sys.orig_argv.index("nerva") - 1].endswith("m")
    return called == "nerva"
