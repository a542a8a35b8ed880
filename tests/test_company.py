"""Some of the cases of tests/company.py, each in a process of its own that must end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "company.py"


@pytest.mark.parametrize("case", ["one_model", "spawn", "nested"])
def test_in_company(case, tmp_path):
    command = [sys.executable, "-P", str(PROGRAM), "--case", case]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert False not in found.values()
    if case == "nested":
        assert found["threads of nerva in all of them"] <= max(found["cores"], found["joblib's workers"])
