"""`nerva sweep`: every combination once, in folders of their own, and what a second call does."""

import csv
import json
import os
import re
import signal

import pandas
import pytest

from nerva.experiments import load_table

from ..terminal import Terminal
from .running import ENDLESS, SMALL, assert_refused, finish, read, start, wait_for

NETWORK = ["--hidden", "16,8", "--batch-size", "32"]
FAST = [*NETWORK, "--epochs", 1]


def rows(out):
    with open(out / "table.csv", newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def attempts(folder):
    """How many times a run was begun."""
    return sum("started" in json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines())


@pytest.fixture
def sweep(command, blobs, tmp_path):
    """Sweeps over these options into a folder; gives (exit code, lines of output, lines of errors)."""
    return lambda *options: command("sweep", "--data", blobs, "--out", tmp_path / "runs", *FAST, *options)


def test_every_combination_is_a_run_of_nerva_train(command, sweep, blobs, tmp_path):
    code, out, errors = sweep("--density", "0.5,0.3", "--seed", "1,2", "--topology", "none,rigl")
    assert (code, errors) == (0, [])
    assert out[-1].startswith("8 of 8 runs done")
    assert [line.split(" of ")[0] for line in out[2:-2]] == [str(i) for i in range(1, 9)]
    assert out[1].startswith("predicted ")
    assert out[-2].startswith("took ")
    found = rows(tmp_path / "runs")
    names = [f"density={d},seed={s},topology={t}" for d in (0.3, 0.5) for s in (1, 2) for t in ("none", "rigl")]
    assert list(found) == names
    argv = ["--density", 0.3, "--seed", 2, "--topology", "rigl", "--metrics", tmp_path / "m"]
    assert command("train", "--data", blobs, *FAST, *argv)[0] == 0  # in this process, of other threads
    settings, epochs = read(tmp_path / "m")
    of_sweep, others = read(tmp_path / "runs" / names[3] / "metrics.jsonl")
    assert {**epochs[0], "seconds": 0} == {**others[0], "seconds": 0}
    row = found[names[3]]
    assert (row["status"], row["density"], row["seed"], row["topology"]) == ("done", "0.3", "2", "rigl")
    assert float(row["test_accuracy"]) == epochs[0]["test_accuracy"] == float(row["best_test_accuracy"])
    assert int(row["nnz"]) == settings["nnz"] == of_sweep["nnz"]
    assert found[names[0]]["topology"] == ""
    parquet = pandas.read_parquet(tmp_path / "runs" / "table.parquet")
    assert parquet["run"].tolist() == names
    assert parquet["density"].tolist() == [0.3] * 4 + [0.5] * 4
    assert load_table(tmp_path / "runs")["test_loss"].tolist() == parquet["test_loss"].tolist()


def test_what_is_done_is_not_done_again_and_more_may_be_added(sweep, tmp_path):
    assert sweep("--density", "0.5,0.3")[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/*.json*")}
    code, out, _ = sweep("--density", "0.5,0.3", "--seed", "0,1")  # seed 0 is what holds without the option
    assert code == 0
    assert out[0].startswith("4 runs in")
    assert ", 2 to do" in out[0]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert len(rows(tmp_path / "runs")) == 4
    assert {attempts(path) for path in (tmp_path / "runs").iterdir() if path.is_dir()} == {1}


def test_other_settings_of_a_run_are_refused_by_name(sweep, tmp_path):
    assert sweep("--density", "0.5,0.3")[0] == 0
    result = sweep("--density", "0.5,0.3", "--dropout", 0.5)
    assert_refused(result, [], "density=0.5: holds a run with --dropout 0.0, not 0.5; name another folder")
    assert len(rows(tmp_path / "runs")) == 2


def test_a_run_that_fails_is_recorded_and_the_rest_goes_on(sweep, blobs, tmp_path):
    options = ["--density", 0.3, "--learning-rate", "1e30,0.01", "--seed", "1,2"]
    code, out, errors = sweep(*options)
    assert code == 1
    assert errors == [f"nerva: 2 of 4 runs failed: {tmp_path / 'runs' / 'table.csv'} tells why"]
    assert sum("failed: nerva: stopped, since the loss is not finite" in line for line in out) == 2
    found = rows(tmp_path / "runs")
    assert sorted(row["status"] for row in found.values()) == ["done", "done", "failed", "failed"]
    bad = next(row for row in found.values() if row["status"] == "failed")
    assert (bad["exit_code"], bad["attempts"]) == ("1", "1")
    assert "try a lower --learning-rate" in bad["error"]
    assert ", 0 to do" in sweep(*options)[1][0]
    assert sweep(*options, "--retry-failed")[0] == 1
    assert sorted(row["attempts"] for row in rows(tmp_path / "runs").values()) == ["1", "1", "2", "2"]


def test_a_file_of_options(command, blobs, tmp_path, monkeypatch):
    (tmp_path / "sweep.toml").write_text(
        f'out = "from-file"\ndata = "{blobs}"\nhidden = [16, 8]\nbatch-size = 32\nepochs = 2\ndensity = [0.3, 0.5]\n'
        "[[grid]]\nbatch-norm = [true, false]\n"
        '[[grid]]\ntopology = ["rigl", "set"]\nupdate-every = 3\nhidden = [[16, 8], []]\n'
    )
    monkeypatch.chdir(tmp_path)
    code, out, errors = command("sweep", "sweep.toml", "--dry-run", "--epochs", 1, "--density", "0.4")
    assert (code, errors) == (0, [])
    assert [line.split("  ")[0] for line in out[2:8]] == [
        "hidden=16,8,batch-norm=on,topology=none,update-every=none",
        "hidden=16,8,batch-norm=off,topology=none,update-every=none",
        "hidden=16,8,batch-norm=off,topology=rigl,update-every=3",
        "hidden=16,8,batch-norm=off,topology=set,update-every=3",
        "hidden=none,batch-norm=off,topology=rigl,update-every=3",
        "hidden=none,batch-norm=off,topology=set,update-every=3",
    ]
    assert not (tmp_path / "from-file").exists()
    assert command("sweep", "sweep.toml", "--quiet", "--topology", "rigl", "--update-every", 2)[:2] == (
        0,
        ["6 of 6 runs done; from-file/table.csv has a row for each"],
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--density", "0.1,2"], "nerva sweep: --density: '2' is not a number above 0"),
        (["--density", "0.1,0.10"], "nerva sweep: --density: 0.10 is there twice"),
        (["--topology", "rigl,nothing"], "nerva sweep: --topology: 'nothing' is none of set,"),
        (["--batch-norm", "yes"], "nerva sweep: --batch-norm: 'yes' is neither on nor off"),
        (["--epochs", "none"], "nerva sweep: --epochs: 'none' is not a whole number"),
        (["--topology", "none,rigl", "--update-every", "5"], "sweep: --update-every: goes with --topology (with topo"),
        (["--betas", "0.9;0.8,0.9"], "nerva: sweep: --betas:"),
        (["--checkpoint-every", "1,2"], "nerva sweep: --checkpoint-every: has one value in a sweep"),
        (["--metrics=x"], "unknown option --metrics"),
        (["--densty", "0.1"], "nerva sweep: unknown option --densty; did you mean --density?"),
        (["none.toml"], "nerva sweep: FILE.toml: there is no file none.toml"),
        (["--scheduler", "tcp://a:1"], "nerva sweep: --scheduler: goes with --engine dask"),
        (["--engine", "dask"], "nerva sweep: --engine dask: needs --scheduler"),
        (["--engine", "spark"], "nerva sweep: --engine"),
        (["--jobs", "0"], "nerva sweep: --jobs"),
        (["--out", __file__], "is a file, not a folder"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(command, tmp_path, monkeypatch, options, complaint):
    monkeypatch.chdir(tmp_path)
    assert_refused(command("sweep", *options), options, complaint)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("metrics = 3", "metrics is no option of nerva train that a sweep takes"),
        ('density = "0.1,0.2"', "--density: '0.1,0.2' is not a number"),
        ("density = []", "--density: has no value"),
        ("density = [[0.1]]", "--density: '0.1' "),
        ("seed = 1979-05-27", "a value is a number, a word, true or false"),
        ("jobs = 0", "jobs is 0, which it cannot be"),
        ("jobs = true", "jobs is True, which it cannot be"),
        ('engine = "spark"', "engine is 'spark', which it cannot be"),
        ("epochs = ", "is no TOML"),
    ],
)
def test_a_file_that_is_wrong_is_told(command, tmp_path, monkeypatch, text, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(text)
    if "[[0.1]]" in text:  # a list within a list is one value, of one number
        assert command("sweep", "a.toml", "--dry-run")[0] == 0
        return
    assert_refused(command("sweep", "a.toml"), [text], complaint)
    assert os.listdir(tmp_path) == ["a.toml"]


def test_a_signal_stops_the_runs_and_the_next_call_goes_on_with_the_same_bits(command, blobs, tmp_path):
    options = ["--data", blobs, *SMALL, "--dropout", 0.2, "--epochs", 120]
    varied = ["--seed", "1,2,3"]
    process = start("sweep", *options, *varied, "--out", tmp_path / "runs", "--jobs", 2, cwd=tmp_path)
    metrics = [tmp_path / "runs" / f"seed={seed}" / "metrics.jsonl" for seed in (1, 2)]
    wait_for(lambda: all(path.exists() and len(path.read_text().splitlines()) > 3 for path in metrics))
    process.send_signal(signal.SIGTERM)
    code, _, errors = finish(process)
    assert (code, errors[-1]) == (143, "nerva: interrupted")
    assert not list((tmp_path / "runs").glob("*/result.json"))
    assert not list((tmp_path / "runs").glob(".stop*"))
    assert all(list((path.parent / "checkpoint").iterdir()) for path in metrics)
    assert {row["status"] for row in rows(tmp_path / "runs").values()} == {"unfinished"}
    assert command("sweep", *options, *varied, "--out", tmp_path / "runs", "--jobs", 2)[0] == 0
    assert {name: row["attempts"] for name, row in rows(tmp_path / "runs").items()} == {
        "seed=1": "2",
        "seed=2": "2",
        "seed=3": "1",
    }
    for seed in (1, 2):
        plain = tmp_path / f"{seed}.jsonl"
        assert command("train", *options, "--seed", seed, "--metrics", plain)[0] == 0
        wanted = [{**epoch, "seconds": 0} for epoch in read(plain)[1]]
        assert [{**epoch, "seconds": 0} for epoch in read(metrics[seed - 1])[1]] == wanted


def test_a_job_of_submitit_whose_time_is_over_goes_on(command, blobs, tmp_path):
    options = ["--data", blobs, *SMALL, "--epochs", 120, "--seed", 1]
    out = tmp_path / "runs"
    process = start("sweep", *options, "--engine", "submitit", "--out", out, "--no-prediction", cwd=tmp_path)
    metrics = out / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > 3, 120)
    begun = json.loads((out / "run" / "attempts.jsonl").read_text().splitlines()[0])
    os.kill(begun["pid"], signal.SIGUSR2)  # so Slurm tells, and submitit's own executor
    assert finish(process, 300)[0] == 0
    assert attempts(out / "run") == 2
    assert command("train", *options, "--metrics", tmp_path / "m")[0] == 0
    wanted = [{**epoch, "seconds": 0} for epoch in read(tmp_path / "m")[1]]
    assert [{**epoch, "seconds": 0} for epoch in read(metrics)[1]] == wanted


def test_a_terminal_has_bars(blobs, tmp_path):
    terminal = Terminal()
    options = ["--data", blobs, *SMALL, "--epochs", 200, "--seed", "1,2", "--out", tmp_path / "runs", "--jobs", 1]
    settings = {"TERM": "xterm", "COLUMNS": "120"}
    process = start("sweep", *options, "--no-prediction", cwd=tmp_path, stdout=terminal.theirs, env=settings)
    text = terminal.read()
    assert finish(process)[0] == 0
    assert "1 of 2 runs" in text
    assert re.search(r"seed=1 .*epoch \d+ of 200", text)
    assert " left" in text
    assert "2 of 2  seed=2  test accuracy" in text


def test_a_run_that_is_killed_is_a_failure(blobs, tmp_path):
    options = ["--data", blobs, *SMALL, *ENDLESS, "--seed", "1", "--out", tmp_path / "runs"]
    process = start("sweep", *options, cwd=tmp_path)
    lock, metrics = tmp_path / "runs" / "run" / "lock", tmp_path / "runs" / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > 1)
    holders = [pid for pid in os.listdir("/proc") if pid.isdecimal() and holds(pid, lock)]
    (trains,) = [int(pid) for pid in holders if int(pid) != process.pid]
    os.kill(trains, signal.SIGKILL)
    assert finish(process)[0] == 1
    assert rows(tmp_path / "runs")["run"]["error"] == "killed by signal 9"


def holds(pid, path):
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") == str(path) for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False
