"""The command `nerva`: train a network from the shell (`train`), many (`sweep`), or the best (`search`), ask one in a
file (`evaluate`, `predict`, `summary`), write it in other formats (`export`), repeat the paper's experiments
(`reproduce`), and show the configuration (`info`).

Exit codes: 0 for success; 1 if something failed while it ran (data, disk, memory, a loss that is not finite); 2 if the
command line is wrong; 128 + n if signal n ended it, 130 for Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence

from nerva.cli.arguments import parse
from nerva.cli.build import Failure
from nerva.cli.evaluate import evaluate
from nerva.cli.export import export
from nerva.cli.info import info
from nerva.cli.predict import predict
from nerva.cli.summary import summary
from nerva.cli.train import train
from nerva.system.signals import handling, interrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process, and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        with handling(interrupt):
            options = parse(argv)
            _run(options, argv)
        code = 0
    except SystemExit as ended:  # by the parser, after --help or an error
        code = int(ended.code or 0)
    except Failure as failure:
        code = _complain(failure, failure.code)
    except KeyboardInterrupt as signalled:
        code = _complain("interrupted", 128 + (signalled.args[0] if signalled.args else signal.SIGINT))
    except BrokenPipeError:  # by `nerva train | head`: not an error to report
        code = 128 + signal.SIGPIPE
    except OSError as error:
        code = _complain(error, 1)
    except MemoryError as error:
        code = _complain(str(error) or "out of memory", 1)
    return _flush(code)


def _run(options: Namespace, argv: Sequence[str]) -> None:
    """Run the command that the options name. Those of many runs or ranks are imported here: no other needs them."""
    if options.command == "train" and options.distributed:
        from nerva.cli.distributed import one_of_many

        with one_of_many(options):
            train(options, argv)
    elif options.command == "train":
        train(options, argv)
    elif options.command == "reproduce":
        from nerva.cli.reproduce import reproduce

        reproduce(options, argv)
    elif options.command == "search":
        from nerva.cli.search import search

        search(options)
    elif options.command == "sweep":
        from nerva.cli.sweep import sweep

        sweep(options)
    else:
        others = {"evaluate": evaluate, "export": export, "predict": predict, "summary": summary}
        others.get(options.command, info)(options)


def _complain(problem: object, code: int) -> int:
    """Print the problem as one line on standard error, and return the exit code."""
    print("nerva:", *str(problem).split(), file=sys.stderr)
    return code


def _flush(code: int) -> int:
    """Flush standard output while a failure can still be reported, and return the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError):  # else the interpreter flushes again at exit, and prints a traceback
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return code or 128 + signal.SIGPIPE
        if code == 0:
            return _complain(f"cannot write to standard output: {error.strerror}", 1)
    return code
