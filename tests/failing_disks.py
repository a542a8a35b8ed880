"""Let every write of nerva fail at every place, and look what is left.

    python tests/failing_disks.py --positions 200

A writer is called with room for so many bytes (RLIMIT_FSIZE: the system refuses the rest as on a full disk), with a
sync or a rename that fails by EIO, and in a folder that it may not write to. It must raise an OSError that names the
file; what was there before must still be there, whole; nothing else must be left behind; the network must predict as
before; and the same call must succeed afterwards. Only where a writer does without the call that fails, it may succeed.
The suite runs a few (tests/test_failing_disks.py).
"""

import argparse
import errno
import itertools
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

import nerva
from nerva.callbacks import BestCheckpoint, CSVLogger, Metrics

NOBODY = 65534
rng = np.random.default_rng(0)
X, y = rng.standard_normal((30, 6)), rng.integers(0, 3, 30)


def network() -> nerva.MLP:
    """A small network; the same in every call."""
    return nerva.MLP([6, 12, 3], density=0.5, seed=1)


def data() -> nerva.datasets.Dataset:
    """Samples to be written."""
    part = nerva.datasets.Split(X.astype(np.float32), y)
    return nerva.datasets.Dataset("mine", part, part, ("a", "b", "c"))


def fit(folder: Path, **settings: object) -> None:
    """Train a copy, so that the network stays as it is."""
    how = {"epochs": 2, "batch_size": 10, "rng": 0, "verbose": False, **settings}
    network().fit(X, y, **how)


def with_metrics(folder: Path) -> None:
    """Write JSON lines, an epoch each."""
    with Metrics(folder / "metrics.jsonl", overwrite=True) as metrics:
        fit(folder, callbacks=[metrics])


def with_table(folder: Path) -> None:
    """Write a table of the epochs."""
    fit(folder, callbacks=[CSVLogger(folder / "log.csv", overwrite=True)])


def with_checkpoints(folder: Path) -> None:
    """Train two more epochs, of three steps each."""
    steps = [int(path.stem.removeprefix("step-")) for path in (folder / "run").glob("step-*")]
    fit(folder, checkpoint=folder / "run", resume=True, epochs=max(steps, default=0) // 3 + 2)


# What writes, and whether it writes a file anew, whole or not at all; others append whole lines.
WRITERS: dict[str, tuple[Callable[[Path, nerva.Sequential], object], bool]] = {
    "save": (lambda folder, model: nerva.save(model, folder / "model.safetensors"), True),
    "save_weights": (lambda folder, model: nerva.save_weights(model, folder / "weights.npz"), True),
    "save_weights, dense": (
        lambda folder, model: nerva.save_weights(model, folder / "weights.npz", layout="dense"),
        True,
    ),
    "export_c": (lambda folder, model: nerva.export_c(model, folder / "model.c"), True),
    "export_onnx": (lambda folder, model: nerva.export_onnx(model, folder / "model.onnx"), True),
    "export_safetensors": (lambda folder, model: nerva.export_safetensors(model, folder / "plain.safetensors"), True),
    "save_npz": (lambda folder, model: nerva.datasets.save_npz(folder / "data.npz", data()), True),
    "checkpoint": (lambda folder, model: with_checkpoints(folder), False),
    "BestCheckpoint": (
        lambda folder, model: fit(folder, callbacks=[BestCheckpoint(folder / "best.safetensors", "loss")]),
        True,
    ),
    "Metrics": (lambda folder, model: with_metrics(folder), False),
    "CSVLogger": (lambda folder, model: with_table(folder), False),
}


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let files have so many bytes at most."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def failing(name: str) -> Iterator[None]:
    """Let a function of os fail as a broken disk does."""
    broken = OSError(errno.EIO, os.strerror(errno.EIO))
    with mock.patch(f"os.{name}", side_effect=broken):
        yield


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let a folder be one that this process may not write to, root or not."""
    mode, user = folder.stat().st_mode, os.geteuid()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        if user == 0:
            os.seteuid(NOBODY)
        yield
    finally:
        os.seteuid(user)
        for path in (folder, *folder.rglob("*")):
            path.chmod(mode if path.is_dir() else 0o644)


def attempt(name: str, folder: Path, trouble: Callable[[Path], object], model: nerva.Sequential) -> bool:
    """Whether a writer failed in this trouble, as it must; raise AssertionError where something is wrong then."""
    write, whole = WRITERS[name]
    before, predicted = contents(folder), model.predict_proba(X)
    try:
        with trouble(folder):
            write(folder, model)
    except OSError as error:
        assert str(folder) in str(error), f"{name}: {error!r} does not name a file"  # noqa: PT017
        failed = True
    else:
        failed = False
    after = contents(folder)
    assert not [path for path in after if Path(path).name.startswith(".")], f"{name} left {sorted(after)}"
    np.testing.assert_array_equal(model.predict_proba(X), predicted)
    if failed and whole:
        assert {path: after.get(path) for path in before} == before, f"{name}: a file that was there is another one"
        assert after.keys() <= before.keys(), f"{name} left {after.keys() - before.keys()}"
    for path, content in after.items():
        if path.endswith((".jsonl", ".csv")):
            assert not content or content.endswith(b"\n"), f"{name}: {path} ends within a line"
        if path.endswith(".jsonl"):
            assert all(json.loads(line) for line in content.splitlines())
    return failed


def sizes(folder: Path, positions: int) -> list[int]:
    """Numbers of bytes to have room for: all there are, or so many of them, the first and the last ones among them."""
    largest = max(len(content) for content in contents(folder).values())
    every = np.unique(np.linspace(0, largest - 1, min(positions, largest)).astype(int))
    return [*map(int, every)]


def try_all(name: str, positions: int) -> dict[str, int]:
    """Let a writer fail in every way, with a file that is there and without; return how often it did."""
    model, write = network(), WRITERS[name][0]
    cases = failures = 0
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        sample = Path(parent) / "sample"
        sample.mkdir()
        write(sample, model)
        troubles: list[Callable[[Path], object]] = [
            lambda folder, size=size: room_for(size) for size in sizes(sample, positions)
        ]
        troubles += [lambda folder, call=call: failing(call) for call in ("fsync", "replace")] + [read_only]
        for i, trouble in enumerate(troubles):
            folder = Path(parent) / f"{i}"
            folder.mkdir()
            for _ in ("without a file", "with one"):
                cases += 1
                failures += attempt(name, folder, trouble, model)
                write(folder, model)
    return {"cases": cases, "failed": failures}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, default=100, help="bytes that a file has room for, at most so many")
    parser.add_argument("--writer", choices=WRITERS, action="append", help="all")
    options = parser.parse_args()
    # Times are in logs and checkpoints: with a clock of equal steps, files have the same length in every run.
    with mock.patch("nerva.training.run.perf_counter", itertools.count(0.0, 0.5).__next__):
        for name in options.writer or WRITERS:
            print(json.dumps({"writer": name, **try_all(name, options.positions)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
