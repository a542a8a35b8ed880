"""`nerva train --checkpoint` and `--resume`: what a run that was ended leaves, and how it goes on."""

import os
import signal

import numpy as np
import pytest

from .running import ENDLESS, SMALL, finish, read, start, wait_for

INTERRUPTED = "nerva: interrupted"


def saved(path):
    with np.load(path) as file:
        return {name: array.tobytes() for name, array in file.items()}


def without_seconds(path):
    return [{**epoch, "seconds": 0} for epoch in read(path)[1]]


@pytest.mark.parametrize("every", [[], ["--checkpoint-every", 3]])
def test_a_run_that_was_killed_goes_on(command, blobs, tmp_path, every):
    folder, metrics = tmp_path / "run", tmp_path / "run.jsonl"
    moving = ["--topology", "rigl", "--update-every", "10", "--dropout", "0.2"]
    whole = ["train", "--data", blobs, *SMALL, *moving, "--epochs", 60]
    killed = start(*whole, "--checkpoint", folder, *every, "--metrics", metrics, cwd=tmp_path)
    wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > 3)
    killed.kill()
    finish(killed)
    with open(metrics, "a") as file:
        file.write('{"epoch": "cut')  # as a machine that crashes could leave it
    again = ["--checkpoint", folder, *every, "--metrics", metrics, "--resume", "--save-weights", tmp_path / "a"]
    resumed = command(*whole, *again)
    assert resumed[0] == 0
    assert any(line.startswith("going on after epoch") for line in resumed[1])
    plain = command(*whole, "--metrics", tmp_path / "whole.jsonl", "--save-weights", tmp_path / "b")
    assert plain[0] == 0
    assert saved(tmp_path / "a") == saved(tmp_path / "b")
    assert without_seconds(metrics) == without_seconds(tmp_path / "whole.jsonl")


def test_a_signal_keeps_what_was_done(blobs, tmp_path):
    options = [
        "train",
        "--data",
        blobs,
        *SMALL,
        *ENDLESS,
        "--checkpoint",
        tmp_path / "run",
        "--metrics",
        tmp_path / "m",
    ]
    process = start(*options, "--checkpoint-every", 10**9, cwd=tmp_path)
    wait_for(lambda: (tmp_path / "m").exists() and len((tmp_path / "m").read_text().splitlines()) > 3)
    process.send_signal(signal.SIGTERM)
    code, _, errors = finish(process)
    assert (code, errors) == (
        143,
        [f"nerva: the state is in {tmp_path / 'run'}; --resume goes on from there", INTERRUPTED],
    )
    assert len(os.listdir(tmp_path / "run")) == 1


def test_a_run_without_a_checkpoint_starts_anew(command, blobs, tmp_path):
    options = ["train", "--data", blobs, *SMALL, "--epochs", 2, "--resume", "--checkpoint", tmp_path / "run"]
    (tmp_path / "m").write_text('{"run": {}}\n')
    code, _, errors = command(*options, "--metrics", tmp_path / "m")
    assert (code, errors) == (0, [])
    assert len(read(tmp_path / "m")[1]) == 2


def test_a_run_that_cannot_go_on_is_told_by_its_options(command, blobs, tmp_path):
    options = ["train", "--data", blobs, *SMALL, "--epochs", 1]
    plain, measured = ["--checkpoint", tmp_path / "a"], ["--checkpoint", tmp_path / "b"]
    metrics = ["--metrics", tmp_path / "m"]
    assert command(*options, *plain)[0] == command(*options, *measured, *metrics)[0] == 0
    last = "step-8.safetensors"
    for more, complaint in (
        ([*measured], f"--metrics: the run in {tmp_path / 'b' / last} has it; name its file"),
        ([*plain, *metrics], f"--metrics: the run in {tmp_path / 'a' / last} has none; leave it out"),
        ([*plain, "--batch-size", 20], "--batch-size: another one than in the run that is continued"),
    ):
        code, _, errors = command(*options, *more, "--resume")
        assert (code, len(errors)) == (2, 1)
        assert errors[0].startswith(f"nerva: {complaint}")


def test_what_is_wrong_is_one_line(command, blobs, tmp_path):
    options = ["train", "--data", blobs, *SMALL, "--epochs", 1]
    assert command(*options, "--checkpoint", tmp_path / "run")[0] == 0
    for more, code, complaint in (
        (["--checkpoint", tmp_path / "run"], 1, "holds a run already; add --resume, or name another"),
        (["--resume"], 2, "--resume: goes with --checkpoint"),
        (["--checkpoint-every", 3], 2, "--checkpoint-every: goes with --checkpoint"),
        (
            ["--checkpoint", "a", "--resume", "--overwrite", "--metrics", "m"],
            2,
            "--overwrite: does not go with --resume",
        ),
        (["--checkpoint", "a", "--check-gradients"], 2, "--checkpoint: does not go with --check-gradients"),
        (["--checkpoint", blobs], 1, "not a folder"),
        (["--checkpoint", tmp_path / "run", "--resume", "--dtype", "float64"], 2, "step-8.safetensors: the state of"),
    ):
        result = command(*options, *more)
        assert (result[0], len(result[2])) == (code, 1), result
        assert complaint in result[2][0]
