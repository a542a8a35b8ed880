"""A few of the calls of tests/memory.py, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "memory.py"


def run(*argv, cwd):
    """The rows that the command prints."""
    command = [sys.executable, "-P", str(PROGRAM), *argv]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_many_calls_leave_no_memory_behind(tmp_path):
    rows = run("--fits", "60", cwd=tmp_path)
    assert len(rows) == 8
    for row in rows:
        assert row["growth, kB"] < 1000, row


def test_too_little_memory_is_a_memory_error(tmp_path):
    rows = run("--limits", "3", cwd=tmp_path)
    assert len(rows) == 5
    for row in rows:
        assert set(row) <= {"call", "done", "MemoryError"}, row
        assert row["MemoryError"] > 0
        assert row["done"] > 0
