"""Fixtures of the tests of the command line."""

import numpy as np
import pytest

from nerva.cli import main

from .running import SMALL, read


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """A file with three classes of 20 numbers that are told apart with ease."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((3, 20), dtype=np.float32) * 2
    arrays = {}
    for part, n in (("train", 250), ("test", 60)):
        y = rng.integers(0, 3, n)
        y[:3] = 0, 1, 2
        arrays[f"X{part}"] = centers[y] + rng.standard_normal((n, 20), dtype=np.float32)
        arrays[f"T{part}"] = y
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def command(capsys):
    """Runs the command in this process: command(...) gives (exit code, lines of output, lines of errors)."""

    def run(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


@pytest.fixture
def metrics_of(command, blobs, tmp_path):
    """Trains with these options; gives the run's settings and the records of its epochs."""
    runs = iter(range(100))

    def run(*options):
        path = tmp_path / f"{next(runs)}.jsonl"
        code, _, errors = command("train", "--data", blobs, "--metrics", path, "--epochs", 3, *SMALL, *options)
        assert (code, errors) == (0, [])
        return read(path)

    return run
