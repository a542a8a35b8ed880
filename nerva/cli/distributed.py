"""`nerva train --distributed`: one of several ranks, of which the first one prints and writes files."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator

from nerva.cli.build import Failure
from nerva.distributed import DataParallel
from nerva.distributed.mpi import MPIRanks
from nerva.models.sequential import Sequential

PATIENCE = 1.0  # seconds that others leave rank 0 to tell an error that all meet, and to end them


@contextlib.contextmanager
def one_of_many(options: Namespace) -> Iterator[None]:
    """Run a command on this rank: rank 0 prints and writes. Where one fails, all end; raise Failure without MPI."""
    try:
        ranks = MPIRanks()
    except ImportError as error:
        raise Failure(f"--distributed: {error}", 2) from error
    with contextlib.ExitStack() as stack:
        if ranks.rank > 0:
            options.quiet, options.timer, options.metrics, options.save_weights = True, False, None, None
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        try:
            yield
        except BaseException as error:
            if ranks.rank > 0:
                time.sleep(PATIENCE)
            if ranks.size > 1:
                print(f"nerva: rank {ranks.rank} of {ranks.size} ends all:", *str(error).split(), file=sys.stderr)
                sys.stderr.flush()
                ranks.abort()
            raise


def share(model: Sequential, options: Namespace) -> DataParallel:
    """Return the network as one that all ranks train, with the threads of the options; raise Failure if they differ."""
    try:
        return DataParallel(model, threads=options.threads)
    except ValueError as error:
        raise Failure(f"--distributed: {error}") from error


def told(parallel: DataParallel, steps: int) -> str:
    """Return a line about ranks, and what each has sent in a step."""
    ranks = f"{parallel.size} rank{'s' * (parallel.size > 1)}"
    if parallel.size == 1:
        return f"{ranks}: mpiexec -n N starts N"
    traffic = parallel.traffic
    kinds = ", ".join(f"{traffic[kind] / steps:,.0f} of {kind}" for kind in sorted(traffic))
    return f"{ranks}; bytes that each sent in a step: {kinds}"
