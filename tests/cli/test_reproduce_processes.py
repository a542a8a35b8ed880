"""`nerva reproduce paper` as a process: in a terminal, killed, and with nobody who reads its output."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from ..terminal import Terminal
from .reproducing import COMMAND, PARTS_FOLDER
from .running import wait_for

OPTIONS = ["reproduce", "paper", "--data", "photos", "--out", "out", "--jobs", "2", "--threads", "1", "--seeds"]


@pytest.fixture
def start(tmp_path):
    """Starts the command with these seeds."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "data_batch_1.bin").touch()
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    path = os.pathsep.join(filter(None, [str(PARTS_FOLDER), os.environ.get("PYTHONPATH")]))  # for those of the units
    environment |= {"TERM": "xterm", "COLUMNS": "120", "PYTHONPATH": path}

    def run(seeds, **streams):
        streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE} | streams
        return subprocess.Popen([*COMMAND, *OPTIONS, seeds], cwd=tmp_path, env=environment, **streams)

    return run


def test_a_terminal_has_a_bar_that_tells_what_runs(start):
    terminal = Terminal()
    with start("20", stdout=terminal.theirs) as process:
        text = terminal.read()
        assert process.wait(60) == 0
    assert re.search(r"━+.*fake-20.* about 1 min left", text)
    assert "2 of 2  fake-" in text


def test_a_command_that_is_killed_takes_its_processes_along(start, tmp_path):
    records = tmp_path / "out" / "records"
    with start("103", stdout=subprocess.PIPE) as process:
        wait_for((records / "begun").exists, 60)
        wait_for((records / "fake-50.json").exists, 60)
        process.send_signal(signal.SIGKILL)
    lines = [line.split() for line in (records / "calls.txt").read_text().splitlines()]
    (worker,) = {int(worker) for seed, worker, _ in lines if seed == "103"}

    def is_gone():
        stat = Path(f"/proc/{worker}/stat")
        return not stat.exists() or stat.read_text().rsplit(") ")[-1].startswith("Z")  # nobody waits for it

    wait_for(is_gone)
    (records / "mended").touch()
    with start("103", stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "1 of 1  fake-103" in out


def test_where_nobody_reads_the_output_it_ends(start):
    with start("20,21,103", stdout=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""
