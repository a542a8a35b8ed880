"""Training on several machines or processes, by MPI: `import nerva.distributed` (extra `mpi`)."""

from nerva.distributed.data_parallel import DataParallel

__all__ = ["DataParallel"]
