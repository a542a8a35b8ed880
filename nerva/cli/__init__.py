"""The command `nerva`: trains from the shell, and tells what it runs on.

Exit codes: 0 when it did what was asked; 1 when something failed on the way (data, disk, memory, a loss that is not
finite); 2 when the command line asks for what cannot be; 128 + n when signal n ended it, 130 for Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from nerva.cli.arguments import parse
from nerva.cli.build import Failure
from nerva.cli.info import info
from nerva.cli.train import train
from nerva.system.signals import handling, interrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process, and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        with handling(interrupt):
            options = parse(argv)
            if options.command == "train":
                train(options, argv)
            else:
                info(options)
        code = 0
    except SystemExit as ended:  # the parser, after --help or a complaint of its own
        code = int(ended.code or 0)
    except Failure as failure:
        code = _complain(failure, failure.code)
    except KeyboardInterrupt as signalled:
        code = _complain("interrupted", 128 + (signalled.args[0] if signalled.args else signal.SIGINT))
    except BrokenPipeError:  # nobody reads on, which is nobody's mistake
        code = 128 + signal.SIGPIPE
    except OSError as error:
        code = _complain(error, 1)
    except MemoryError as error:
        code = _complain(str(error) or "out of memory", 1)
    return _flush(code)


def _complain(problem: object, code: int) -> int:
    """Print one line about a problem, and return the exit code."""
    print("nerva:", *str(problem).split(), file=sys.stderr)
    return code


def _flush(code: int) -> int:
    """Hand standard output over while a failure can still be told, and return the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError):  # or the interpreter would try again, and tell it in its own way
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return code or 128 + signal.SIGPIPE
        if code == 0:
            return _complain(f"cannot write to standard output: {error.strerror}", 1)
    return code
