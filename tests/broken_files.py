"""Break files of every format that nerva reads: flip bits, cut them at every length.

    python tests/broken_files.py --flips 10000 --truncations
    python tests/broken_files.py --flips 10000 --format "weights (.npz)"

A broken file must be refused by a ValueError or OSError that names it, or be read with its true content. Formats
without a checksum (IDX, CIFAR in a folder) may give other pixels and labels, of the same shapes and in their range. All
within a gigabyte of memory more than the process had: what a broken header says is never believed. The suite runs a few
of each (tests/test_broken_files.py).
"""

import argparse
import importlib
import io
import json
import multiprocessing
import pickle
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nerva
from nerva.training.checkpoints import checkpoint_files, read_checkpoint

CONTEXT = multiprocessing.get_context("fork")  # a run of its own for each format: it may crash
ROOM = 1 << 30
RECORDS = 3  # of a batch of CIFAR, in place of 10,000
SLOW = 10.0  # seconds that no file may take


class Format(NamedTuple):
    """How a file is made in a folder, and read; `strict` where a checksum covers all of it."""

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    strict: bool = True


def network() -> nerva.MLP:
    """A small network of many kinds of layers."""
    how: dict[str, Any] = {"batch_norm": True, "activation": "srelu", "dropout": 0.1}
    return nerva.MLP([6, 8, 5, 3], density=0.5, seed=1, **how)


def weights(folder: Path) -> Path:
    """A file of save_weights."""
    nerva.save_weights(network(), folder / "weights.npz")
    return folder / "weights.npz"


def model(folder: Path) -> Path:
    """A file of save."""
    nerva.save(network(), folder / "model.safetensors")
    return folder / "model.safetensors"


def arrays_of(found: nerva.Sequential) -> dict[str, Any]:
    """What two networks must have in common to be the same."""
    return {"layers": repr(found), **found.state_dict()}


def checkpoint(folder: Path) -> Path:
    """The last checkpoint of a run."""
    rng = np.random.default_rng(0)
    network().fit(rng.standard_normal((20, 6)), rng.integers(0, 3, 20), epochs=1, checkpoint=folder / "run", rng=0,
                  optimizer=nerva.Adam())  # fmt: skip
    return checkpoint_files(folder / "run")[-1]


def samples(folder: Path) -> Path:
    """A file of samples and labels."""
    rng, split = np.random.default_rng(0), nerva.datasets.Split
    train = split(rng.standard_normal((12, 4), dtype=np.float32), np.arange(12) % 3)
    data = nerva.datasets.Dataset("mine", train, split(train.X[:6], train.y[:6]), ("0", "1", "2"))
    nerva.datasets.save_npz(folder / "data.npz", data)
    return folder / "data.npz"


def idx(folder: Path) -> Path:
    """A file of images in the format of MNIST."""
    content = bytes([0, 0, 8, 3]) + np.array([5, 4, 3], ">i4").tobytes() + bytes(range(60))
    (folder / "images").write_bytes(content)
    return folder / "images"


def zipped_idx(folder: Path) -> Path:
    """The same, compressed."""
    import gzip

    (folder / "images.gz").write_bytes(gzip.compress(idx(folder).read_bytes(), mtime=0))
    return folder / "images.gz"


def cifar_batches() -> dict[str, bytes]:
    """The batches of a small CIFAR-10."""
    rng = np.random.default_rng(0)
    records = [np.hstack([rng.integers(0, 10, (RECORDS, 1)), rng.integers(0, 256, (RECORDS, 3072))]) for _ in range(6)]
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    return {name: record.astype(np.uint8).tobytes() for name, record in zip(names, records, strict=True)}


def cifar_folder(folder: Path) -> Path:
    """A batch of CIFAR-10 in a folder of all."""
    (folder / "cifar-10-batches-bin").mkdir()
    for name, content in cifar_batches().items():
        (folder / "cifar-10-batches-bin" / name).write_bytes(content)
    return folder / "cifar-10-batches-bin" / "data_batch_3.bin"


def cifar_archive(folder: Path) -> Path:
    """The archive of CIFAR-10."""
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in cifar_batches().items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def read_cifar(path: Path) -> Any:
    """Samples and labels of CIFAR-10, from a batch's folder or an archive."""
    importlib.import_module("nerva.datasets.cifar10")._RECORDS = RECORDS  # type: ignore[attr-defined]
    data = nerva.datasets.cifar10(path.parent.parent if path.suffix == ".bin" else path, download=False)
    return [(X.pixels, y) for X, y in (data.train, data.test)]


def read_samples(path: Path) -> Any:
    """Samples and labels of an .npz file."""
    data = nerva.datasets.npz(path)
    return [(np.asarray(X), y) for X, y in (data.train, data.test)]


FORMATS = {
    "checkpoint": Format(checkpoint, read_checkpoint),
    "model (.safetensors)": Format(model, lambda path: arrays_of(nerva.load(path))),
    "weights (.npz)": Format(weights, lambda path: arrays_of(nerva.load_weights(path))),
    "samples (.npz)": Format(samples, read_samples),
    "IDX": Format(idx, nerva.datasets.read_idx, strict=False),
    "IDX (.gz)": Format(zipped_idx, nerva.datasets.read_idx),
    "CIFAR-10 (folder)": Format(cifar_folder, read_cifar, strict=False),
    "CIFAR-10 (.tar.gz)": Format(cifar_archive, read_cifar),
}


def changes(whole: bytes, flips: int, truncations: int | None, rng: np.random.Generator) -> Any:
    """Yield the broken files: one to four bits flipped, every other time near the beginning; cut at every length."""
    head = min(len(whole), 512)
    for i in range(flips):
        changed = bytearray(whole)
        for _ in range(int(rng.integers(1, 5))):
            changed[int(rng.integers(head if i % 2 else len(whole)))] ^= 1 << int(rng.integers(8))
        yield bytes(changed)
    for length in range(len(whole)) if truncations is None else rng.integers(len(whole), size=truncations):
        yield whole[: int(length)]


def shapes(content: Any) -> Any:
    """The shapes and dtypes in what was read."""
    if isinstance(content, (list, tuple)):
        return [shapes(part) for part in content]
    return content.shape, content.dtype


def break_files(name: str, flips: int, truncations: int | None, seed: int = 0) -> dict[str, int]:
    """Return how many broken files were refused, read with their true content, and, where that may be, with another.

    Raises AssertionError for what must not be.
    """
    kind, rng = FORMATS[name], np.random.default_rng(seed)
    found = {"refused": 0, "true content": 0, "other content": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = kind.make(Path(folder))
        whole, wanted = path.read_bytes(), kind.read(path)
        true, form = pickle.dumps(wanted), None if kind.strict else shapes(wanted)
        with open("/proc/self/statm") as statm:
            mapped = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + ROOM, resource.RLIM_INFINITY))
        for i, content in enumerate(changes(whole, flips, truncations, rng)):
            path.write_bytes(content)
            started = time.monotonic()
            try:
                read = kind.read(path)
            except (ValueError, OSError) as error:
                assert path.name.split(".")[0] in str(error), f"{name}, change {i}: {error!r} does not name the file"  # noqa: PT017
                found["refused"] += 1
            else:
                same = pickle.dumps(read) == true
                assert same or not kind.strict, f"{name}, change {i} was read with another content"
                assert same or shapes(read) == form or name == "IDX", f"{name}, change {i} has other shapes"
                found["true content" if same else "other content"] += 1
            assert time.monotonic() - started < SLOW, f"{name}, change {i} took too long"
    return found


def _in_a_process(name: str, flips: int, truncations: int | None, seed: int) -> dict[str, int]:
    """The same in a process of its own; raise AssertionError where it crashed."""
    ours, its = CONTEXT.Pipe()

    def run() -> None:
        try:
            its.send(break_files(name, flips, truncations, seed))
        except BaseException as error:
            its.send(error)

    process = CONTEXT.Process(target=run)
    process.start()
    its.close()
    try:
        result = ours.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"{name}: the process ended with code {process.exitcode}") from None
    process.join()
    if isinstance(result, BaseException):
        raise result
    return result


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=0, help="files with one to four bits flipped, of each format")
    parser.add_argument("--truncations", action="store_true", help="each cut at every length")
    parser.add_argument("--format", choices=FORMATS, action="append", help="all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.format or FORMATS:
        found = _in_a_process(name, options.flips, None if options.truncations else 0, options.seed)
        print(json.dumps({"format": name, **found}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
