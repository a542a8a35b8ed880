"""What the experiments of the paper run: networks, sparsities, seeds, epochs, rates and data."""

from __future__ import annotations

import functools
import os
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from nerva.datasets import Dataset, cifar10, shapes
from nerva.datasets.dataset import Split
from nerva.schedules import MultiStep

IMAGE = (3, 32, 32)


@dataclass(frozen=True)
class Protocol:
    """The settings of the paper's experiments; the defaults are those of the original's logs.

    Parameters
    ----------
    data : folder or archive of CIFAR-10, in which it is looked for; None for that of `nerva.datasets.cifar10`;
        "shapes" for the generated images of `nerva.datasets.shapes`, to try what runs
    label : what the data are called in every table
    samples : of the training set that are used, the first ones; None for all
    sizes : of the layers
    sparsities, seeds : of the comparison with masked PyTorch
    cause_sparsities, cause_seeds : of the test of equivalence
    epochs, batch_size, momentum : of Nesterov's method
    masked_epochs : of all runs that are compared with masked PyTorch step by step, on both sides
    augment : whether images are shifted and flipped
    depths, width, widths, depth : of the hidden layers of other networks that are timed: deeper ones of one width, and
        wider ones of one depth
    dense : whether dense networks are trained, too, on both sides, for `masked_epochs`
    redraws, redraw_sparsity : how many supports, and how many initial weights, the part `seeds` draws, and where
    distribution_sparsities : at which weights are shared out among the layers in other ways
    rounds : of every timing, in turns with the peer; medians count
    threads : of what is timed
    """

    data: str | None = None
    label: str = "CIFAR-10"
    samples: int | None = None
    sizes: tuple[int, ...] = (3072, 1024, 512, 10)
    sparsities: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999)
    seeds: tuple[int, ...] = (1, 2, 3)
    cause_sparsities: tuple[float, ...] = (0.95, 0.99, 0.995, 0.999)
    cause_seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    epochs: int = 100
    masked_epochs: int = 100
    batch_size: int = 100
    momentum: float = 0.9
    augment: bool = True
    depths: tuple[int, ...] = (1, 2, 3, 5, 10)
    width: int = 1024
    widths: tuple[int, ...] = (1024, 2048, 4096, 8192, 16384)
    depth: int = 3
    dense: bool = False
    redraws: int = 10
    redraw_sparsity: float = 0.99
    distribution_sparsities: tuple[float, ...] = (0.9, 0.95, 0.99, 0.995, 0.999)
    rounds: int = 5
    threads: int = 2

    def rate(self, sparsity: float) -> float:
        """Return the first learning rate at this sparsity, as in the original's script."""
        density = 1.0 - sparsity
        return 0.1 if density < 0.02 else 0.03 if density < 0.15 else 0.01

    def schedule(self, sparsity: float, epochs: int) -> MultiStep:
        """Return the learning rate by epoch: divided by ten after half and after three quarters of the epochs."""
        return MultiStep(self.rate(sparsity), milestones(epochs), gamma=0.1)

    def load(self) -> Dataset:
        """Read the data; raise FileNotFoundError or OSError as `nerva.datasets.cifar10` does."""
        if self.data == "shapes":
            return shapes(20_000 if self.samples is None else self.samples)
        data = _read(self.data)
        if self.samples is None:
            return data
        X, y = data.train
        return Dataset(data.name, Split(X[: self.samples], y[: self.samples]), data.test, data.classes)

    def settings(self) -> dict[str, Any]:
        """Return the settings as JSON takes them."""
        return asdict(self)


@functools.lru_cache(maxsize=1)  # a process trains many networks, and an archive takes seconds to read
def _read(data: str | None) -> Dataset:
    return cifar10(data, download=data is None)


def full(**changes: Any) -> Protocol:
    """Return the whole protocol of the paper, with these changes."""
    return replace(Protocol(threads=_cores()), **changes)


def quick(**changes: Any) -> Protocol:
    """Return a protocol of the same parts that ends within a quarter of an hour on two cores."""
    small = Protocol(
        samples=10_000,
        sparsities=(0.5, 0.9, 0.95, 0.99, 0.999),
        seeds=(1, 2),
        cause_sparsities=(0.99, 0.999),
        cause_seeds=(1, 2, 3),
        epochs=4,
        masked_epochs=2,
        depths=(1, 3, 10),
        widths=(1024, 4096),
        redraws=4,
        distribution_sparsities=(0.95, 0.99, 0.999),
        rounds=3,
        threads=_cores(),
    )
    return replace(small, **changes)


def milestones(epochs: int) -> list[int]:
    """Return the epochs, from 0, with which the learning rate falls: of whole epochs.

    >>> milestones(100), milestones(10)
    ([50, 75], [5, 8])
    """
    return [ceil(0.5 * epochs), ceil(0.75 * epochs)]


def initial_rng(seed: int) -> np.random.Generator:
    """Return the generator of supports and initial weights of a seed."""
    return np.random.Generator(np.random.PCG64(seed))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
