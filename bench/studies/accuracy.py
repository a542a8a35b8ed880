"""Train the same sparse network with nerva and with masked PyTorch on CIFAR-10, and compare the test accuracies.

    python bench/studies/accuracy.py --data-dir DIR --out accuracy.jsonl
    python bench/studies/accuracy.py --data-dir DIR --out recipe.jsonl --densities 0.05 --epochs 40 --rate 0.03 \\
        --decay --augment

Hidden layers 1024 and 512, Nesterov 0.9, batch size 100. For every density and seed both frameworks start from the same
weights on the same support and train on the same mini-batches; each has a process of its own.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.peer import installed
from harness.tables import environment, markdown
from harness.workloads import BATCH, SIZES, Array, Step, Weights, network
from nerva._kernels.batches import gather
from nerva._kernels.memory import empty_batch
from nerva.datasets import Augment, cifar10
from nerva.datasets.dataset import Split
from nerva.experiments.workers import Worker
from nerva.schedules import MultiStep
from peers import MaskedPyTorchStep, NervaStep

RATE = 0.01
DENSITIES = (0.05, 0.01, 0.001)
IMAGE = (3, 32, 32)
DECAYS = (0.5, 0.75)  # fractions of the epochs at which --decay divides the learning rate by ten


class Data:
    """CIFAR-10 for both frameworks: standardized samples as rows, optionally augmented."""

    def __init__(self, train: Split, test: Split, augmented: bool) -> None:
        self._train, self._test = train, test
        self._augment = Augment(IMAGE) if augmented else None

    def batches(self, order: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        """Yield the mini-batches (samples, labels) of this order."""
        (X, y), rng = self._train, np.random.default_rng(seed)
        columns = empty_batch(X.shape[1], BATCH, np.float32)
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            moves = () if self._augment is None else (self._augment.image_shape, self._augment.draw(len(rows), rng))
            gather(X.pixels, rows, columns[:, : len(rows)], X.scale, X.shift, *moves)
            yield np.ascontiguousarray(columns[:, : len(rows)].T), y[rows]

    def test(self) -> tuple[Array, Array]:
        """Return all test samples."""
        return np.asarray(self._test.X), self._test.y


class NervaRun(NervaStep):
    """nerva, trained on the whole data set."""

    def __init__(self, weights: Weights, data: Data, threads: int, precision: str | None = None) -> None:
        super().__init__(Step(weights, np.zeros((1, SIZES[0]), np.float32), np.zeros(1, np.int64), RATE), threads)
        self._data, self._test = data, data.test()
        self.model.precision = precision

    def epoch(self, order: Array, seed: int, rate: float) -> tuple[float, float, float]:
        """Train on the samples in this order; return the mean loss, the test accuracy and the seconds of training."""
        started = time.perf_counter()
        losses = [self.model.train_step(X, y, self.optimizer, rate) for X, y in self._data.batches(order, seed)]
        seconds = time.perf_counter() - started
        return mean(losses), self.model.evaluate(*self._test).accuracy, seconds


class MaskedPyTorchRun(MaskedPyTorchStep):
    """Masked PyTorch, trained on the whole data set."""

    def __init__(self, weights: Weights, data: Data, threads: int) -> None:
        super().__init__(Step(weights, np.zeros((1, SIZES[0]), np.float32), np.zeros(1, np.int64), RATE), threads)
        import torch

        self._data = data
        self._test = tuple(map(torch.from_numpy, data.test()))
        self._no_grad, self._from_numpy = torch.no_grad, torch.from_numpy

    def epoch(self, order: Array, seed: int, rate: float) -> tuple[float, float, float]:
        """Train on the samples in this order; return the mean loss, the test accuracy and the seconds of training."""
        self.optimizer.param_groups[0]["lr"] = rate
        started = time.perf_counter()
        batches = (map(self._from_numpy, batch) for batch in self._data.batches(order, seed))
        losses = [self.update(X, y).item() for X, y in batches]
        seconds = time.perf_counter() - started
        with self._no_grad():
            accuracy = (self.model(self._test[0]).argmax(1) == self._test[1]).double().mean().item()
        self._check_support()
        return mean(losses), accuracy, seconds

    def _check_support(self) -> None:
        if any(weight[mask == 0].any() for weight, mask in zip(self._masked, self._masks, strict=True)):
            raise AssertionError("weights off the support are not zero")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of CIFAR-10, downloaded if it is missing")
    parser.add_argument("--data-name", default="CIFAR-10", help="name of the data set in the table")
    parser.add_argument("--densities", type=float, nargs="+", default=DENSITIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--decay", action="store_true", help="divide the learning rate by ten at 50 %% and 75 %%")
    parser.add_argument("--augment", action="store_true", help="crop and flip the training images at random")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="of nerva's activations")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one for each epoch of each run")
    options = parser.parse_args()

    runs = [run for run in (NervaRun, MaskedPyTorchRun) if run in installed((NervaRun, MaskedPyTorchRun))]
    files = cifar10(options.data_dir)
    data = Data(files.train, files.test, options.augment)
    schedule = MultiStep(options.rate, [fraction * options.epochs for fraction in DECAYS] if options.decay else [])
    about = {"data": options.data_name, "sizes": SIZES, "optimizer": "Nesterov 0.9", "batch": BATCH}
    about |= {
        "precision": options.precision,
        "rate": options.rate,
        "decays": DECAYS if options.decay else (),
        "augmented": options.augment,
    }
    with options.out.open("w") as file:
        print(json.dumps({"run": {**about, "environment": environment(runs, [options.threads])}}), file=file)
        final = defaultdict(list)
        for density in options.densities:
            for seed in range(options.seeds):
                weights = network(1.0 - density, seed)
                for run in runs:
                    worker = Worker()
                    own = (options.precision,) if run is NervaRun else ()
                    worker.make(run, weights, data, options.threads, *own)
                    for record in _epochs(worker, options.epochs, len(files.train.y), seed, schedule):
                        record = {"framework": run.name, "density": density, "seed": seed, **record}
                        print(json.dumps(record), file=file, flush=True)
                    worker.close()
                    final[density, run.name].append(100 * record["test_accuracy"])
                    print(f"density {density:g} seed {seed} {run.name:14} {final[density, run.name][-1]:.2f} %")
    print(f"\n{options.data_name}, {options.epochs} epochs, test accuracy in %, mean of {options.seeds} seeds:\n")
    print(_table(final, [run.name for run in runs], options.densities))


def _epochs(worker: Worker, epochs: int, samples: int, seed: int, schedule: MultiStep) -> Any:
    """Train, and yield a record after each epoch; the order of the samples depends on the seed alone."""
    rng, order = np.random.default_rng(seed), np.arange(samples)
    for epoch in range(1, epochs + 1):
        rng.shuffle(order)
        loss, accuracy, seconds = worker.call("epoch", order, 1000 * seed + epoch, schedule(epoch - 1.0))
        yield {"epoch": epoch, "loss": loss, "test_accuracy": accuracy, "seconds": seconds}


def _table(final: dict[tuple[float, str], list[float]], names: list[str], densities: list[float]) -> str:
    rows = []
    for density in densities:
        columns = [final[density, name] for name in names]
        row = [f"{density:g}", *(f"{mean(column):.2f}" for column in columns)]
        if len(columns) == 2:
            differences = [ours - theirs for ours, theirs in zip(*columns, strict=True)]
            row += [f"{mean(differences):+.2f}", ", ".join(f"{d:+.2f}" for d in differences)]
        rows.append(row)
    return markdown(["density", *names, *(["difference", "each seed"] if len(names) == 2 else [])], rows)


if __name__ == "__main__":
    main()
