"""How data parallel training would scale: measured steps of one rank, and a model of what the network takes.

    python bench/studies/ranks.py
    python bench/studies/ranks.py --latency 25 --bandwidth 1.25 --batch 4096

Steps of `nerva.distributed.DataParallel` are measured layer by layer, at the batch sizes that a rank would have, of a
network at 99 % sparsity and of the dense one. The sum of their gradients over p ranks is reckoned, of n bytes with a
latency of a seconds a message and b seconds a byte: the less of recursive doubling, log2(p) (a + n b), and of a ring,
2 (p - 1) (a + n b / p) (R. Thakur, R. Rabenseifner & W. Gropp, Optimization of collective communication operations in
MPICH, IJHPCA 2005). Nothing overlaps in it, so that it is a bound from above. "Strong" shares out one batch among the
ranks, "weak" gives each of them as many samples as one has alone.
"""

import argparse
import sys
from math import log2
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from harness.workloads import SIZES
from nerva.training.step import train_batch

RANKS = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
SECONDS = 0.5  # of each measurement
FIGURES = 64  # bytes of losses and counts, a sum of their own


def seconds_of_a_step(model: nerva.MLP, batch: int) -> float:
    """Return the median seconds of a training step, layer by layer, on samples in memory."""
    rng, loss, optimizer = np.random.default_rng(0), nerva.SoftmaxCrossEntropy(), nerva.Nesterov(0.9)
    X = np.asarray(rng.standard_normal((SIZES[0], batch)), np.float32)
    y, taken = rng.integers(0, SIZES[-1], batch), []
    until = perf_counter() + SECONDS
    while len(taken) < 4 or perf_counter() < until:
        started = perf_counter()
        train_batch(model, X, y, optimizer, 1e-4, loss)
        taken.append(perf_counter() - started)
    return median(taken[1:])


def seconds_of_a_sum(size: int, ranks: int, latency: float, per_byte: float) -> float:
    """Return the seconds of a sum of so many bytes over the ranks."""
    if ranks == 1:
        return 0.0
    doubling = log2(ranks) * (latency + size * per_byte)
    ring = 2 * (ranks - 1) * (latency + size * per_byte / ranks)
    return min(doubling, ring)


def seconds_alone(model: nerva.MLP, batch: int) -> float:
    """Return the median seconds of a training step of one process, compiled where that is faster."""
    rng, optimizer, taken = np.random.default_rng(0), nerva.Nesterov(0.9), []
    X, y = rng.standard_normal((batch, SIZES[0]), np.float32), rng.integers(0, SIZES[-1], batch)
    until = perf_counter() + SECONDS
    while len(taken) < 4 or perf_counter() < until:
        started = perf_counter()
        model.train_step(X, y, optimizer, 1e-4)
        taken.append(perf_counter() - started)
    return min(median(taken[1:]), seconds_of_a_step(model, batch))


def table(model: nerva.MLP, options: argparse.Namespace) -> str:
    """Return the scaling of a network over the ranks: milliseconds, the part of sums in them, and the speedup."""
    latency, per_byte = options.latency * 1e-6, 1e-9 / options.bandwidth
    sent = sum(parameter.values.nbytes for parameter in model.parameters())
    alone = {batch: seconds_alone(model, batch) for batch in (options.batch, options.own)}
    rows = [["1", *(cell for one in alone.values() for cell in (f"{1e3 * one:.3g}", "", "1"))]]
    weak = seconds_of_a_step(model, options.own)
    for ranks in RANKS:
        sums = sum(seconds_of_a_sum(size, ranks, latency, per_byte) for size in (sent, FIGURES))
        strong = seconds_of_a_step(model, max(1, options.batch // ranks))
        row = [f"{ranks}"]
        for own, batch, share in ((strong, options.batch, 1), (weak, options.own, ranks)):
            row += [
                f"{1e3 * (own + sums):.3g}",
                f"{sums / (own + sums):.0%}",
                f"{share * alone[batch] / (own + sums):.3g}",
            ]
        rows.append(row)
    header = [f"{way}, {what}" for way in ("strong", "weak") for what in ("ms", "in sums", "speedup")]
    return f"{sent:,} bytes of gradients\n\n{markdown(['ranks', *header], rows)}"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=2.0, help="microseconds of a message")
    parser.add_argument("--bandwidth", type=float, default=12.5, help="GB/s, of one rank")
    parser.add_argument("--batch", type=int, default=1024, help="samples of all ranks, in strong scaling")
    parser.add_argument("--own", type=int, default=100, help="samples of a rank, in weak scaling")
    parser.add_argument("--threads", type=int, default=1, help="of a rank")
    options = parser.parse_args()
    nerva.set_num_threads(options.threads)
    for name, model in {
        "99 % sparsity": nerva.MLP(SIZES, density=0.01, seed=0),
        "dense": nerva.MLP(SIZES, seed=0),
    }.items():
        print(f"{name}, {table(model, options)}\n")


if __name__ == "__main__":
    main()
