"""The ranks of an MPI communicator, as layers and the training loop use them."""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from nerva._kernels.memory import Array, empty_batch
from nerva._kernels.mkl import set_num_threads


def require_mpi() -> Any:
    """Return mpi4py.MPI; raise ImportError, which names the extra, where it is missing."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        raise ImportError(
            f"nerva.distributed needs mpi4py and an MPI library ({error}): pip install 'nerva-sparse[mpi]'"
        ) from error
    return MPI


class MPIRanks:
    """The ranks of a communicator; see nerva.layers.ranks.Ranks.

    Parameters
    ----------
    communicator : an mpi4py.MPI.Comm, None for MPI.COMM_WORLD

    `traffic` counts the bytes that this rank has given to MPI, by what they are.
    """

    def __init__(self, communicator: Any = None) -> None:
        self._MPI = require_mpi()
        self._communicator = self._MPI.COMM_WORLD if communicator is None else communicator
        self.rank: int = self._communicator.Get_rank()
        self.size: int = self._communicator.Get_size()
        self.traffic: Counter[str] = Counter()
        self._requests: list[Any] = []

    def sum(self, numbers: Array, kind: str) -> Array:
        """Return the sum over the ranks of a vector."""
        self.traffic[kind] += numbers.nbytes
        total = np.empty_like(numbers)
        self._communicator.Allreduce(numbers, total)
        return total

    def start_sum(self, vector: Array) -> Callable[[], object]:
        """Begin to sum a vector over the ranks, in place; what is returned waits for the end."""
        self.traffic["gradients"] += vector.nbytes
        if self._requests:
            self._MPI.Request.Testall(self._requests)  # what is on its way goes on while MPI is called
        request = self._communicator.Iallreduce(self._MPI.IN_PLACE, vector)
        self._requests.append(request)

        def wait() -> None:
            request.Wait()
            self._requests.clear()

        return wait

    def columns(self, matrix: Array, kind: str) -> Array:
        """Return the matrices (rows, batch) of all ranks side by side, in a new one."""
        own = np.ascontiguousarray(matrix.T)
        counts = self._communicator.allgather(len(own))
        self.traffic[kind] += own.nbytes
        rows = np.empty((sum(counts), own.shape[1]), own.dtype)
        self._communicator.Allgatherv(own, (rows, [count * own.shape[1] for count in counts]))
        together = empty_batch(own.shape[1], len(rows), own.dtype)
        together[:] = rows.T
        return together

    def shared(self, thing: Any) -> Any:
        """Return what rank 0 gives, on every rank."""
        return self._communicator.bcast(thing)

    def every(self, thing: Any) -> list[Any]:
        """Return what each rank gives, by rank."""
        found: list[Any] = self._communicator.allgather(thing)
        return found

    def abort_on_errors(self) -> None:
        """End all ranks where an exception ends this one: the others would wait for it for ever."""
        if self.size == 1 or getattr(sys.excepthook, "ends_ranks", False):
            return

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            print(f"rank {self.rank} of {self.size} ended:", file=sys.stderr)
            traceback.print_exception(kind, error, trace)
            sys.stderr.flush()
            self.abort()

        hook.ends_ranks = True  # type: ignore[attr-defined]
        sys.excepthook = hook

    def abort(self, code: int = 1) -> None:
        """End all ranks."""
        self._communicator.Abort(code)

    def share_cores(self) -> None:
        """Give this rank its part of the cores, those of its machine divided by the ranks there, at least one.

        OMP_NUM_THREADS, where it is set, goes before.
        """
        if self.size > 1 and "OMP_NUM_THREADS" not in os.environ:
            here = self._communicator.Split_type(self._MPI.COMM_TYPE_SHARED)
            set_num_threads(max(1, len(os.sched_getaffinity(0)) // here.Get_size()))
            here.Free()
