"""Each task is called, whatever becomes of the others and of the process that calls it."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from nerva.experiments import Stop, run_all
from nerva.experiments.engines import cores

PROGRAM = """
import json, pathlib, sys
from functools import partial
from nerva.experiments import Stop, run_all
import tasks

folder, function, engine = pathlib.Path(sys.argv[1]), getattr(tasks, sys.argv[2]), json.loads(sys.argv[3])
if __name__ == "__main__":
    for done in run_all([partial(function, folder, number) for number in range(5)], **engine):
        print(json.dumps([done.index, done.value, done.error and f"{type(done.error).__name__}: {done.error}"]))
"""


def call(folder, function, engine):
    """What came of tasks.py's function of 0 to 4, in a process of its own: {index: (value, error)}."""
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [sys.executable, "-c", PROGRAM, str(folder), function, json.dumps(engine)]
    how = {"env": {**os.environ, "PYTHONPATH": path}, "cwd": folder}  # where no sources of nerva are
    done = subprocess.run(arguments, **how, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len({index for index, _, _ in found})
    return {index: (value, error) for index, value, error in found}


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_task_raises_is_its_result(tmp_path, jobs):
    found = call(tmp_path, "double", {"jobs": jobs})
    assert found == {0: (0, None), 1: (2, None), 2: (4, None), 3: (None, "ValueError: three is refused"), 4: (8, None)}


def test_an_error_that_stays_where_it_is_raised_is_told_all_the_same(tmp_path):
    assert call(tmp_path, "refuse", {"jobs": 2})[4] == (None, "RuntimeError: Odd: number 4")


def test_a_task_whose_process_is_killed_is_called_again(tmp_path):
    found = call(tmp_path, "die_once", {"jobs": 2})
    assert found[1] == (2, None)
    assert sorted(found) == [0, 1, 2, 3, 4]


def test_processes_that_break_again_and_again_are_an_error(tmp_path):
    with pytest.raises(AssertionError, match="RuntimeError: the processes of the engine ended 3 times in a row"):
        call(tmp_path, "die", {"jobs": 2})


def test_jobs_of_submitit(tmp_path):
    """One that is killed is an error, and so is what a task raises; there is no Slurm here."""
    found = call(tmp_path, "die", {"engine": "submitit", "jobs": 2, "folder": str(tmp_path / "jobs")})
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert found[1][1].startswith("UncompletedJobError")
    assert found[3] == (None, "ValueError: three is refused")
    assert found[4] == (8, None)


def test_no_task_begins_after_the_word_to_stop(tmp_path):
    stop = Stop(tmp_path / "new")
    stop.set()
    found = list(run_all([partial(print, "called")] * 3, jobs=1, stop=stop))
    assert [(done.index, done.stopped) for done in found] == [(0, True), (1, True), (2, True)]
    stop.clear()
    stop.clear()
    assert os.listdir(tmp_path / "new") == []


def test_processors_are_divided_by_the_tasks_at_a_time(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert cores() == 1


@pytest.mark.parametrize(
    ("settings", "error", "complaint"),
    [
        ({"engine": "spark"}, ValueError, "engine is 'spark'"),
        ({"jobs": 0}, ValueError, "jobs"),
        ({"engine": "dask"}, ValueError, "scheduler: engine 'dask' needs the address of one"),
        ({"scheduler": "tcp://a:1"}, ValueError, "no other engine takes it"),
        ({"engine": "submitit"}, ValueError, "folder: engine 'submitit' needs one"),
        ({"folder": "x"}, ValueError, "no other engine takes it"),
        ({"parameters": {"timeout_min": 1}}, ValueError, "parameters: go with engine 'submitit'"),
    ],
)
def test_wrong_arguments(settings, error, complaint):
    with pytest.raises(error, match=complaint):
        run_all([], **settings)
