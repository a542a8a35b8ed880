"""How evenly a training step is divided among more threads than this machine has, computed without them.

    python tests/partition.py

The rows, weights and slices of every thread come from the functions that the threads call themselves
(nerva/_kernels/partition.pyx). Threads wait for each other after every operation of a slice, so that the slowest one
counts: its work is the non-zeros of its rows, and a fixed cost of each row, times the samples. The ratio of all work to
that of the slowest threads is the speedup that the partition allows; barriers and memory take their part of it.
tests/_kernels/test_partition.py holds it to bounds.
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np

import nerva
from nerva._kernels.partition import ROW_COST, crews, row_shares, shares
from nerva._kernels.slices import pays_to_share, shares_rows, slices_of

LINE = 16  # float32 in a cache line
THREADS = (1, 2, 4, 8, 16, 32, 64, 128)
NETWORKS = {
    "3072-1024-512-10": (3072, 1024, 512, 10),
    "3072-4096-4096-10": (3072, 4096, 4096, 10),
    "16384-16384-16384-10": (16384, 16384, 16384, 10),
}


@dataclass
class Work:
    """What a step takes: of all threads together, and of the slowest ones, one operation after the other."""

    total: float = 0.0
    slowest: float = 0.0

    def add(self, of_threads: np.ndarray) -> None:
        """Add an operation that all threads wait for."""
        self.total += of_threads.sum()
        self.slowest += of_threads.max()

    @property
    def speedup(self) -> float:
        """Of this partition over one thread."""
        return self.total / self.slowest


def pointers(model: nerva.Sequential) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where the rows of each weight matrix begin, and those of its transpose."""
    matrices = [layer.weight for layer in model.layers if isinstance(layer, nerva.SparseLinear)]
    columns = [np.bincount(W.indices, minlength=W.shape[1]) for W in matrices]
    turned = [np.concatenate([[0], np.cumsum(counts)]).astype(np.int32) for counts in columns]
    return [(W.indptr, transposed) for W, transposed in zip(matrices, turned, strict=True)]


def by_rows(indptr: np.ndarray, threads: int) -> np.ndarray:
    """The work of every thread in a product for one sample."""
    rows = row_shares(indptr, threads)
    return np.diff(indptr[rows])[:, 0] + ROW_COST * np.diff(rows)[:, 0]


def slice_work(matrices: list[tuple[np.ndarray, np.ndarray]], n: int, threads: int) -> Work:
    """Forward and backward pass of n samples by a crew of so many threads."""
    work = Work()
    for i, (indptr, transposed) in enumerate(matrices):
        work.add(n * by_rows(indptr, threads))  # outputs
        work.add(n * np.diff(shares(int(indptr[-1]), 1, threads))[:, 0])  # the gradient of the weights
        if i:
            work.add(n * by_rows(transposed, threads))  # that of the inputs
    return work


def step_work(matrices: list[tuple[np.ndarray, np.ndarray]], N: int, threads: int) -> Work:
    """A whole step on a batch of N samples."""
    weights = sum(int(indptr[-1]) for indptr, _ in matrices)
    all_share = shares_rows(N, weights)
    if all_share and not pays_to_share(N, weights):
        threads = 1
    columns, groups = slices_of(N, all_share)
    count = min(threads, len(groups) - 1)
    own_groups, found = shares(len(groups) - 1, 1, count), crews(count, threads)
    step, of_crews = Work(), []
    for number in range(count):
        size = found[found[:, 0] == number][0, 2]
        own = Work()
        for s in range(groups[own_groups[number, 0]], groups[own_groups[number, 1]]):
            part = slice_work(matrices, columns[s + 1] - columns[s], int(size))
            own.total, own.slowest = own.total + part.total, own.slowest + part.slowest
        of_crews.append(own)
    step.total = sum(own.total for own in of_crews)
    step.slowest = max(own.slowest for own in of_crews)
    step.add((len(groups) - 1) * np.diff(shares(weights, LINE, threads))[:, 0])  # sum of the groups, and the update
    return step


def main() -> None:
    """Print the table of docs/compiled-step.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--density", type=float, nargs="+", default=[0.01, 0.05])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[100, 1024])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    options = parser.parse_args()
    print("| network | density | batch size | " + " | ".join(f"{threads}" for threads in THREADS) + " |")
    print("|---|---:|---:|" + "---:|" * len(THREADS))
    for name in options.networks:
        for density in options.density:
            matrices = pointers(nerva.MLP([*NETWORKS[name]], density=density, seed=1))
            for N in options.batch_size:
                speedups = [f"{step_work(matrices, N, threads).speedup:.1f}" for threads in THREADS]
                print(f"| {name} | {density} | {N:,} | " + " | ".join(speedups) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
