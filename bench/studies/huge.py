"""Train networks of many millions of neurons: seconds a step, bytes a weight, and an epoch of SET.

    python bench/studies/huge.py step              # 50 million neurons, 100 million weights, batches of 16
    python bench/studies/huge.py epoch             # 1.8 million neurons, an epoch of SET
    python bench/studies/huge.py step --width 1.25e6 --weights 1e7

`step` has four hidden layers of one width, and weights shared out by Erdos-Renyi; `epoch` the sizes of the Leukemia
microarray data (54,675 genes, 1,397 samples to train on, 18 classes), two hidden layers, and SET, which replaces 30 %
of the weights before the second epoch, the one that is told of. The samples are noise, with a class that a few of the
features tell.
"""

import argparse
import resource
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown

FEATURES = 65_536
GENES, SAMPLES, CLASSES = 54_675, 1_397, 18
STEPS = 3
RATE = 1e-4


def peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def network(sizes: list[int], weights: float) -> tuple[nerva.MLP, float]:
    """Return a network of about so many weights, scaled by the live fan-in, and the seconds it took."""
    started = time.perf_counter()
    density = weights / sum(D * K for D, K in pairwise(sizes))
    model = nerva.MLP(sizes, density=density, init="he", fan="live", seed=0)
    return model, time.perf_counter() - started


def samples(n: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise whose classes shift a hundred features each."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, n)
    X = rng.standard_normal((n, features), dtype=np.float32)
    shifted = rng.integers(0, features, (classes, 100))
    for row, label in zip(X, y, strict=True):
        row[shifted[label]] += 2.0
    return X, y


def about(sizes: list[int], model: nerva.MLP, built: float) -> list[list[str]]:
    """Return the rows that both measures have."""
    return [
        ["layers", "-".join(map(str, sizes))],
        ["neurons", f"{sum(sizes):,}"],
        ["weights", f"{model.nnz:,}"],
        ["seconds to build", f"{built:.1f}"],
    ]


def step(width: int, weights: float, batch: int) -> list[list[str]]:
    """Train a few steps and return what is told of them."""
    sizes = [FEATURES, width, width, width, width, 2]
    model, built = network(sizes, weights)
    rows, held = about(sizes, model, built), peak()
    X, y = samples(batch, FEATURES, 2)
    optimizer, seconds, losses = nerva.Nesterov(0.9), [], []
    for _ in range(STEPS):
        started = time.perf_counter()
        losses.append(model.train_step(X, y, optimizer, rate=RATE))
        seconds.append(time.perf_counter() - started)
    return [
        *rows,
        ["batch size", f"{batch}"],
        ["seconds of the first step, which takes the memory", f"{seconds[0]:.2f}"],
        ["seconds of a step", f"{min(seconds[1:]):.2f}"],
        ["loss of the steps", ", ".join(f"{loss:.4f}" for loss in losses)],
        ["peak memory, GiB", f"{peak() / 2**30:.2f}"],
        ["bytes a weight, as built", f"{held / model.nnz:.1f}"],
        ["bytes a weight, with activations and gradients", f"{peak() / model.nnz:.1f}"],
    ]


def epoch(width: int, epsilon: float, batch: int) -> list[list[str]]:
    """Train two epochs with SET and return what is told of the second."""
    sizes = [GENES, width, width, CLASSES]
    model, built = network(sizes, epsilon * sum(D + K for D, K in pairwise(sizes)))
    X, y = samples(SAMPLES, GENES, CLASSES)
    ends: list[float] = []
    history = model.fit(
        *(X, y),
        epochs=2,
        batch_size=batch,
        optimizer=nerva.Nesterov(0.9),
        schedule=RATE,
        topology=nerva.SET(0.3),
        callbacks=[lambda *_: ends.append(time.perf_counter())],
    )
    return [
        *about(sizes, model, built),
        ["samples, batch size", f"{SAMPLES:,}, {batch}"],
        ["updates of SET", f"{len(history.topology)} layers"],
        ["seconds of an epoch, from end to end", f"{ends[1] - ends[0]:.1f}"],
        ["loss of the epochs", ", ".join(f"{loss:.3f}" for loss in history["loss"])],
        ["peak memory, GiB", f"{peak() / 2**30:.2f}"],
        ["bytes a weight", f"{peak() / model.nnz:.1f}"],
    ]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["step", "epoch"])
    parser.add_argument("--width", type=float, help="of the hidden layers: 12.5e6 in step, 872,654 in epoch")
    parser.add_argument("--weights", type=float, default=1e8, help="of step")
    parser.add_argument("--epsilon", type=float, default=10.0, help="of epoch: weights are epsilon (inputs + outputs)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    nerva.set_num_threads(options.threads)
    if options.what == "step":
        rows = step(int(options.width or 12.5e6), options.weights, options.batch)
    else:
        rows = epoch(int(options.width or 872_654), options.epsilon, options.batch)
    print(markdown(["", f"{options.threads} threads"], rows))


if __name__ == "__main__":
    main()
