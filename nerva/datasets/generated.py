"""Small synthetic data sets, those of the original Nerva's option --generate-dataset: checkerboard and mini."""

from __future__ import annotations

import numpy as np

from nerva.datasets.dataset import Dataset, Split
from nerva.validation import check_integer


def checkerboard(n: int = 2_000, seed: int = 0, *, test: int = 400, squares: int = 8) -> Dataset:
    """Generate points on a checkerboard, with the colour of their square as label.

    A point has two features, uniform in [0, 1). Square (i, j) of `squares` x `squares` is black if i + j is odd. The
    classes are not linearly separable, and many squares need a network of several layers.

    Parameters
    ----------
    n, test : number of training and of test points, from 1
    seed : a non-negative integer; the test points do not depend on `n`, nor the training points on `test`
    squares : number of squares along each side, from 2

    Returns a Dataset with X float32 (n, 2) and the classes white and black. Raises TypeError or ValueError, which names
    the argument.

    >>> checkerboard(100, seed=1).train.X.shape
    (100, 2)
    """
    squares = check_integer(squares, "squares", least=2)
    splits = []
    for count, rng in _generators(n, test, seed):
        X = rng.random((count, 2), dtype=np.float32)
        y = np.floor(X * np.float32(squares)).astype(np.int64).sum(axis=1) % 2
        splits.append(Split(X, y))
    return Dataset("checkerboard", splits[0], splits[1], ("white", "black"))


def mini(n: int = 20, seed: int = 0, *, test: int = 10) -> Dataset:
    """Generate a data set small enough to compute by hand: three features, and the largest of them as label.

    Parameters
    ----------
    n, test : number of training and of test samples, from 1
    seed : a non-negative integer; the test samples do not depend on `n`, nor the training samples on `test`

    Returns a Dataset with X float32 (n, 3), uniform in [0, 1), and the classes 0, 1 and 2. Raises TypeError or
    ValueError, which names the argument.

    >>> X, y = mini(4, seed=0).train
    >>> bool((X.argmax(axis=1) == y).all())
    True
    """
    splits = []
    for count, rng in _generators(n, test, seed):
        X = rng.random((count, 3), dtype=np.float32)
        splits.append(Split(X, X.argmax(axis=1).astype(np.int64)))
    return Dataset("mini", splits[0], splits[1], ("0", "1", "2"))


def _generators(n: int, test: int, seed: int) -> list[tuple[int, np.random.Generator]]:
    """Return the number of samples of each split, and the generator that draws them."""
    counts = check_integer(n, "n", least=1), check_integer(test, "test", least=1)
    children = np.random.SeedSequence(check_integer(seed, "seed", least=0)).spawn(2)
    return [(count, np.random.Generator(np.random.PCG64(child))) for count, child in zip(counts, children, strict=True)]
