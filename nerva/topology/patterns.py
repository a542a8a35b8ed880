"""What supports are made of: positions drawn row by row, numbers shared out exactly, patterns in CSR format."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.validation import check_integer

Pattern = tuple[Array, Array]
Support = Callable[[int, int, int, np.random.Generator], Pattern]
Positions = npt.NDArray[np.int64]  # ascending: in a K x D matrix row x D + column, in a vector the index

LARGEST = 2**31 - 1  # weights of a layer: what an int32 row pointer can count


def check_count(K: int, D: int, count: int) -> tuple[int, int, int]:
    """Return K, D and count as int.

    Raises ValueError where K x D has no room for so many weights, or a row pointer cannot count them, or an index is
    above int32, and TypeError for what is no integer.
    """
    K, D = (check_integer(value, name, least=1, most=LARGEST) for value, name in ((K, "K"), (D, "D")))
    count = check_integer(count, "count")
    if not 0 <= count <= K * D:
        raise ValueError(f"count is {count}; {K} x {D} has 0 to {K * D} positions for weights")
    if count > LARGEST:
        raise ValueError(f"count is {count}; a layer holds at most {LARGEST} weights")
    return K, D, count


def evenly(count: int, rows: int, rng: np.random.Generator) -> Array:
    """Return how many positions each row has, such that they differ by one at most."""
    counts = np.full(rows, count // rows)
    counts[rng.permutation(rows)[: count % rows]] += 1
    return counts


def share_out(count: int, shares: Array, most: int) -> Array:
    """Return integers that sum to `count`, each near its share and at most `most`, by the largest remainders."""
    wanted, capped = np.zeros(len(shares)), np.zeros(len(shares), bool)
    while True:  # what the largest rows have no room for is shared among the others
        left = count - most * int(capped.sum())
        open_shares = np.where(capped, 0.0, shares)
        wanted = np.where(capped, most, left * open_shares / max(open_shares.sum(), 1e-300))
        over = (wanted > most) & ~capped
        if not over.any():
            break
        capped |= over
    counts = np.floor(wanted).astype(np.int64)
    order = np.argsort(counts - wanted, kind="stable")
    order = order[counts[order] < most]
    missing = count - int(counts.sum())
    counts[order[:missing]] += 1
    for row in np.flatnonzero(counts < most) if counts.sum() < count else ():  # after rounding errors alone
        counts[row] += min(most - counts[row], count - counts.sum())
    return counts


def draw_rows(counts: Array, columns: int, rng: np.random.Generator) -> Array:
    """Return counts[r] of the columns of each row r, drawn uniformly, as ascending r x columns + column, int64."""
    many = counts > columns // 2  # of these rows, draw the positions they do not have
    keys = _draw_few(np.where(many, columns - counts, counts), columns, rng)
    if not many.any():
        return keys
    lacking = keys[many[keys // columns]]
    full = (np.flatnonzero(many)[:, None] * columns + np.arange(columns)).ravel()
    return np.sort(np.concatenate([keys[~many[keys // columns]], np.setdiff1d(full, lacking, assume_unique=True)]))


def _draw_few(counts: Array, columns: int, rng: np.random.Generator) -> Array:
    """Do so for rows with at most half of the columns: draw again what was drawn twice."""
    keys, missing = np.zeros(0, np.int64), counts
    while missing.any():
        rows = np.repeat(np.arange(len(counts)), missing)
        keys = np.union1d(keys, rows * columns + rng.integers(columns, size=len(rows)))
        missing = counts - np.bincount(keys // columns, minlength=len(counts))
    return keys


def pattern_of(keys: Array, K: int, D: int) -> Pattern:
    """Return ascending flat positions as CSR."""
    indptr = np.zeros(K + 1, np.int32)
    np.cumsum(np.bincount(keys // D, minlength=K), out=indptr[1:])
    return indptr, (keys % D).astype(np.int32)


def distinct(rng: np.random.Generator, population: int, count: int) -> Positions:
    """Draw `count` of 0 to population - 1 without replacement, uniformly; return them ascending.

    O(count log count), however large the population is. Raises ValueError where the count exceeds it.

    >>> from nerva.topology.patterns import distinct
    >>> len(distinct(np.random.default_rng(0), 10**12, 5))
    5
    """
    if not 0 <= count <= population:
        raise ValueError(f"count is {count}; there are {population} to draw from")
    if 2 * count > population:
        left = np.ones(population, np.bool_)
        left[distinct(rng, population, population - count)] = False
        return np.flatnonzero(left)
    found = np.empty(0, np.int64)
    while len(found) < count:
        # Every draw treats all positions alike, and so every set is equally likely.
        found = np.union1d(found, rng.integers(population, size=count - len(found)))
    return found
