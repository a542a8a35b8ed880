"""Small data sets drawn by formula, as the original Nerva's option --generate-dataset: checkerboard and mini."""

from __future__ import annotations

import operator

import numpy as np

from .dataset import Dataset, Split


def checkerboard(n: int = 2_000, seed: int = 0, *, test: int = 400, squares: int = 8) -> Dataset:
    """Draw points of a checkerboard, and tell for each whether its square is white or black.

    A point has two features, uniform in [0, 1). Square (i, j) of the ``squares`` x ``squares`` is black where i + j is
    odd. No line tells the two classes apart, and a network needs several layers to do well with many squares.

    Parameters
    ----------
    n, test : int
        How many points to draw for training and for testing.
    seed : int
        The test points do not depend on ``n``, nor the training points on ``test``.
    squares : int
        Along each side, from 2.

    Returns
    -------
    Dataset
        ``X`` is float32 of shape (n, 2); the classes are white and black.

    Raises
    ------
    TypeError, ValueError
        If a number is no integer, or too small.

    Examples
    --------
    >>> checkerboard(100, seed=1).train.X.shape
    (100, 2)
    """
    n, test, seed = _check(n, test, seed)
    squares = _integer("squares", squares, 2)
    splits = []
    for count, rng in zip((n, test), _generators(seed), strict=True):
        X = rng.random((count, 2), dtype=np.float32)
        y = np.floor(X * np.float32(squares)).astype(np.int64).sum(axis=1) % 2
        splits.append(Split(X, y))
    return Dataset("checkerboard", splits[0], splits[1], ("white", "black"))


def mini(n: int = 20, seed: int = 0, *, test: int = 10) -> Dataset:
    """Draw a data set small enough to follow by hand: three features, and which of them is the largest.

    Parameters
    ----------
    n, test : int
        How many samples to draw for training and for testing, each feature uniform in [0, 1).
    seed : int
        The test samples do not depend on ``n``, nor the training samples on ``test``.

    Returns
    -------
    Dataset
        ``X`` is float32 of shape (n, 3); the three classes are named by their numbers.

    Raises
    ------
    TypeError, ValueError
        If a number is no integer, or too small.
    """
    n, test, seed = _check(n, test, seed)
    splits = []
    for count, rng in zip((n, test), _generators(seed), strict=True):
        X = rng.random((count, 3), dtype=np.float32)
        splits.append(Split(X, X.argmax(axis=1).astype(np.int64)))
    return Dataset("mini", splits[0], splits[1], ("0", "1", "2"))


def _check(n: int, test: int, seed: int) -> tuple[int, int, int]:
    return _integer("n", n, 1), _integer("test", test, 1), _integer("seed", seed, 0)


def _integer(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it must be an integer") from None
    if number < least:
        raise ValueError(f"{name} is {number}; it must be at least {least}")
    return number


def _generators(seed: int) -> list[np.random.Generator]:
    return [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(2)]
