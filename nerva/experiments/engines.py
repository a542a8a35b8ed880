"""Call many functions by an engine of joblib: processes of this machine, the workers of Dask, or jobs of Slurm."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerva.experiments.stop import Stop
from nerva.validation import check_choice, check_integer

ENGINES = ("loky", "dask", "submitit")
DAY = 24 * 60  # minutes of a job, unless parameters say other
BROKEN = 3  # times in a row that the processes may break before a single task has ended
_here = threading.local()


@dataclass(frozen=True)
class Finished:
    """What came of a task: the index of it, and what it returned or raised; `stopped` if it was not begun."""

    index: int
    value: Any = None
    error: BaseException | None = None
    stopped: bool = False


def cores() -> int:
    """Return how many processors this process may use: by its affinity, and by the quota of its control group."""
    joblib = _joblib()
    return int(joblib.cpu_count())


def threads_here() -> int:
    """Return the threads for a task that runs now: the processors here, divided by the tasks at a time.

    >>> threads_here() <= cores()
    True
    """
    return max(1, cores() // getattr(_here, "share", 1))


def run_all(
    tasks: Sequence[Callable[[], Any]],
    *,
    engine: str = "loky",
    jobs: int | None = None,
    scheduler: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    stop: Stop | None = None,
) -> Iterator[Finished]:
    """Call every task once, several at a time, and yield what came of each as they end.

    Parameters
    ----------
    tasks : functions without arguments that can be pickled, such as functools.partial(function, folder)
    engine : "loky", processes of this machine; "dask", the workers of a cluster; or "submitit", an array of Slurm's
        jobs, or processes of this machine where there is no Slurm
    jobs : tasks at a time (as many as there are processors here, or as Slurm gives); with dask, the workers' threads
    scheduler : the address of Dask's scheduler, such as "tcp://host:8786"
    folder : of submitit's files, which every machine sees
    parameters : of submitit's jobs, such as timeout_min, cpus_per_task, slurm_partition
    stop : once it is set, no further task begins; those that run have to look for themselves

    What a task raises is its result, and the others go on. Where a worker dies, its task is called again by another, so
    a task must bear being called twice. Ctrl-C does not end the processes of loky: they end with this one.

    Raises TypeError or ValueError for a wrong argument, ImportError, which names the extra, without joblib or Dask,
    OSError where there is no scheduler, and RuntimeError where the processes break again and again.
    """
    check_choice(engine, "engine", ENGINES)
    if jobs is not None:
        jobs = check_integer(jobs, "jobs", least=1)
    if (scheduler is None) == (engine == "dask"):
        raise ValueError("scheduler: engine 'dask' needs the address of one, and no other engine takes it")
    _joblib()
    if (folder is None) == (engine == "submitit"):
        raise ValueError("folder: engine 'submitit' needs one, and no other engine takes it")
    if parameters and engine != "submitit":
        raise ValueError("parameters: go with engine 'submitit'")
    if engine == "dask":
        assert scheduler is not None
        return _by_dask(tasks, scheduler, stop)
    if folder is not None:
        return _by_submitit(tasks, jobs, Path(folder).absolute(), parameters or {}, stop)
    return _by_loky(tasks, jobs, stop)


def places(engine: str, jobs: int | None, scheduler: str | None, tasks: int) -> int:
    """Return how many of so many tasks an engine calls at a time; parameters and errors are those of `run_all`."""
    if engine == "dask":
        with _client(scheduler) as client:
            count = int(sum(client.ncores().values()))
    else:
        count = jobs or (tasks if engine == "submitit" and shutil.which("sbatch") else cores())
    return max(1, min(count, tasks))


def _by_loky(tasks: Sequence[Callable[[], Any]], jobs: int | None, stop: Stop | None) -> Iterator[Finished]:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    count = min(jobs or cores(), max(1, len(tasks)))
    left, broken = dict(enumerate(tasks)), 0
    while left:
        before = len(left)
        try:
            for done in _parallel(left, count, stop, backend="loky", n_jobs=count, initializer=_ignore_interrupts):
                del left[done.index]
                yield done
        except BrokenProcessPool as error:  # a worker was killed: what it did is done by another
            broken = broken + 1 if len(left) == before else 0
            if stop is not None and stop.is_set():
                yield from (Finished(index, stopped=True) for index in left)
                return
            if broken == BROKEN:
                raise RuntimeError(f"the processes of the engine ended {BROKEN} times in a row ({error})") from error


def _client(scheduler: str | None) -> Any:
    """Return a connection to a Dask scheduler."""
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("engine 'dask' needs Dask: pip install 'nerva-sparse[dask]'") from None
    try:
        return Client(scheduler, set_as_default=False, timeout=20)
    except (OSError, ValueError) as error:
        raise OSError(f"there is no Dask scheduler at {scheduler} ({error})") from error


def _by_dask(tasks: Sequence[Callable[[], Any]], scheduler: str, stop: Stop | None) -> Iterator[Finished]:
    with _client(scheduler) as client:
        from nerva.experiments.backends import Dask

        hosts: Counter[str] = Counter()
        for worker in client.scheduler_info(n_workers=-1)["workers"].values():
            hosts[worker["host"]] += worker["nthreads"]
        share = max(hosts.values(), default=1)
        yield from _parallel(dict(enumerate(tasks)), share, stop, backend=Dask(client, _lost), pre_dispatch="all")


def _by_submitit(
    tasks: Sequence[Callable[[], Any]], jobs: int | None, folder: Path, parameters: Mapping[str, Any], stop: Stop | None
) -> Iterator[Finished]:
    from nerva.experiments.backends import Submitit

    executor = _executor(folder, parameters)
    here = executor.cluster != "slurm"  # processes of this machine, all of which would begin at once
    count = min(jobs or (cores() if here else len(tasks)), max(1, len(tasks)))
    if not here and jobs is not None:
        executor.update_parameters(slurm_array_parallelism=jobs)
    backend = Submitit(executor, count, stop, _lost)
    yield from _parallel(
        dict(enumerate(tasks)), count if here else 1, stop, backend=backend, pre_dispatch=str(count) if here else "all"
    )


def _executor(folder: Path, parameters: Mapping[str, Any]) -> Any:
    """Return submitit's executor: Slurm where it is there, else processes of this machine."""
    try:
        import submitit
    except ImportError:
        raise ImportError("engine 'submitit' needs submitit: pip install 'nerva-sparse[submitit]'") from None
    executor = submitit.AutoExecutor(folder=folder / "%j")
    try:
        executor.update_parameters(**{"timeout_min": DAY, "name": "nerva", **parameters})
    except (NameError, ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"parameters: {error}") from None
    return executor


def _lost(index: int, error: BaseException | None) -> Finished:
    """Return what came of a task that an engine has lost, or not begun."""
    return Finished(index, error=error, stopped=error is None)


def _parallel(
    tasks: dict[int, Callable[[], Any]],
    share: int,
    stop: Stop | None,
    *,
    pre_dispatch: str = "2*n_jobs",
    **backend: Any,
) -> Iterator[Finished]:
    """Yield what came of tasks by joblib, whose generator is closed with this one."""
    joblib = _joblib()
    with joblib.parallel_config(**backend):
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=pre_dispatch)
        results = parallel(joblib.delayed(_call)(index, task, share, stop) for index, task in list(tasks.items()))
    with contextlib.closing(results):
        yield from results


def _call(index: int, task: Callable[[], Any], share: int, stop: Stop | None) -> Finished:
    """Call a task where an engine has brought it."""
    if stop is not None and stop.is_set():
        return Finished(index, stopped=True)
    _here.share = share
    try:
        return Finished(index, task())
    except Exception as error:
        return Finished(index, error=_portable(error))


def _portable(error: Exception) -> Exception:
    """Return an error that comes through between processes: another one with its words, where it does not."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which reaches every process of a terminal, to the first one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.pop("FORCE_COLOR", None)


def _joblib() -> Any:
    """Return the package joblib; raise ImportError, which names the extra."""
    try:
        import joblib
    except ImportError:
        raise ImportError("many runs need joblib: pip install 'nerva-sparse[sweep]'") from None
    return joblib
