"""Many runs of `nerva train`, each in a folder of its own: all of them are brought to an end."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from nerva.experiments.display import Display
from nerva.experiments.engines import run_all
from nerva.experiments.runs import RESULT, Run, begun, check_settings, execute, read_json
from nerva.experiments.stop import Stop
from nerva.experiments.tables import row_of, rows, write_tables
from nerva.system.files import as_path
from nerva.system.signals import handling, interrupt

PATIENCE = 10.0  # seconds between two writings of the table


def place(out: str | os.PathLike[str], names: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Return the folder of each run: that of a run with the same settings, or a new one of this name.

    Raises ValueError, which names a setting, where there is a folder of this name with other settings.
    """
    folder = as_path(out).absolute()
    known: dict[str, Path] = {}
    for path, settings_there in begun(folder):
        known.setdefault(_key(settings_there), path)
    found = []
    for name, each in zip(names, settings, strict=True):
        path = known.get(_key(each), folder / name)
        check_settings(Run(path, (), each))
        found.append(path)
    return found


def _key(settings: Mapping[str, Any]) -> str:
    """Return settings as text that is the same for the same ones."""
    return json.dumps({name: value for name, value in settings.items() if value or value == ""}, sort_keys=True)


def unfinished(runs: Sequence[Run], *, retry_failed: bool = False) -> list[Run]:
    """Return the runs that are left to do: without a result, or with a failed one that is to be tried again."""
    left = []
    for run in runs:
        found = read_json(run.folder / RESULT)
        if found is None or (retry_failed and found["status"] != "done"):
            left.append(run)
    return left


def run_sweep(
    runs: Sequence[Run],
    out: str | os.PathLike[str],
    display: Display,
    *,
    retry_failed: bool = False,
    **engine: Any,
) -> Counter[str]:
    """Bring runs to an end, show them, write the tables, and return how many runs have each status.

    Parameters
    ----------
    runs : in folders of `out`, those that are left to do
    out : the folder of the tables, which have all runs in it
    display : of these runs, entered
    retry_failed : as of `execute`
    engine : engine, jobs and so on, as of `run_all`

    SIGINT and SIGTERM end the runs, each with a checkpoint, and then raise KeyboardInterrupt; a second signal does at
    once. A run that cannot be run at all, as on a full disk, counts as failed, and is told of on standard error.
    """
    stop, held, counts = Stop(out), list[int](), Counter[str]()

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            interrupt(number, frame)
        held.append(number)
        stop.set()

    tasks = [partial(execute, run, retry_failed=retry_failed, stop=stop) for run in runs]
    written = time.monotonic()
    try:
        with handling(hold):
            for done in run_all(tasks, stop=stop, **engine):
                if done.stopped or (done.error is None and done.value["status"] == "stopped"):
                    counts["unfinished"] += 1
                    continue
                row = row_of(runs[done.index].folder)
                if done.error is not None:
                    row |= {"status": "failed", "error": " ".join(str(done.error).split())[:500]}
                    print(f"nerva: {runs[done.index].name}: {row['error']}", file=sys.stderr)
                counts[row["status"]] += 1
                display.ended(done.index, row)
                if time.monotonic() > written + PATIENCE:
                    write_tables(out, rows(out))
                    written = time.monotonic()
    except BaseException:
        stop.set()  # what runs on other machines ends, too
        raise
    stop.clear()
    write_tables(out, rows(out))
    if held:
        print("nerva: every run keeps a checkpoint; the same command goes on from there", file=sys.stderr)
        raise KeyboardInterrupt(held[0])
    return counts
