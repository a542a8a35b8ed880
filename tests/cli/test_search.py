"""The command `nerva search`: trials, what it prints and keeps, and how it goes on."""

import csv
import json
import re
import shlex
import signal
import sys

import numpy as np
import pandas
import pytest

import nerva
from nerva.cli.arguments import parse
from nerva.cli.search_trials import hold_out

from .running import ENDLESS, SMALL, finish, start, wait_for

LINE = re.compile(r" +\d+  (complete|pruned|diverged|failed) +(\d+\.\d{2}%)? +\d+ +\d+\.\d  .+=")


@pytest.fixture
def search(command, blobs, tmp_path):
    """Searches with these options in a folder; gives (exit code, lines of output, lines of errors)."""

    def run(*options, out=tmp_path / "search"):
        return command("search", "--data", blobs, *SMALL, "--out", out, *options)

    return run


def rows(folder):
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_best_trial_is_told_by_its_command(search, command, blobs, tmp_path):
    options = ["--epochs", 2, "--trials", 4, "--over", "learning-rate=0.0001..0.3:log", "--over", "topology=none,set"]
    code, out, errors = search(*options, "--over", "drop-fraction=0.1..0.5", "--update-every", 3)
    assert (code, errors) == (0, [])
    assert [bool(LINE.match(line)) for line in out[1:5]] == [True] * 4, out
    assert out[6].startswith("trials       4 complete; in ")
    found = rows(tmp_path / "search")
    assert [row["state"] for row in found] == ["complete"] * 4
    best = max(found, key=lambda row: float(row["validation_accuracy"]))
    words = shlex.split(out[-1])
    assert words[:2] == ["nerva", "train"]
    chosen = parse(words[1:])
    assert (chosen.data, chosen.hidden, chosen.density, chosen.epochs) == (blobs, [16, 8], 0.3, 2)
    assert chosen.learning_rate == float(best["learning-rate"])
    assert chosen.topology == (None if best["topology"] == "none" else "set")
    assert all((row["drop-fraction"] != "") == (row["topology"] == "set") for row in found)
    assert command(*words[1:])[0] == 0


def test_a_trial_is_a_run_of_train_on_a_part_of_the_training_samples(search, blobs, tmp_path):
    options = ["--epochs", 3, "--trials", 2, "--over", "learning-rate=0.01,0.2", "--seed", 5, "--optimizer", "momentum"]
    assert search(*options, "--validation-split", 0.3, "--pruner", "none")[0] == 0
    data = nerva.datasets.npz(blobs)
    for row in rows(tmp_path / "search"):
        model = nerva.MLP([20, 16, 8, 3], density=0.3, seed=5)
        how = {"epochs": 3, "batch_size": 32, "optimizer": nerva.Momentum(0.9)}
        how["schedule"] = nerva.schedules.MultiStep(float(row["learning-rate"]), [50, 75], 0.1)
        history = model.fit(*data.train, validation_split=0.3, **how)
        assert float(row["validation_accuracy"]) == history["test_accuracy"][-1]


def test_test_samples_are_not_looked_at(blobs):
    data = nerva.datasets.npz(blobs)
    part = hold_out(data, 0.2)
    assert (len(part.train.y), len(part.test.y)) == (200, 50)
    everything = {row.tobytes() for row in data.train.X}
    assert {row.tobytes() for X in (part.train.X, part.test.X) for row in X} == everything
    assert not {row.tobytes() for row in part.train.X} & {row.tobytes() for row in part.test.X}


def test_the_same_command_goes_on(search, tmp_path):
    options = ["--epochs", 1, "--over", "learning-rate=0.01..0.3:log", "--over", "batch-norm=yes,no"]
    assert search(*options, "--trials", 2)[0] == 0
    first = rows(tmp_path / "search")
    code, out, _ = search(*options, "--trials", 4)
    assert code == 0
    assert [line.split()[0] for line in out[1:5]] == ["0", "1", "2", "3"]
    second = rows(tmp_path / "search")
    assert second[:2] == first
    assert search(*options, "--trials", 4, out=tmp_path / "whole")[0] == 0
    keys = ["learning-rate", "batch-norm", "validation_accuracy"]
    assert [[row[key] for key in keys] for row in second] == [
        [row[k] for k in keys] for row in rows(tmp_path / "whole")
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (["--over", "learning-rate=0.1..0.3"], "--over learning-rate: 0.1..0.3, but 0.1..0.2 in the search in"),
        (["--over", "learning-rate=0.1..0.2", "--epochs", 2], "--epochs: 2, but 1 in the search in"),
        (["--over", "learning-rate=0.1..0.2", "--augment"], "--augment: goes with images only"),
        (["--over", "learning-rate=0.1..0.2", "--batch-norm"], "--batch-norm: given, but not given in the search in"),
        (["--over", "learning-rate=0.1..0.2", "--seed", 1], "--seed: 1, but 0 in the search in"),
    ],
)
def test_another_search_in_the_folder_is_an_error_that_names_the_option(search, tmp_path, change, complaint):
    assert search("--epochs", 1, "--trials", 1, "--over", "learning-rate=0.1..0.2")[0] == 0
    before = (tmp_path / "search" / "journal.log").read_bytes()
    code, out, errors = search("--epochs", 1, "--trials", 2, *change)
    assert (code, out, len(errors)) == (2, [], 1)
    assert complaint in errors[0]
    assert (tmp_path / "search" / "journal.log").read_bytes() == before


def test_other_data_under_the_name_are_an_error(command, tmp_path):
    rng, options = np.random.default_rng(0), ["--data", tmp_path / "d.npz", "--out", tmp_path / "s", "--epochs", 1]
    options += ["--over", "learning-rate=0.1..0.2", "--trials", 1, "--hidden", "none", "--density", "1"]
    for n, wanted in ((100, 0), (101, 2)):
        X, y = rng.standard_normal((n, 6), dtype=np.float32), np.arange(n) % 3
        np.savez(tmp_path / "d.npz", Xtrain=X, Ttrain=y, Xtest=X, Ttest=y)
        code, _, errors = command("search", *options)
        assert code == wanted
    assert "--data, samples: 101, but 100 in the search in" in errors[0]


def test_numbers_are_judged_by_the_loss(command, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    lines = [",".join(map(str, [*row, row @ [1, 2, 3, 4]])) for row in X]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,d,y", *lines]))
    options = ["--data", tmp_path / "t.csv", "--out", tmp_path / "s", "--trials", 3, "--epochs", 2]
    code, out, errors = command("search", *options, "--over", "learning-rate=0.0001..0.01:log")
    assert (code, errors) == (0, [])
    assert out[0].split()[2] == "loss"
    losses = [float(row["validation_loss"]) for row in rows(tmp_path / "s")]
    assert f"trial {int(np.argmin(losses))}: validation loss " in "\n".join(out)
    code, _, errors = command("search", *options, "--over", "loss=mean-squared-error,squared-error")
    assert (code, "--over loss: the trials are judged by the loss" in errors[0]) == (2, True)


def test_trials_that_diverge_or_do_not_go_together_are_told_and_the_others_go_on(search, tmp_path):
    options = ["--over", "learning-rate=0.1,1e30", "--epochs", 1, "--trials", 6, "--sampler", "random"]
    code, out, _ = search(*options, "--over", "prune-at-start=none,snip", "--over", "batch-norm=no,yes")
    found = rows(tmp_path / "search")
    for row in found:
        if (row["prune-at-start"], row["batch-norm"]) == ("snip", "yes"):
            assert (row["state"], row["reason"]) == ("failed", "--batch-norm: does not go with --prune-at-start")
        else:
            assert (row["state"] == "diverged") == (row["learning-rate"] == "1e30")
    assert {row["state"] for row in found} == {"complete", "diverged", "failed"}
    assert code == 0
    assert "(--batch-norm: does not go with --prune-at-start)" in "\n".join(out)
    code, _, errors = search("--over", "learning-rate=1e29,1e30", "--trials", 2, "--epochs", 1, out=tmp_path / "b")
    assert (code, errors) == (1, ["nerva: no trial was completed: 2 diverged"])


def test_bad_trials_are_pruned(search, tmp_path):
    options = ["--over", "learning-rate=0.1,1e-9", "--epochs", 9, "--trials", 8, "--sampler", "random"]
    code, _, _ = search(*options, "--pruner", "halving")
    found = rows(tmp_path / "search")
    pruned = [row for row in found if row["state"] == "pruned"]
    assert code == 0
    assert pruned
    assert all(int(row["steps"]) < 9 for row in pruned)
    assert all(row["steps"] == "9" for row in found if row["state"] == "complete")


def test_the_test_samples_are_asked_once_and_only_on_request(search, tmp_path):
    options = ["--over", "learning-rate=0.01,0.1", "--epochs", 1, "--trials", 2]
    code, out, _ = search(*options)
    assert code == 0
    assert not any("test accuracy" in line for line in out)
    code, out, _ = search(*options, "--test")
    assert code == 0
    assert any(line.startswith("test accuracy") for line in out)
    record = json.loads((tmp_path / "search" / "best.jsonl").read_text().splitlines()[0])["run"]
    assert record["train_samples"] == 250
    assert nerva.load(tmp_path / "search" / "best.safetensors").nnz == record["nnz"]
    written = (tmp_path / "search" / "best.jsonl").read_bytes()
    code, out, errors = search(*options, "--test")
    assert code == 0
    assert errors[0].startswith("nerva: tested before: test accuracy ")
    assert (tmp_path / "search" / "best.jsonl").read_bytes() == written


def test_without_optuna_the_extra_is_named(search, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search("--trials", 1) == (2, [], ["nerva: a search needs Optuna: pip install 'nerva-sparse[search]'"])
    assert not (tmp_path / "search").exists()


def test_quiet_is_the_command_alone(search):
    code, out, errors = search("--over", "learning-rate=0.01,0.1", "--epochs", 1, "--trials", 2, "--quiet")
    assert (code, len(out), errors) == (0, 1, [])
    assert out[0].startswith("nerva train --data ")


def test_the_table_as_parquet(search, tmp_path):
    options = ["--over", "learning-rate=0.01..0.1", "--epochs", 1, "--trials", 2, "--parquet"]
    assert search(*options)[0] == 0
    frame = pandas.read_parquet(tmp_path / "search" / "trials.parquet")
    assert [str(rate) for rate in frame["learning-rate"]] == [row["learning-rate"] for row in rows(tmp_path / "search")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_is_done(blobs, tmp_path, number):
    out = tmp_path / "search"
    options = ["search", "--data", blobs, *SMALL, "--out", out, "--over", "learning-rate=0.01,0.1"]
    process = start(*options, *ENDLESS, cwd=tmp_path)
    journal = out / "journal.log"
    wait_for(lambda: journal.exists() and "intermediate_value" in journal.read_text())
    process.send_signal(number)
    code, _, errors = finish(process)
    assert code == 128 + number
    assert errors == [f"nerva: 0 trials are in {out}; the same command goes on", "nerva: interrupted"]
    assert [row["state"] for row in rows(out)] == ["interrupted", "waiting"]
