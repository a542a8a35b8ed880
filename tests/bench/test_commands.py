"""The commands of the benchmarks run by their path, from the root of a checkout."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.glob("bench/**/*.py")
    if '__name__ == "__main__"' in path.read_text()
)


def test_there_are_commands(bench):
    assert {"bench/compare.py", "bench/harness/memory.py", "bench/studies/topologies.py"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_command_finds_its_modules(script):
    """And the installed nerva, not the source beside bench/."""
    done = subprocess.run(
        [sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {Path(script).name}")


def test_the_readme_names_commands_that_exist():
    """Each path of bench/ in a README or document is a file."""
    named = set()
    for document in [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")]:
        named |= set(re.findall(r"\bbench/[\w/]+\.py\b", document.read_text()))
    assert "bench/compare.py" in named
    assert not [path for path in sorted(named) if not (ROOT / path).is_file()]
