"""A synthetic data set: images of ten shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nerva.datasets.dataset import Dataset, Split, Standardized
from nerva.datasets.preprocess import Preprocess, statistics
from nerva.validation import check_integer

# All arithmetic is in integers, so that every machine draws the same bytes. Positions and sizes are in eighths of a
# pixel, colours from 0 to 255.
SIDE = 32
PIXEL = 8
JITTER = 3 * PIXEL  # how far the centre of a shape lies from the centre of the image at most, along each axis
SMALLEST, LARGEST = 7 * PIXEL, 12 * PIXEL  # half the width of a shape
FAINTEST, STRONGEST = 80, 160  # difference between shape and background, in each channel
DARKEST, BRIGHTEST = 20, 235
NOISE = 40  # added to each value: uniform from -NOISE to NOISE

# Of the pixels / 255, and of each channel, since all three have the same distribution.
MEAN, STD = 0.5, 0.28

CHUNK = 128  # images drawn at a time, few enough for their arrays to stay in cache

Ints = NDArray[np.int32]

# Which pixels a shape covers, from the pixels' distances to its centre, u to the right and v downwards, the larger of
# the two without sign, d, and half the width of the shape, s.
SHAPES: dict[str, Callable[[Ints, Ints, Ints, Ints], NDArray[np.bool_]]] = {
    "disk": lambda u, v, d, s: u * u + v * v <= s * s,
    "ring": lambda u, v, d, s: (u * u + v * v <= s * s) & (4 * (u * u + v * v) > s * s),
    "square": lambda u, v, d, s: d <= s,
    "frame": lambda u, v, d, s: (d <= s) & (2 * d > s),
    "triangle": lambda u, v, d, s: (d <= s) & (2 * abs(u) <= v + s),
    "plus": lambda u, v, d, s: (d <= s) & (3 * np.minimum(abs(u), abs(v)) <= s),
    "cross": lambda u, v, d, s: (d <= s) & (2 * abs(abs(u) - abs(v)) <= s),
    "rows": lambda u, v, d, s: (d <= s) & (_stripe(v, s, 5) % 2 == 0),
    "columns": lambda u, v, d, s: (d <= s) & (_stripe(u, s, 5) % 2 == 0),
    "checkers": lambda u, v, d, s: (d <= s) & ((_stripe(u, s, 4) + _stripe(v, s, 4)) % 2 == 0),
}


def shapes(n: int = 20_000, seed: int = 0, *, test: int = 4_000, preprocess: Preprocess = "standardize") -> Dataset:
    """Generate images of ten shapes: disk, ring, square, frame, triangle, plus, cross, rows, columns, checkers.

    An image has 32 x 32 pixels in three channels and shows one shape of random position, size and colour on a
    background of another colour, with noise. The shape is brighter than the background as often as it is darker, so
    that no single pixel is correlated with the class: a linear classifier is hardly better than chance (20 % accuracy),
    while a multilayer perceptron learns the classes.

    Parameters
    ----------
    n, test : number of training and of test images, from 1; the classes are balanced to within one image
    seed : a non-negative integer, which gives the same bytes on every machine. The test images do not depend on `n`,
        nor the training images on `test`
    preprocess : the feature that a pixel becomes, as in `cifar10`

    Returns a Dataset whose X is Standardized, with 3,072 features: 1,024 of the red channel, row by row, then green,
    then blue. Raises TypeError or ValueError, which names the argument.

    >>> shapes(100, seed=0, test=20).train.X.shape
    (100, 3072)
    """
    n, test = check_integer(n, "n", least=1), check_integer(test, "test", least=1)
    seed = check_integer(seed, "seed", least=0)
    center, spread = (np.repeat(values, SIDE * SIDE) for values in statistics(preprocess, (MEAN,) * 3, (STD,) * 3))
    train, held_out = (
        Split(Standardized(pixels, center, spread), y)
        for pixels, y in map(_draw, (n, test), np.random.SeedSequence(seed).spawn(2))
    )
    return Dataset("shapes", train, held_out, tuple(SHAPES), (3, SIDE, SIDE))


def _draw(n: int, seed: np.random.SeedSequence) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.Generator(np.random.PCG64(seed))
    y = rng.permutation(np.arange(n, dtype=np.int64) % len(SHAPES))
    middle = SIDE * PIXEL // 2
    center = rng.integers(middle - JITTER, middle + JITTER + 1, size=(2, n, 1, 1), dtype=np.int32)
    half = rng.integers(SMALLEST, LARGEST + 1, size=(n, 1, 1), dtype=np.int32)
    contrast = rng.integers(FAINTEST, STRONGEST + 1, size=(n, 3, 1), dtype=np.int16)
    dark = rng.integers(DARKEST, BRIGHTEST + 1 - contrast, dtype=np.int16)
    inverted = rng.integers(0, 2, size=(n, 1, 1), dtype=np.uint8).astype(np.bool_)
    back = np.where(inverted, dark + contrast, dark)
    fore = np.where(inverted, dark, dark + contrast)

    axis = PIXEL // 2 + PIXEL * np.arange(SIDE, dtype=np.int32)
    pixels = np.empty((n, 3 * SIDE * SIDE), dtype=np.uint8)
    for k, covers in enumerate(SHAPES.values()):
        members = np.flatnonzero(y == k)
        for start in range(0, len(members), CHUNK):
            i = members[start : start + CHUNK]
            u, v = axis - center[0, i], axis[:, None] - center[1, i]
            covered = covers(u, v, np.maximum(abs(u), abs(v)), half[i]).reshape(len(i), 1, SIDE * SIDE)
            noise = rng.integers(-NOISE, NOISE + 1, size=(len(i), 3, SIDE * SIDE), dtype=np.int16)
            image = np.where(covered, fore[i], back[i]) + noise
            pixels[i] = np.clip(image, 0, 255, out=image).reshape(len(i), -1)
    return pixels, y


def _stripe(u: Ints, s: Ints, count: int) -> Ints:
    """Return in which of `count` equal stripes from -s to s a distance lies, from 0."""
    stripe: Ints = count * (u + s) // (2 * s + 1)
    return stripe
