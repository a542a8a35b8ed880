"""Time a topology update of RigL against the dense products DZ X' that it cannot avoid, by MKL, in turns.

    python bench/studies/updates.py [--threads 1]
    python bench/studies/updates.py --links [--threads 1]

An update computes the dense gradients of all sparse layers, drops and grows 30 % of their weights, and moves their
optimizer state. The table has the medians of the times, and of the paired ratios. With --links, updates of CHT and
CHTs, which compute no gradient, stand beside those of RigL, in processor time of all threads together.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from harness.workloads import BATCH, RATE, SIZES
from nerva._kernels.memory import empty_batch
from nerva._kernels.products import gemm
from nerva.topology import TopologyUpdater
from nerva.training.step import train_batch

LAYERS = (SIZES, (4096, 4096, 4096, 10))
DENSITIES = (0.01, 0.05)
WARM_UP = 3  # rounds that are not counted


def measure(sizes: tuple[int, ...], density: float, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of an update and of the dense products in each round."""
    rng = np.random.default_rng(0)
    model = nerva.MLP(sizes, density=density, seed=0, backend="native")
    X, y = empty_batch(sizes[0], BATCH, np.float32), rng.integers(0, sizes[-1], BATCH)
    optimizer, loss = nerva.Nesterov(0.9), nerva.SoftmaxCrossEntropy()
    updater = TopologyUpdater(nerva.RigL(0.3, every=1, end=1.0), model.layers, 10**6, 10**6, rng)
    sparse = [layer for layer in model.layers if isinstance(layer, nerva.SparseLinear)]
    gradients = [empty_batch(layer.out_features, layer.in_features, np.float32) for layer in sparse]
    pairs = []
    for step in range(1, rounds + WARM_UP + 1):
        X[:] = rng.standard_normal(X.shape)
        train_batch(model, X, y, optimizer, RATE, loss)
        updater.before(step)
        train_batch(model, X, y, optimizer, RATE, loss, learn=False)
        started = time.perf_counter()
        updater.after(step, RATE)
        updated = time.perf_counter()
        for layer, gradient in zip(sparse, gradients, strict=True):
            inputs, errors = layer.dense_gradient_factors
            gemm(errors, inputs, gradient, transpose_b=True)
        pairs.append((updated - started, time.perf_counter() - updated))
    return pairs[WARM_UP:]


def measure_links(sizes: tuple[int, ...], density: float, rounds: int) -> list[list[float]]:
    """Return the processor seconds of updates of RigL, CHT and CHTs in each round, each of a network of its own."""
    rng, methods = np.random.default_rng(0), (nerva.RigL, nerva.CHT, nerva.CHTs)
    X, y = empty_batch(sizes[0], BATCH, np.float32), rng.integers(0, sizes[-1], BATCH)
    models = [nerva.MLP(sizes, density=density, seed=0, backend="native") for _ in methods]
    loss, optimizers = nerva.SoftmaxCrossEntropy(), [nerva.Nesterov(0.9) for _ in methods]
    updaters = [
        TopologyUpdater(method(0.3, every=1, unit="step", end=1.0), model.layers, 10**6, 10**6, rng)
        for method, model in zip(methods, models, strict=True)
    ]
    found = []
    for step in range(1, rounds + WARM_UP + 1):
        X[:] = rng.standard_normal(X.shape)
        times = []
        for model, optimizer, updater in zip(models, optimizers, updaters, strict=True):
            train_batch(model, X, y, optimizer, RATE, loss)
            started = time.process_time()
            updater.before(step)  # CHT and CHTs move weights here,
            middle = time.process_time()
            train_batch(model, X, y, optimizer, RATE, loss, learn=False)
            computed = time.process_time()
            updater.after(step, RATE)  # and RigL here
            times.append(time.process_time() - computed + middle - started)
        found.append(times)
    return found[WARM_UP:]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--links", action="store_true", help="time RigL, CHT and CHTs")
    options = parser.parse_args()
    nerva.set_num_threads(options.threads)
    rows = []
    for sizes in LAYERS[:1] if options.links else LAYERS:
        for density in DENSITIES:
            if options.links:
                times = [median(column) for column in zip(*measure_links(sizes, density, options.rounds), strict=True)]
                rows.append(["-".join(map(str, sizes)), f"{density:g}", *(f"{1e3 * t:.3g}" for t in times)])
                continue
            pairs = measure(tuple(sizes), density, options.rounds)
            update, dense = (1e3 * median(column) for column in zip(*pairs, strict=True))
            ratio = median(u / d for u, d in pairs)
            rows.append(["-".join(map(str, sizes)), f"{density:g}", f"{update:.3g}", f"{dense:.3g}", f"{ratio:.2f}"])
    if options.links:
        print(markdown(["layers", "density", "RigL, ms", "CHT, ms", "CHTs, ms"], rows))
    else:
        print(markdown(["layers", "density", "update, ms", "dense products, ms", "times"], rows))


if __name__ == "__main__":
    main()
