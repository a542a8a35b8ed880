"""What `fit` shows of its progress, and where."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import nerva
from nerva.training import progress

from ..terminal import Terminal
from ..training_reference import network, samples

PROGRAM = """
import numpy as np, nerva
X, y = np.random.default_rng(0).standard_normal(({rows}, 12)), np.arange({rows}) % 4
nerva.MLP([12, 8, 4], density=0.5, seed=0).fit(X, y, epochs=2, batch_size=10{settings})
print("done")
"""
LINE = re.compile(r" *(\d+) +0\.01 +\d+\.\d{4} +\d+\.\d{2}% +(\d+\.\d{2}%)? +\d+\.\d{2}")


def in_pipe(settings=""):
    """The lines that a program with a `fit` writes to a pipe."""
    command = [sys.executable, "-P", "-c", PROGRAM.format(rows=40, settings=settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def in_terminal(settings="", rows=40, **environment):
    """What such a program writes to a terminal."""
    terminal = Terminal()
    command = [sys.executable, "-P", "-c", PROGRAM.format(rows=rows, settings=settings)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"} | environment
    streams = {"stdin": subprocess.DEVNULL, "stdout": terminal.theirs, "stderr": terminal.theirs}
    process = subprocess.Popen(command, **streams, env=environment)
    output = terminal.read()
    assert process.wait(timeout=60) == 0
    return output


@pytest.mark.parametrize("settings", ["", ", verbose=False", ", verbose='auto'", ", verbose=0"])
def test_nothing_is_written_to_a_pipe_unless_asked_for(settings):
    assert in_pipe(settings) == ["done"]


def test_a_pipe_gets_plain_lines_on_request():
    head, first, second, done = in_pipe(", verbose=True")
    assert head.split("  ")[0] == "epoch"
    assert [LINE.fullmatch(line)[1] for line in (first, second)] == ["1", "2"]
    assert done == "done"


def test_a_terminal_gets_a_bar_that_goes_away():
    output = in_terminal(rows=100_000)
    assert re.search(r"epoch 1 of 2 .*\d+%  \d+ s left", output)
    assert "\x1b[?25h" in output.rpartition("\x1b[?25l")[2]  # the cursor is back
    assert len([line for line in output.splitlines() if LINE.search(line)]) == 2


def test_a_terminal_gets_nothing_where_it_is_not_wanted():
    assert in_terminal(", verbose=False") == "done\r\n"


class Stdout:
    """A stream as a notebook has it: no terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False


def test_a_notebook_gets_plain_lines(monkeypatch):
    seen, unseen = type("OutStream", (Stdout,), {"__module__": "ipykernel.iostream"})(), Stdout()
    for stream in (seen, unseen):
        monkeypatch.setattr(sys, "stdout", stream)
        network().fit(*samples(), validation=samples(30), epochs=2)
    head, *lines = seen.text.splitlines()
    assert head.split("  ")[0] == "epoch"
    assert [LINE.fullmatch(line)[1] for line in lines] == ["1", "2"]
    assert unseen.text == ""


def test_without_standard_output_nothing_is_shown(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert len(network().fit(*samples(), epochs=1)) == 1


def test_the_bar_goes_away_and_callbacks_are_named_as_they_were_given(monkeypatch):
    bars = []

    class Kept(progress.Progress):
        def __init__(self):
            super().__init__()
            bars.append(self._bar)
            bars[-1].stop = lambda: bars.append("stopped")

    monkeypatch.setattr(progress, "Progress", Kept)
    with pytest.raises(TypeError, match=r"callbacks\[0\] is 3"):
        network().fit(*samples(), callbacks=[3], verbose=True)

    def fail(model, record):
        raise MemoryError

    with pytest.raises(MemoryError):
        network().fit(*samples(), callbacks=[fail], verbose=True)
    assert bars[-1] == "stopped"


def test_a_run_that_goes_on_counts_on(capsys):
    model = network()
    model.fit(*samples(), epochs=1, verbose=True)
    model.fit(*samples(), epochs=2, initial_epoch=1, verbose=True)
    lines = [match[1] for line in capsys.readouterr().out.splitlines() if (match := LINE.fullmatch(line))]
    assert lines == ["1", "2", "3"]


def test_regression_has_no_accuracies_to_show(capsys):
    X = np.eye(8, 12)
    network().fit(X, X[:, :4], loss=nerva.SquaredError(), epochs=1, verbose=True, validation=(X, X[:, :4]))
    head, line = capsys.readouterr().out.splitlines()
    assert head.split("  ") == ["epoch", "learning rate", "train loss", " test loss", "seconds"]
    assert re.fullmatch(r" +1 +0\.01 +\d\.\d{4} +\d\.\d{4} +\d+\.\d\d", line)


@pytest.mark.parametrize("verbose", [2, "yes", None, -1])
def test_a_wrong_verbose_is_refused(verbose):
    with pytest.raises(TypeError, match=r"verbose is .*; it must be True, False or 'auto'"):
        network().fit(*samples(), verbose=verbose)
