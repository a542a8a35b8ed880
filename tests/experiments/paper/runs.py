"""Runs of the paper's experiments that take no time: tiny networks on generated images, and records made up."""

import json
import subprocess
import sys
import time

from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.units import lasting
from nerva.experiments.paper.worker import request

WORKER = [sys.executable, "-P", "-m", "nerva.experiments.paper.worker"]  # not from sources in the present folder
SECONDS = 300  # that a unit has to reach its first epoch


def tiny(**changes):
    """A protocol of a network of 3072-32-16-10 on 250 images: three batches an epoch, the last one of 50."""
    settings = {"data": "shapes", "label": "Shapes", "samples": 250, "sizes": (3072, 32, 16, 10), "epochs": 4}
    settings |= {"masked_epochs": 2, "sparsities": (0.9, 0.99), "seeds": (1, 2), "cause_seeds": (1, 2, 3)}
    settings |= {"cause_sparsities": (0.9, 0.99, 0.999), "redraws": 3, "distribution_sparsities": (0.9, 0.99)}
    return Protocol(**settings | changes)


def write(folder, unit, **result):
    """Write the record of a unit, with this result."""
    made = {"unit": unit.name, "settings": lasting(unit), "result": result, "seconds": 1.0}
    (folder / f"{unit.name}.json").write_text(json.dumps(made))


def complete(unit, folder):
    """Do a unit in a process of the runner, to its end, and return the result."""
    done = subprocess.run(WORKER, input=request(unit, folder), capture_output=True, timeout=SECONDS, check=True)
    assert "seconds" in json.loads(done.stdout), done.stderr
    return json.loads((folder / f"{unit.name}.json").read_text())["result"]


def kill(unit, folder, pattern):
    """Do a unit in a process that is killed as soon as a file of this pattern is in its folder; return that file."""
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(request(unit, folder))
        process.stdin.flush()
        deadline = time.monotonic() + SECONDS
        while not (found := sorted((folder / unit.name).glob(pattern))) and time.monotonic() < deadline:
            assert process.poll() is None, "it has ended by itself"
            time.sleep(0.001)
        process.kill()
    assert found, f"no {pattern} within {SECONDS} seconds"
    assert not (folder / f"{unit.name}.json").exists(), "it has ended before it was killed"
    return sorted((folder / unit.name).glob(pattern))[-1]
