"""Train an epoch on more data than shall be in memory, and compare its rate with that of data in memory.

    python bench/studies/out_of_core.py --folder DIR --gigabytes 20

A network 3072-1024-512-10 at 99 % sparsity, Nesterov 0.9, batch size 100. The file in the folder, of random bytes, is
written if it is not there, and stays. The rate in memory is that of its first part, in a process of its own; the pages
of the file that the system keeps in memory are given back before an epoch unless --keep-cache.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from harness.workloads import BATCH, RATE, SIZES, SPARSITY
from nerva.experiments.workers import Worker

PIECE = 1 << 24  # bytes written at a time
MEAN, STD = 0.5, 0.25


def write(path: Path, gigabytes: float) -> None:
    """Write a .npy file of random bytes (n, 3072), unless it is there."""
    n = int(gigabytes * 1e9) // SIZES[0]
    if path.exists():
        return
    rng, partial = np.random.default_rng(0), path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (n, SIZES[0])})
        for left in range(n * SIZES[0], 0, -PIECE):
            file.write(rng.bytes(min(left, PIECE)))
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


class Epoch:
    """An epoch on the data in a file, read by chunks, or on a part of them in memory."""

    def on_disk(self, path: str, threads: int, cold: bool) -> dict[str, float]:
        """Train an epoch from the file."""
        if cold:
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return self._train(nerva.datasets.Chunked(path, mean=MEAN, std=STD), threads)

    def in_memory(self, path: str, threads: int, megabytes: float) -> dict[str, float]:
        """Train an epoch on the first part of the file."""
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
            (n, features), _, kind = np.lib.format.read_array_header_1_0(file)
            count = min(n, int(megabytes * 1e6) // features)
            pixels = np.fromfile(file, kind, count * features).reshape(count, features)
        return self._train(nerva.datasets.Standardized(pixels, MEAN, STD), threads)

    def _train(self, X: Any, threads: int) -> dict[str, float]:
        nerva.set_num_threads(threads)
        y = np.random.default_rng(1).integers(0, SIZES[-1], len(X))
        model = nerva.MLP(SIZES, density=1 - SPARSITY, seed=1)
        model.fit(np.zeros((BATCH, SIZES[0]), np.uint8), y[:BATCH], epochs=1, schedule=0.0)  # what is made once
        started = time.perf_counter()
        model.fit(X, y, epochs=1, batch_size=BATCH, schedule=RATE, rng=2)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"samples": len(X), "seconds": seconds, "peak": peak}


def row(name: str, found: dict[str, float], rate: float) -> list[str]:
    """Return a row of the table; `rate` is that of data in memory."""
    own = found["samples"] / found["seconds"]
    size = found["samples"] * SIZES[0] / 1e9
    cells = [f"{size:.2f}", f"{found['seconds']:.2f}", f"{own:,.0f}", f"{own * SIZES[0] / 1e9:.2f}"]
    return [name, *cells, f"{found['peak'] / 1e9:.2f}", f"{own / rate:.1%}"]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the file is, or goes")
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--memory-megabytes", type=float, default=1000.0, help="the part that is trained on in memory")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1, help="times that both are measured, in turn; the best count")
    parser.add_argument("--keep-cache", action="store_true", help="read what the system has in memory from there")
    options = parser.parse_args()
    path = options.folder / f"random-{options.gigabytes:g}GB.npy"
    write(path, options.gigabytes)
    found: dict[str, list[dict[str, float]]] = {"in memory": [], "on disk": []}
    for _ in range(options.repeats):
        for name, method, last in (
            ("in memory", "in_memory", options.memory_megabytes),
            ("on disk", "on_disk", not options.keep_cache),
        ):
            worker = Worker()
            worker.make(Epoch)
            found[name].append(worker.call(method, str(path), options.threads, last))
            worker.close()
    best = {name: min(runs, key=lambda run: run["seconds"] / run["samples"]) for name, runs in found.items()}
    rate = best["in memory"]["samples"] / best["in memory"]["seconds"]
    header = ["", "GB", "seconds", "samples/s", "GB/s", "peak memory, GB", "rate"]
    print(markdown(header, [row(name, run, rate) for name, run in best.items()]))


if __name__ == "__main__":
    main()
