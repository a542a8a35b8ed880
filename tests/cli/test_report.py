"""The output of a training run: lines, table, progress bar."""

import re

import pytest

import nerva
from nerva.cli.report import size
from nerva.training.progress import duration

from ..terminal import Terminal
from .running import EPOCH_LINE, SMALL, start


def test_a_run_shows_summary_epochs_and_result(command, blobs):
    code, out, errors = command("train", "--data", blobs, *SMALL, "--epochs", 4)
    text = "\n".join(out)
    assert (code, errors) == (0, [])
    assert nerva.MLP([20, 16, 8, 3], density=0.3).summary(32) in text
    assert len([line for line in out if EPOCH_LINE.fullmatch(line)]) == 4
    assert "after 4 epochs" in text
    assert "s per epoch" in text
    (weights,) = [line for line in out if line.startswith("weights")]
    assert weights.split() == ["weights", "142", "472", "30.08%"]
    assert {line.split("  ")[0] for line in out} >= {"memory for weights", "memory in training"}
    assert "cifar10" not in text
    assert "\x1b" not in text
    assert "\r" not in text


def test_columns_are_aligned(command, blobs):
    _, out, _ = command("train", "--data", blobs, *SMALL, "--epochs", 12, "--learning-rate", "0.000012345")
    (header,) = [line for line in out if line.startswith("epoch ")]
    lines = [line for line in out if EPOCH_LINE.fullmatch(line)]
    ends = {match.end() for match in re.finditer(r"\S+( \S+)*", header)}
    assert all({match.end() for match in re.finditer(r"\S+", line)} == ends for line in lines)
    assert len(lines) == 12


def test_quiet_prints_the_result_alone(command, blobs):
    code, out, errors = command("train", "--data", blobs, *SMALL, "--epochs", 1, "--quiet")
    assert (code, errors) == (0, [])
    assert re.fullmatch(r"test accuracy [\d.]+% after 1 epoch, [\d.]+ s per epoch, 142 of 472 weights", *out)


def on_terminal(*argv, cwd, **environment):
    """What the command writes to a terminal, and its exit code."""
    terminal = Terminal()
    environment = {"TERM": "xterm", "COLUMNS": "100"} | environment
    process = start(*argv, cwd=cwd, stdout=terminal.theirs, stderr=terminal.theirs, env=environment)
    return terminal.read(), process.wait(timeout=60)


def test_a_terminal_gets_a_bar_that_goes_away(tmp_path):
    # Small batches, so that an epoch takes longer than the bar waits before it is drawn anew.
    output, code = on_terminal("train", "--epochs", "2", "--batch-size", "10", cwd=tmp_path)
    assert code == 0
    assert re.search(r"epoch 1 of 2 .*\d+%  \d+ s left", output)
    assert "\x1b[?25h" in output.rpartition("\x1b[?25l")[2]  # the cursor is back
    assert "\x1b[2K" in output


def test_colours_can_be_refused(blobs, tmp_path):
    output, code = on_terminal("train", "--data", blobs, *SMALL, "--epochs", "2", cwd=tmp_path, NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[\d;]*3\dm", output)


def test_a_dumb_terminal_gets_plain_lines(blobs, tmp_path):
    output, code = on_terminal("train", "--data", blobs, *SMALL, "--epochs", "2", cwd=tmp_path, TERM="dumb")
    assert code == 0
    assert "\x1b" not in output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185.3, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1 kB"), (14_700_544, "14.7 MB"), (2e9, "2 GB"), (5e13, "50 TB")],
)
def test_size(nbytes, text):
    assert size(nbytes) == text
