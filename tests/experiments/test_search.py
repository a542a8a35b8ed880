"""Searches: what is tried, what ends, and what a folder remembers."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import nerva
from nerva.experiments.owners import owner
from nerva.experiments.search import Impossible, Mismatch, OneOf, Range, Space, Study, When, run, search

SPACE = Space({"x": Range(0.0, 1.0)})


def params(study):
    return [record.params for record in study.records()]


def states(study):
    return [record.state for record in study.records()]


def square(trial):
    return (trial.params["x"] - 0.3) ** 2


def test_the_best_is_found_and_a_search_learns(tmp_path):
    study = search(square, SPACE, folder=tmp_path, trials=40, maximize=False)
    assert states(study) == ["complete"] * 40
    best = study.best()
    assert best.value == min(record.value for record in study.records()) < 0.002
    assert abs(best.params["x"] - 0.3) < 0.05
    late = [abs(p["x"] - 0.3) for p in params(study)[20:]]
    assert np.median(late) < 0.15  # of random numbers it would be 0.26
    assert study.importances() == {"x": pytest.approx(1)}


def test_one_trial_does_not_tell_what_matters(tmp_path):
    space = Space({"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)})
    assert search(square, space, folder=tmp_path, trials=1).importances() == {}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_second_call_goes_on_as_if_there_had_been_one(tmp_path, sampler):
    how = {"maximize": False, "sampler": sampler, "seed": 3}
    whole = search(square, SPACE, folder=tmp_path / "whole", trials=15, **how)
    search(square, SPACE, folder=tmp_path / "parts", trials=6, **how)
    parts = search(square, SPACE, folder=tmp_path / "parts", trials=15, **how)
    assert params(whole) == params(parts)
    assert len({p["x"] for p in params(whole)}) == 15
    assert len(search(square, SPACE, folder=tmp_path / "parts", trials=3, **how).records()) == 15


def test_an_interrupted_trial_is_tried_again_first(tmp_path):
    tried = []

    def interrupted(trial):
        tried.append(trial.params["x"])
        if len(tried) == 3:
            signal.raise_signal(signal.SIGINT)
        return 1.0

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    with pytest.raises(KeyboardInterrupt):
        search(interrupted, SPACE, folder=tmp_path, trials=5)
    signal.signal(signal.SIGINT, before)
    study = search(interrupted, SPACE, folder=tmp_path, trials=5)
    assert states(study) == ["complete", "complete", "interrupted", "complete", "complete", "complete"]
    assert tried[2] == tried[3]
    assert len({*tried}) == 5
    assert tried[:3] + tried[4:] == [p["x"] for p in params(search(square, SPACE, folder=tmp_path / "b", trials=5))]


@pytest.mark.parametrize("pruner", ["median", "halving", "none"])
def test_bad_trials_end_early(tmp_path, pruner):
    steps = []

    def objective(trial):
        steps.append(0)
        quality = 0.9 if trial.number < 6 else 0.1
        for step in range(1, 11):
            steps[-1] = step
            trial.report(step, quality * step, last=step == 10)
        return quality * 10

    study = search(objective, SPACE, folder=tmp_path, trials=8, pruner=pruner)
    if pruner == "none":
        assert steps == [10] * 8
    else:
        assert steps[0] == 10
        assert max(steps[6:]) < 10
        assert min(steps[6:]) == (2 if pruner == "median" else 1)
        assert states(study)[6:] == ["pruned"] * 2
        assert study.records()[7].steps == steps[7]
        assert study.records()[7].value == pytest.approx(0.1 * steps[7])
    assert study.best().value == 9


def test_trials_diverge_and_fail_one_by_one(tmp_path):
    def objective(trial):
        if trial.number == 0:
            raise Impossible("no such thing")
        if trial.number == 1:
            return float("nan")
        if trial.number == 2:
            X = np.full((20, 4), 1e30, np.float32)
            nerva.MLP([4, 3]).fit(X, [0] * 20, epochs=2, schedule=1e30)
        return 0.5

    study = search(objective, SPACE, folder=tmp_path, trials=4)
    assert states(study) == ["failed", "diverged", "diverged", "complete"]
    assert study.records()[0].reason == "no such thing"
    assert study.best().number == 3


def test_any_other_error_ends_the_search_and_loses_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="disk"):
        search(lambda trial: 1 / 0 if trial.number < 0 else (_ for _ in ()).throw(RuntimeError("disk")), SPACE,
               folder=tmp_path, trials=2)  # fmt: skip
    assert states(search(square, SPACE, folder=tmp_path, trials=2)) == ["interrupted", "complete", "complete"]


def test_another_search_in_the_folder_is_refused_by_name(tmp_path):
    search(square, SPACE, folder=tmp_path, trials=1, settings={"epochs": "3"})
    before = (tmp_path / "journal.log").read_bytes()
    other = Space({"x": Range(0.0, 2.0)})
    with pytest.raises(Mismatch, match=r"space.x is 0.0..2.0; the search in the folder has 0.0..1.0"):
        search(square, other, folder=tmp_path, trials=2, settings={"epochs": "3"})
    with pytest.raises(Mismatch, match="epochs is 4; the search in the folder has 3"):
        search(square, SPACE, folder=tmp_path, trials=2, settings={"epochs": "4"})
    with pytest.raises(Mismatch, match="direction is minimize"):
        search(square, SPACE, folder=tmp_path, trials=2, settings={"epochs": "3"}, maximize=False)
    with pytest.raises(Mismatch, match="epochs is None"):
        search(square, SPACE, folder=tmp_path, trials=2)
    assert (tmp_path / "journal.log").read_bytes() == before


def test_wrong_arguments_are_named(tmp_path):
    for name, value in (("trials", 0), ("sampler", "grid"), ("pruner", "shears"), ("seed", -1)):
        with pytest.raises(ValueError, match=f"{name} is"):
            search(square, SPACE, **{"folder": tmp_path, name: value})


def test_a_line_that_was_cut_off_is_dropped_and_another_file_is_refused(tmp_path):
    search(square, SPACE, folder=tmp_path, trials=2)
    with open(tmp_path / "journal.log", "a") as file:
        file.write('{"op_code":4,"wor')
    assert states(search(square, SPACE, folder=tmp_path, trials=4)) == ["complete"] * 4
    (tmp_path / "journal.log").write_text("this is\nno journal\n")
    with pytest.raises(ValueError, match=r"journal\.log: is no journal of a search, or broken"):
        Study(tmp_path)


SLOW = """
import sys, time
from nerva.experiments.search import Range, Space, search

def objective(trial):
    time.sleep(0.05)
    trial.report(1, 0.5)
    return trial.params["x"]

search(objective, Space({"x": Range(0.0, 1.0)}), folder=sys.argv[1], trials=9)
"""


def test_processes_share_a_folder(tmp_path):
    processes = [subprocess.Popen([sys.executable, "-P", "-c", SLOW, tmp_path]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    study = Study(tmp_path, settings={"space.x": "0.0..1.0"})
    assert states(study) == ["complete"] * 9
    assert len({p["x"] for p in params(study)}) == 9
    owners = {trial.user_attrs["owner"]["process"] for trial in study._study.trials}
    assert len(owners) in (1, 2)


DYING = """
import os, signal, sys
from nerva.experiments.search import Range, Space, search

def objective(trial):
    if trial.number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return trial.params["x"]

search(objective, Space({"x": Range(0.0, 1.0)}), folder=sys.argv[1], trials=4)
"""


def test_a_trial_whose_process_was_killed_is_tried_again_and_at_last_fails(tmp_path):
    def die(number):
        done = subprocess.run([sys.executable, "-P", "-c", DYING, tmp_path, str(number)], env=os.environ, check=False)
        return done.returncode

    settings = {"space.x": "0.0..1.0"}
    assert die(1) == -signal.SIGKILL
    assert states(Study(tmp_path, settings=settings)) == ["complete", "running"]
    assert die(2) == -signal.SIGKILL
    study = Study(tmp_path, settings=settings)
    assert states(study) == ["complete", "killed", "running"]
    assert params(study)[1] == params(study)[2]
    assert die(3) == -signal.SIGKILL
    assert die(-1) == 0
    study = Study(tmp_path, settings=settings)
    assert states(study) == ["complete", "killed", "killed", "failed", "complete", "complete"]
    assert "3 processes died of it" in study.records()[3].reason


def test_a_trial_of_another_machine_is_lost_after_a_time_and_may_come_back(tmp_path, monkeypatch):
    here = owner()
    monkeypatch.setattr("nerva.experiments.study.owner", lambda: {**here, "machine": "elsewhere"})
    seen = []

    def objective(trial):
        seen.append(trial.params["x"])
        if len(seen) == 1:
            others = [Study(tmp_path, lost_after=after) for after in (60, -1)]
            run(objective, others[0], SPACE, trials=1)
            assert len(seen) == 1
            run(objective, others[1], SPACE, trials=1)
            trial.report(1, 0.0)
            raise AssertionError("the trial is another one's")
        return 1.0

    study = Study(tmp_path)
    run(objective, study, SPACE, trials=2)
    assert states(study) == ["killed", "complete", "complete"]
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("end", [lambda: 1.0, lambda: float("nan"), lambda: (_ for _ in ()).throw(Impossible("no"))])
def test_the_end_of_a_trial_that_another_process_has_taken_is_none(tmp_path, monkeypatch, end):
    monkeypatch.setattr("nerva.experiments.study.is_lost", lambda *_: len(seen) == 1)
    seen = []

    def objective(trial):
        seen.append(trial.params["x"])
        if len(seen) == 1:
            run(objective, Study(tmp_path), SPACE, trials=1)
            return end()
        return 1.0

    run(objective, Study(tmp_path), SPACE, trials=1)
    assert states(Study(tmp_path)) == ["killed", "complete"]


def test_a_running_trial_counts(tmp_path):
    study, inner = Study(tmp_path), []

    def objective(trial):
        if not inner:
            inner.append(True)
            run(square, Study(tmp_path), SPACE, trials=3)  # another one, while the first trial runs
        return 1.0

    run(objective, study, SPACE, trials=3)
    assert states(study) == ["complete"] * 3


def test_conditions_and_choices_reach_the_records(tmp_path):
    space = Space({"method": OneOf(("set", "none")), "drop": Range(0.1, 0.5)}, {"drop": When("method", ("set",))})
    study = search(lambda trial: trial.params.get("drop", 0.0), space, folder=tmp_path, trials=12, sampler="random")
    assert {len(p) for p in params(study)} == {1, 2}
    assert all(("drop" in p) == (p["method"] == "set") for p in params(study))
    assert study.best().params["method"] == "set"
