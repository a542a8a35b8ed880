"""A few of the calls of tests/fuzz.py, in a process of its own; and that it finds what is planted."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "fuzz.py"
PLANTED = """
import nerva, runpy, sys
{plant}
sys.argv = [{program!r}, "--worker", "--seed=0", "--calls=60"]
runpy.run_path({program!r}, run_name="__main__")
"""


def test_odd_arguments_break_nothing(tmp_path):
    command = [sys.executable, "-P", str(PROGRAM), "--seed", "5", "--calls", "150"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["calls"] == 150
    assert found["right"] > 40
    assert found["refused"] > 40


def kinds(plant, cwd):
    """What came of calls, where a defect was planted in each method of a network."""
    program = PLANTED.format(plant=plant, program=str(PROGRAM))
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {row["kind"] for row in rows if "kind" in row}, rows[-1]


METHODS = "for name in ('predict', 'evaluate', 'astype', 'forward', 'backward', 'predict_proba', 'summary'):"


def test_a_planted_slip_is_found(tmp_path):
    plant = f"{METHODS} setattr(nerva.Sequential, name, lambda self, X=0: [][1])"
    code, found, _ = kinds(plant, tmp_path)
    assert code == 0
    assert "slip" in found


def test_a_planted_change_is_found(tmp_path):
    plant = (
        "def change(self, X=0):\n    self.layers[0].weight.values[:] = 0\n    raise ValueError('no')\n"
        f"{METHODS} setattr(nerva.Sequential, name, change)"
    )
    assert "changed" in kinds(plant, tmp_path)[1]


def test_a_planted_crash_ends_the_process(tmp_path):
    code, _, last = kinds(
        f"import os\n{METHODS} setattr(nerva.Sequential, name, lambda self, X=0: os.abort())", tmp_path
    )
    assert code == -6
    assert "begun" in last
