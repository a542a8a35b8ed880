"""What users run: a network that trains on, or predicts, samples of a data set of real size, batch after batch.

The samples are bytes, standardized feature by feature; noise, or read from a file that `save` wrote. Processes make or
read them by themselves, so that each has them in memory of its own.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.workloads import BATCH, SIZES, Array, Step, Weights

SAMPLES, TEST_SAMPLES = 50_000, 10_000
MEAN, STD = 0.5, 0.25  # roughly those of uniform noise in [0, 1]


class Samples(NamedTuple):
    """Samples: pixels (n, features), uint8, of the values (pixels / 255 - mean) / std, and labels (n,)."""

    pixels: Array
    labels: Array
    mean: Array
    std: Array


@dataclass(frozen=True)
class Data:
    """A data set: samples of noise, or the first ones of a file."""

    features: int = SIZES[0]
    classes: int = SIZES[-1]
    samples: int = SAMPLES
    file: str = ""
    seed: int = 0

    def bytes(self) -> Samples:
        """Return the samples as bytes; arrays of this process, which are not to be changed."""
        return _bytes(self)

    def floats(self) -> tuple[Array, Array]:
        """Return the standardized samples, float32 (n, features), and their labels."""
        return _floats(self)


@dataclass(frozen=True)
class Use:
    """A network, one matrix (K, D) for each layer, the samples that it meets, and how many in a batch.

    The precision is for nerva alone: the peers compute in float32.
    """

    weights: Weights
    data: Data = field(default_factory=Data)
    batch: int = BATCH
    precision: str = "float32"  # of nerva's activations

    @property
    def step(self) -> Step:
        """A step with the network; its batch is not to be used."""
        return Step(self.weights, np.zeros((1, self.sizes[0]), np.float32), np.zeros(1, np.int64))

    @property
    def dense_size(self) -> int:
        """The weights of the dense network of this shape."""
        return sum(D * K for D, K in pairwise(self.sizes))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the layers from input to output."""
        return (self.weights[0].shape[1], *(W.shape[0] for W in self.weights))


class Blocks:
    """The samples in blocks of consecutive ones, one after another, and again from the first."""

    def __init__(self, samples: int, size: int) -> None:
        self._starts, self._size, self._next = range(0, samples - size + 1, size), size, 0

    def __call__(self) -> slice:
        """Return the next block."""
        start = self._starts[self._next]
        self._next = (self._next + 1) % len(self._starts)
        return slice(start, start + self._size)


def save(samples: Samples, folder: Path) -> str:
    """Write the samples to a file in the folder, and return its path."""
    path = folder / "samples.npz"
    np.savez(path, **samples._asdict())
    return str(path)


# Kept for the next peer in the same process; of one data set, and not as bytes where floats are wanted.
@lru_cache(maxsize=1)
def _bytes(data: Data) -> Samples:
    if data.file:
        with np.load(data.file) as content:
            pixels, labels, mean, std = (content[name] for name in Samples._fields)
        return Samples(pixels[: data.samples], labels[: data.samples], mean, std)
    rng = np.random.default_rng(data.seed)
    pixels = rng.integers(0, 256, (data.samples, data.features), np.uint8)
    labels = rng.integers(0, data.classes, data.samples)
    return Samples(pixels, labels, np.full(data.features, MEAN), np.full(data.features, STD))


@lru_cache(maxsize=1)
def _floats(data: Data) -> tuple[Array, Array]:
    pixels, labels, mean, std = _bytes.__wrapped__(data)
    floats = np.multiply(pixels, (1 / (255 * std)).astype(np.float32), dtype=np.float32)
    floats -= (mean / std).astype(np.float32)
    return floats, labels
