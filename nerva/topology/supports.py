"""Where the weights of a sparse layer are.

A support is any callable `(K, D, count, rng) -> (indptr, indices)`: the sorted rows of a K x D pattern with `count`
positions, int32. Those here take O(count + K + D) memory, however large K x D is, and the same seed gives the same.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from nerva._kernels.memory import Array
from nerva._kernels.supports import draw_support
from nerva.validation import check_integer, check_not_negative

Pattern = tuple[Array, Array]
LARGEST = 2**31 - 1  # weights of a layer
Support = Callable[[int, int, int, np.random.Generator], Pattern]


def random(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
    """Draw the positions uniformly: every set of `count` of them is as likely as any other."""
    indptr, indices = draw_support(K, D, count, rng)
    return indptr, indices


def fan_in(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
    """Give every row equally many positions, drawn uniformly; count mod K rows, drawn too, have one more.

    Constant fan-in: M. Lasby et al., Dynamic sparse training with structured sparsity, ICLR 2024.
    """
    _check(K, D, count)
    return _pattern(_draw_rows(_evenly(count, K, rng), D, rng), K, D)


def fan_out(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
    """Give every column equally many positions, drawn uniformly; count mod D columns, drawn too, have one more."""
    _check(K, D, count)
    columns, rows = np.divmod(_draw_rows(_evenly(count, D, rng), K, rng), K)
    return _pattern(np.sort(rows * D + columns), K, D)


def skewed(exponent: float = 1.0, *, axis: int = 0) -> Support:
    """Return a support whose rows (axis 0) or columns (axis 1) follow a power law, for study.

    In random order, the r-th heaviest has a share proportional to r^-exponent, but never more than all of its
    positions; within a row or column they are drawn uniformly.
    """
    exponent = check_not_negative(exponent, "exponent")
    if axis not in (0, 1):
        raise ValueError(f"axis is {axis}; it must be 0 for rows or 1 for columns")

    def support(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
        _check(K, D, count)
        many, each = (K, D) if axis == 0 else (D, K)
        shares = rng.permutation(np.arange(1.0, many + 1.0) ** -exponent)
        keys = _draw_rows(_share_out(count, shares, each), each, rng)
        if axis == 1:
            columns, rows = np.divmod(keys, K)
            keys = np.sort(rows * D + columns)
        return _pattern(keys, K, D)

    return support


def blocks(size: int = 16) -> Support:
    """Return a support of full blocks, size x size and drawn uniformly, but for those cut by an edge and the last."""
    b = check_integer(size, "size", least=1)

    def support(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
        _check(K, D, count)
        across = -(-D // b)
        total = -(-K // b) * across
        tried = min(total, count // (b * b) + 1)
        while True:
            chosen = rng.choice(total, tried, replace=False)
            top, left = (chosen // across) * b, (chosen % across) * b
            heights, widths = np.minimum(b, K - top), np.minimum(b, D - left)
            ends = np.cumsum(heights * widths)
            if ends[-1] >= count:
                break
            tried = min(total, 2 * tried)
        full = int(np.searchsorted(ends, count, side="left")) + 1
        block = np.repeat(np.arange(full), (heights * widths)[:full])[:count]
        within = np.arange(count) - (ends - heights * widths)[block]
        keys = (top[block] + within // widths[block]) * D + left[block] + within % widths[block]
        return _pattern(np.sort(keys), K, D)

    return support


def from_mask(mask: Any) -> Pattern:
    """Return the pattern of the non-zeros of a matrix (K, D), an array or SciPy sparse, explicit zeros included."""
    if hasattr(mask, "tocsr"):
        matrix = mask.tocsr().copy()
        matrix.sum_duplicates()
        return np.asarray(matrix.indptr, np.int32), np.asarray(matrix.indices, np.int32)
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "biuf":
        raise ValueError(f"support has shape {mask.shape} and dtype {mask.dtype}; it must be a matrix of numbers")
    keep = mask != 0
    indptr = np.zeros(len(mask) + 1, np.int32)
    np.cumsum(keep.sum(axis=1), out=indptr[1:])
    return indptr, np.nonzero(keep)[1].astype(np.int32)


SUPPORTS: dict[str, Support] = {
    "random": random,
    "fan-in": fan_in,
    "fan-out": fan_out,
    "skewed": skewed(),
    "blocks": blocks(),
}


def as_support(support: str | Support) -> Support:
    """Return the support of this name, or the callable itself."""
    if isinstance(support, str):
        if support not in SUPPORTS:
            raise ValueError(f"support is {support!r}; it must be one of {', '.join(SUPPORTS)}, a callable or a matrix")
        return SUPPORTS[support]
    if not callable(support):
        raise TypeError(f"support is {type(support).__name__}; it must be a name, a callable or a matrix")
    return support


def _check(K: int, D: int, count: int) -> None:
    if not 0 <= count <= min(K * D, LARGEST):
        raise ValueError(f"count is {count}; {K} x {D} has 0 to {min(K * D, LARGEST)} positions for weights")


def _evenly(count: int, rows: int, rng: np.random.Generator) -> Array:
    """Return how many positions each row has, so that none has two more than another."""
    counts = np.full(rows, count // rows)
    counts[rng.permutation(rows)[: count % rows]] += 1
    return counts


def _share_out(count: int, shares: Array, most: int) -> Array:
    """Return integers that sum to `count`, each near its share and at most `most`, by the largest remainders."""
    wanted, capped = np.zeros(len(shares)), np.zeros(len(shares), bool)
    while True:  # what does not fit the heaviest is shared among the others
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
    for row in np.flatnonzero(counts < most) if counts.sum() < count else ():  # rounding alone leads here
        counts[row] += min(most - counts[row], count - counts.sum())
    return counts


def _draw_rows(counts: Array, columns: int, rng: np.random.Generator) -> Array:
    """Return counts[r] of the columns of each row r, drawn uniformly, as ascending r x columns + column, int64."""
    many = counts > columns // 2  # of these rows, draw what they lack
    keys = _draw_few(np.where(many, columns - counts, counts), columns, rng)
    if not many.any():
        return keys
    lacking = keys[many[keys // columns]]
    full = (np.flatnonzero(many)[:, None] * columns + np.arange(columns)).ravel()
    return np.sort(np.concatenate([keys[~many[keys // columns]], np.setdiff1d(full, lacking, assume_unique=True)]))


def _draw_few(counts: Array, columns: int, rng: np.random.Generator) -> Array:
    """Do so by drawing what is missing anew until no column stands twice; a row wants at most half of them."""
    keys, missing = np.zeros(0, np.int64), counts
    while missing.any():
        rows = np.repeat(np.arange(len(counts)), missing)
        keys = np.union1d(keys, rows * columns + rng.integers(columns, size=len(rows)))
        missing = counts - np.bincount(keys // columns, minlength=len(counts))
    return keys


def _pattern(keys: Array, K: int, D: int) -> Pattern:
    indptr = np.zeros(K + 1, np.int32)
    np.cumsum(np.bincount(keys // D, minlength=K), out=indptr[1:])
    return indptr, (keys % D).astype(np.int32)
