"""Programs in processes of their own, in which nerva and PyTorch are imported in either order."""

import os
import subprocess
import sys

STEERING = ("OMP_", "MKL_", "KMP_", "LD_PRELOAD")


def run(program, tmp_path, *arguments):
    """Run a program with two threads, whatever the environment says of threads, and return the words that it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env=environment | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
