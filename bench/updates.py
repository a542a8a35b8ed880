"""What an update of RigL takes beside the dense products DZ X' that it cannot avoid, by MKL, in turns.

    python bench/updates.py [--threads 1]

An update finds the gradients of all sparse layers, drops and grows 30 % of their weights, and moves what the optimizer
keeps of them. The table has medians, and the median of the paired ratios.
"""

import argparse
import time
from statistics import median

import numpy as np
from tables import markdown
from workloads import BATCH, RATE, SIZES

import nerva
from nerva._kernels.memory import empty_batch
from nerva._kernels.products import gemm
from nerva.topology import TopologyUpdater
from nerva.training.step import train_batch

LAYERS = (SIZES, (4096, 4096, 4096, 10))
DENSITIES = (0.01, 0.05)


def measure(sizes: tuple[int, ...], density: float, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of an update and of the dense products, round by round."""
    rng = np.random.default_rng(0)
    model = nerva.MLP(sizes, density=density, seed=0, backend="native")
    X, y = empty_batch(sizes[0], BATCH, np.float32), rng.integers(0, sizes[-1], BATCH)
    optimizer, loss = nerva.Nesterov(0.9), nerva.SoftmaxCrossEntropy()
    moves = TopologyUpdater(nerva.RigL(0.3, every=1, end=1.0), model.layers, 10**6, 10**6, rng)
    sparse = [layer for layer in model.layers if isinstance(layer, nerva.SparseLinear)]
    gradients = [empty_batch(layer.out_features, layer.in_features, np.float32) for layer in sparse]
    pairs = []
    for step in range(1, rounds + 4):
        X[:] = rng.standard_normal(X.shape)
        train_batch(model, X, y, optimizer, RATE, loss)
        moves.before(step)
        train_batch(model, X, y, optimizer, RATE, loss, learn=False)
        started = time.perf_counter()
        moves.after(step, RATE)
        moved = time.perf_counter()
        for layer, gradient in zip(sparse, gradients, strict=True):
            inputs, errors = layer.dense_gradient_factors
            gemm(errors, inputs, gradient, transpose_b=True)
        pairs.append((moved - started, time.perf_counter() - moved))
    return pairs[3:]  # those before warm up


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    nerva.set_num_threads(options.threads)
    rows = []
    for sizes in LAYERS:
        for density in DENSITIES:
            pairs = measure(tuple(sizes), density, options.rounds)
            update, dense = (1e3 * median(column) for column in zip(*pairs, strict=True))
            ratio = median(u / d for u, d in pairs)
            rows.append(["-".join(map(str, sizes)), f"{density:g}", f"{update:.3g}", f"{dense:.3g}", f"{ratio:.2f}"])
    print(markdown(["layers", "density", "update, ms", "dense products, ms", "times"], rows))


if __name__ == "__main__":
    main()
