"""The command `nerva sweep`."""

from __future__ import annotations

import contextlib
import io
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nerva.cli.arguments import parse
from nerva.cli.build import Failure, printing
from nerva.cli.measuring import measure
from nerva.experiments.display import Display
from nerva.experiments.engines import places, run_all
from nerva.experiments.grid import Value, as_argv, combinations, dashed, folder_names, varied
from nerva.experiments.prediction import Costs, estimate, makespan, mean, spread
from nerva.experiments.runs import METRICS, RESULT, SETTINGS, Run, read_json, read_lines
from nerva.experiments.sweeps import place, run_sweep, unfinished
from nerva.tables import table
from nerva.training.progress import duration

MEASURED = 12  # kinds of runs, at most, that are measured to predict the others

# What is not part of what a run computes, or is the sweep's.
IDLE = {"command", "version", "quiet", "metrics", "overwrite", "checkpoint", "checkpoint_every", "resume"} | {
    "save_weights",
    "timer",
    "check_gradients",
    "distributed",
}


def sweep(options: Namespace) -> None:
    """Train every combination of values, and write a table; raise Failure or OSError if that fails."""
    began = time.monotonic()
    try:
        runs, epochs = plan(options)
        left = unfinished(runs, retry_failed=options.retry_failed)
        chosen = {run.folder for run in left}
        todo = [count for run, count in zip(runs, epochs, strict=True) if run.folder in chosen]
        count = places(options.engine, options.jobs, options.scheduler, len(left))
        engine = engine_of(options, count)
        seconds = None if options.no_prediction else predict(left, todo, count, engine)
        if options.dry_run:
            with printing():
                print("\n".join([_listed(runs, left), "", *_told(seconds, count)]).rstrip())
            return
        shown = Display(left, todo, seconds, quiet=options.quiet)
        shown.say(f"{len(runs)} runs in {options.out}, {len(left)} to do, {count} at a time")
        for line in _told(seconds, count):
            shown.say(line)
        measured = time.monotonic()
        with shown:
            run_sweep(left, options.out, shown, retry_failed=options.retry_failed, **engine)
    except (ValueError, ImportError) as error:
        raise Failure(error, 2) from error
    except RuntimeError as error:
        raise Failure(error) from error
    if left:
        before = f", after {duration(measured - began)} of preparation" if seconds else ""
        shown.say(f"took {duration(time.monotonic() - measured)}{before}")
    states = [(read_json(run.folder / RESULT) or {"status": "unfinished"})["status"] for run in runs]
    done, path = states.count("done"), Path(options.out) / "table.csv"
    shown.result(f"{done} of {len(runs)} runs done; {path} has a row for each")
    if done < len(runs):
        raise Failure(f"{len(runs) - done} of {len(runs)} runs failed: {path} tells why")


def engine_of(options: Namespace, count: int) -> dict[str, Any]:
    """Return the arguments of `run_all` that say by what so many runs at a time are run."""
    if options.engine == "dask":
        return {"engine": "dask", "scheduler": options.scheduler}
    if options.engine == "submitit":
        folder = Path(options.out) / ".submitit"
        return {"engine": "submitit", "jobs": options.jobs, "folder": folder, "parameters": options.submitit}
    return {"engine": "loky", "jobs": count}


def predict(runs: Sequence[Run], epochs: Sequence[int], count: int, engine: Mapping[str, Any]) -> list[float] | None:
    """Return the seconds that each run will take, as measured on some of them; None where none could be measured.

    As many measure at a time as there will be runs, since they take time from each other; for submitit, one here.
    """
    if not runs:
        return None
    if engine["engine"] == "submitit":
        engine = {"engine": "loky", "jobs": 1}
    chosen = spread([run.settings for run in runs], MEASURED)
    copies = [chosen[i % len(chosen)] for i in range(max(len(chosen), min(count, len(runs))))]
    tasks = [partial(measure, runs[i].argv, runs[i].threads) for i in copies]
    found: dict[int, list[Costs]] = {}
    for done in run_all(tasks, **engine):
        if done.error is None:
            found.setdefault(copies[done.index], []).append(done.value)
    if not found:
        return None
    known = [(runs[i].settings, mean(costs)) for i, costs in found.items()]
    return [
        estimate(run.settings, known).seconds(count, max(0, len(read_lines(run.folder / METRICS)) - 1))
        for run, count in zip(runs, epochs, strict=True)
    ]


def _told(seconds: Sequence[float] | None, count: int) -> list[str]:
    return [] if not seconds else [f"predicted {duration(makespan(seconds, count))}"]


def plan(options: Namespace) -> tuple[list[Run], list[int]]:
    """Return the runs of a sweep, each of which `nerva train` would take, and the epochs of each.

    Raises Failure, which names the combination, for one that it would not, and ValueError where there is another run in
    the folder of one.
    """
    given = combinations(options.grids)
    vary = varied(given, options.order)
    every = [settings_of(each, vary) for each in given]
    first = {repr(settings): i for i, settings in reversed([*enumerate(every)])}  # of those that come to the same
    kept = sorted(first.values())
    names = folder_names(given, options.order)
    folders = place(options.out, [names[i] for i in kept], [every[i] for i in kept])
    runs = [
        Run(
            folder,
            tuple(as_argv({name: value for name, value in given[i].items() if name != "threads"})),
            every[i],
            threads=int(str(given[i]["threads"])) if "threads" in given[i] else None,
            save_weights=options.save_weights,
        )
        for folder, i in zip(folders, kept, strict=True)
    ]
    return runs, [every[i]["epochs"] for i in kept]


def settings_of(given: Mapping[str, Value], vary: list[str]) -> dict[str, Any]:
    """Return all settings of a run; raise Failure, which names what varies of it, where `nerva train` refuses it."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed = parse(["train", *as_argv(given)])
    except SystemExit:
        problem = errors.getvalue().strip().removeprefix("nerva train: ")
        told = ", ".join(f"{dashed(name)}={given.get(name) or 'none'}" for name in vary)
        raise Failure(f"sweep: {problem}" + (f" (with {told})" if told else ""), 2) from None
    # The results have the same bits for any number of threads: they are no setting unless they are compared.
    idle = IDLE if "threads" in vary else IDLE | {"threads"}
    return {name: value for name, value in vars(parsed).items() if name not in idle}


def _listed(runs: list[Run], left: list[Run]) -> str:
    """Return the runs as a table."""
    todo = {run.folder for run in left}
    lines = [("run", "state")]
    for run in runs:
        found = read_json(run.folder / RESULT)
        begun = (run.folder / SETTINGS).exists()
        state = "begun" if begun and found is None else "new" if found is None else found["status"]
        lines.append((run.name, f"{state}, to do" if run.folder in todo and state == "failed" else state))
    return table(lines, left=(0, 1), rules=(0,))
