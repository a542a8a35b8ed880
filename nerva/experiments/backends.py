"""Backends of joblib for engines that it lacks, or whose tasks it would lose: Dask, and submitit for Slurm.

Both give back lists of one result, as joblib's batches of one task do; the first argument of a task is its index.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from joblib._dask import DaskDistributedBackend
from joblib.parallel import ParallelBackendBase

from nerva.experiments.stop import Stop

POLL = 0.5  # seconds between two looks at jobs of submitit
Lost = Callable[[int, BaseException | None], Any]  # the result in the place of that of a task: its error, or none begun


class Dask(DaskDistributedBackend):
    """Joblib's backend for Dask, which also tells of a task that no worker survived; joblib's waits for it for ever.

    Parameters
    ----------
    client : of Dask
    lost : makes the result of such a task
    """

    def __init__(self, client: Any, lost: Lost) -> None:
        super().__init__(client=client)
        self._lost = lost

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return how many tasks run at a time, but at least 2: joblib would call the tasks of 1 here, not there."""
        return max(2, int(super().effective_n_jobs(n_jobs)))

    def submit(self, func: Any, callback: Any = None) -> Any:
        """Hand a task over."""
        index = func.items[0][1][0]
        future = super().submit(func, callback)
        future.add_done_callback(lambda ended: self._tell(ended.exception(), index, callback))
        return future

    def _tell(self, error: BaseException | None, index: int, callback: Any) -> None:
        if error is not None:
            callback([self._lost(index, error)])


class Restarted:
    """A function that submitit begins again where the time of its job is over, or the job is pushed aside."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def checkpoint(self, *args: Any) -> Any:
        """Return what is to be run next, as submitit asks for."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *args)


class Submitit(ParallelBackendBase):
    """Tasks as jobs of submitit: those that joblib hands over before it waits are one array.

    Parameters
    ----------
    executor : of submitit
    jobs : tasks at a time
    stop : once it is set, jobs that wait in the queue are cancelled
    lost : makes the result of a task that gives none
    """

    supports_retrieve_callback = True

    def __init__(self, executor: Any, jobs: int, stop: Stop | None, lost: Lost) -> None:
        super().__init__()
        self._executor, self._jobs, self._stop, self._lost = executor, jobs, stop, lost
        self._left: list[tuple[Any, int, Any]] = []
        self._lock, self._array, self._over = threading.Lock(), contextlib.ExitStack(), threading.Event()

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return how many tasks run at a time, but at least 2, as `Dask`."""
        return max(2, self._jobs)

    def start_call(self) -> None:
        """Collect what is handed over."""
        self._array.enter_context(self._executor.batch())

    def submit(self, func: Any, callback: Any = None) -> Any:
        """Hand a task over."""
        ((function, args, _),) = func.items
        with self._lock:
            job = self._executor.submit(Restarted(function), *args)
            self._left.append((job, args[0], callback))
        return job

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return what a task gave."""
        return out

    @contextlib.contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Submit the array, and look after the jobs until all have ended."""
        self._array.close()
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel all jobs."""
        with self._lock:
            left, self._left = self._left, []
        for job, _, _ in left:
            job.cancel(check=False)

    def _watch(self) -> None:
        while not self._over.is_set():
            with self._lock:
                left = list(self._left)
            stopped = self._stop is not None and self._stop.is_set()
            for entry in left:
                job, index, callback = entry
                if job.done():
                    found = self._result(job, index)
                elif stopped and job.state in ("PENDING", "REQUEUED"):
                    job.cancel(check=False)
                    found = self._lost(index, None)
                else:
                    continue
                with self._lock:
                    if entry in self._left:
                        self._left.remove(entry)
                callback([found])  # which may hand over the next task
            time.sleep(POLL)

    def _result(self, job: Any, index: int) -> Any:
        try:
            return job.result()
        except Exception as error:  # of a job that was killed, or ran out of memory
            return self._lost(index, error)
