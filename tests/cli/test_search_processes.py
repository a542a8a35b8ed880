"""`nerva search` in several processes: they share a folder, and end with the command, however it ends."""

import csv
import os
import signal
import time

import numpy as np
import pytest

from nerva.experiments.owners import started

from .running import ENDLESS, SMALL, finish, start, wait_for

PATIENCE = 300  # seconds: each process imports all there is, and machines may have much else to do
OVER = ["--over", "learning-rate=0.01..0.1"]


@pytest.fixture
def arguments(blobs, tmp_path):
    return ["search", "--data", blobs, *SMALL, "--out", tmp_path / "search", *OVER]


def rows(folder):
    with open(folder / "search" / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def running(folder):
    """The numbers of the processes of all trials that were begun."""
    journal = folder / "search" / "journal.log"
    text = journal.read_text() if journal.exists() else ""
    return [int(line.split('"process":')[1].split(",")[0]) for line in text.splitlines() if '"process":' in line]


def gone(processes):
    return all(started(process) is None for process in processes)


def test_two_processes_do_all_trials_between_them(arguments, tmp_path):
    process = start(*arguments, "--epochs", 3, "--trials", 12, "--jobs", 2, "--threads", 1, cwd=tmp_path)
    code, out, errors = finish(process, PATIENCE)
    assert (code, errors) == (0, [])
    assert sum(line.strip()[:1].isdigit() for line in out) == 12
    found = rows(tmp_path)
    assert [row["trial"] for row in found] == [str(number) for number in range(12)]
    assert {row["state"] for row in found} <= {"complete", "pruned"}
    assert len({row["learning-rate"] for row in found}) == 12
    assert process.pid not in running(tmp_path)


def test_two_commands_share_a_folder(arguments, tmp_path):
    commands = [start(*arguments, "--epochs", 3, "--trials", 10, "--threads", 1, cwd=tmp_path) for _ in range(2)]
    for command in commands:
        code, _, errors = finish(command, PATIENCE)
        assert (code, errors) == (0, [])
    assert len(rows(tmp_path)) == 10
    assert len({row["learning-rate"] for row in rows(tmp_path)}) == 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_and_their_trials_are_kept(arguments, tmp_path, number):
    process = start(*arguments, *ENDLESS, "--jobs", 2, "--threads", 1, cwd=tmp_path)
    wait_for(lambda: len(running(tmp_path)) == 2, PATIENCE)
    process.send_signal(number)
    code, _, errors = finish(process, PATIENCE)
    assert code == 128 + number
    assert errors == [f"nerva: 0 trials are in {tmp_path / 'search'}; the same command goes on", "nerva: interrupted"]
    assert gone(running(tmp_path))
    assert sorted(row["state"] for row in rows(tmp_path)) == ["interrupted", "interrupted", "waiting", "waiting"]


def test_processes_end_where_the_command_is_killed(arguments, tmp_path):
    process = start(*arguments, *ENDLESS, "--jobs", 2, "--threads", 1, cwd=tmp_path)
    wait_for(lambda: len(running(tmp_path)) == 2, PATIENCE)
    process.kill()
    finish(process, PATIENCE)
    wait_for(lambda: gone(running(tmp_path)), PATIENCE)
    time.sleep(0.1)
    text = (tmp_path / "search" / "journal.log").read_text()
    assert text.count('"end":"interrupted"') == 2


def test_a_killed_process_is_told_and_the_others_do_its_trial(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((5000, 20), dtype=np.float32), rng.integers(0, 3, 5000)
    np.savez(tmp_path / "slow.npz", Xtrain=X, Ttrain=y, Xtest=X[:9], Ttest=y[:9])
    options = ["--data", tmp_path / "slow.npz", "--hidden", "8", "--density", "0.5", "--batch-size", 1, "--epochs", 4]
    options += ["--out", tmp_path / "search", "--trials", 2, "--jobs", 2, "--threads", 1, "--pruner", "none"]
    process = start("search", *options, "--over", "learning-rate=0.0001..0.001", cwd=tmp_path)
    journal = tmp_path / "search" / "journal.log"
    # Within an epoch, and not while its figure is written: the others would wait for half a minute then.
    wait_for(lambda: journal.exists() and "intermediate_value" in journal.read_text(), PATIENCE)
    wait_for(lambda: not os.path.lexists(f"{journal}.lock"), PATIENCE)
    os.kill(running(tmp_path)[0], signal.SIGKILL)
    code, _, errors = finish(process, PATIENCE)
    assert (code, errors) == (0, ["nerva: a process of the search ended by signal 9, as by a lack of memory"])
    found = rows(tmp_path)
    assert sorted(row["state"] for row in found) == ["complete"] * 2 + ["killed"]
    (lost,) = [row["learning-rate"] for row in found if row["state"] == "killed"]
    assert [row["state"] for row in found if row["learning-rate"] == lost] == ["killed", "complete"]


def test_what_stops_every_process_is_an_error(arguments, tmp_path, blobs):
    process = start(*arguments, "--epochs", 1, "--trials", 2, "--validation-split", 0.001, "--jobs", 2, cwd=tmp_path)
    code, out, errors = finish(process, PATIENCE)
    assert (code, out) == (2, [])
    assert errors == ["nerva: --validation-split 0.001: of 250 samples it holds out 0"]
