"""A few of the killed runs of tests/kills.py, in a process of its own, which forks."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def kills(*options):
    command = [sys.executable, "-P", str(ROOT / "tests" / "kills.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_runs_give_the_same_bits():
    result = kills("--runs", "6")
    assert (result["runs"], result["other bits"]) == (6, 0)
    assert result["kills"] >= 3
