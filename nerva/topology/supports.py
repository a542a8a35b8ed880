"""Where the weights of a sparse layer are: the sparsity pattern it starts with.

A support is any callable `(K, D, count, rng) -> (indptr, indices)`: a K x D pattern in CSR format with `count`
positions, int32, the column indices of each row sorted. Those here take O(count + K + D) memory, however large K x D
is, and the same seed gives the same pattern.
"""

from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.supports import draw_support
from nerva.topology.networks import degrees, like, receptive_field, small_world
from nerva.topology.patterns import (
    Pattern,
    Positions,
    Support,
    check_count,
    draw_rows,
    evenly,
    pattern_of,
    share_out,
)
from nerva.validation import check_integer, check_not_negative

__all__ = [
    "SUPPORTS",
    "Pattern",
    "Positions",
    "Support",
    "as_support",
    "blocks",
    "degrees",
    "fan_in",
    "fan_out",
    "from_mask",
    "like",
    "random",
    "receptive_field",
    "skewed",
    "small_world",
]


def random(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
    """Draw the positions uniformly: every set of `count` of them is as likely as any other.

    >>> indptr, indices = nerva.supports.random(3, 5, 6, np.random.default_rng(0))
    >>> len(indptr), len(indices)
    (4, 6)
    """
    indptr, indices = draw_support(*check_count(K, D, count), rng)
    return indptr, indices


def fan_in(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
    """Give every row count / K positions, drawn uniformly; count mod K rows, drawn too, have one more.

    Constant fan-in: M. Lasby et al., Dynamic sparse training with structured sparsity, ICLR 2024.

    >>> np.diff(nerva.supports.fan_in(3, 5, 6, np.random.default_rng(0))[0]).tolist()
    [2, 2, 2]
    """
    K, D, count = check_count(K, D, count)
    return pattern_of(draw_rows(evenly(count, K, rng), D, rng), K, D)


def fan_out(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
    """Give every column count / D positions, drawn uniformly; count mod D columns, drawn too, have one more.

    >>> np.bincount(nerva.supports.fan_out(3, 5, 10, np.random.default_rng(0))[1]).tolist()
    [2, 2, 2, 2, 2]
    """
    K, D, count = check_count(K, D, count)
    columns, rows = np.divmod(draw_rows(evenly(count, D, rng), K, rng), K)
    return pattern_of(np.sort(rows * D + columns), K, D)


def skewed(exponent: float = 1.0, *, axis: int = 0) -> Support:
    """Return a support whose rows (axis 0) or columns (axis 1) follow a power law.

    The r-th largest has a share of the weights proportional to r^-exponent, but never more than all of its positions.
    Which row is which is drawn, and so are the positions within a row, uniformly. For studies of load balance.

    Raises ValueError where the exponent is negative, or the axis is not 0 or 1.

    >>> sorted(np.diff(nerva.supports.skewed(1.0)(4, 50, 50, np.random.default_rng(0))[0]).tolist())
    [6, 8, 12, 24]
    """
    exponent = check_not_negative(exponent, "exponent")
    if axis not in (0, 1):
        raise ValueError(f"axis is {axis}; it must be 0 for rows or 1 for columns")

    def support(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
        K, D, count = check_count(K, D, count)
        many, each = (K, D) if axis == 0 else (D, K)
        shares = rng.permutation(np.arange(1.0, many + 1.0) ** -exponent)
        keys = draw_rows(share_out(count, shares, each), each, rng)
        if axis == 1:
            columns, rows = np.divmod(keys, K)
            keys = np.sort(rows * D + columns)
        return pattern_of(keys, K, D)

    return support


def blocks(size: int = 16) -> Support:
    """Return a support of full blocks of size x size weights, which are drawn uniformly.

    Blocks at the edge of the matrix are cut, and the last one drawn is filled as far as the count goes, row by row.
    Raises TypeError or ValueError where the size is not an integer above 0.

    >>> np.diff(nerva.supports.blocks(2)(4, 6, 8, np.random.default_rng(0))[0]).tolist()
    [0, 0, 4, 4]
    """
    b = check_integer(size, "size", least=1)

    def support(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
        K, D, count = check_count(K, D, count)
        across = -(-D // b)
        total = -(-K // b) * across
        tried = min(total, count // (b * b) + 1)
        while True:  # blocks at the edges hold fewer weights, and more blocks may be needed
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
        return pattern_of(np.sort(keys), K, D)

    return support


def from_mask(mask: Any) -> Pattern:
    """Return the pattern of a matrix (K, D): the non-zeros of an array, or what a nerva.CSR or a SciPy one stores.

    Raises ValueError for what is not a matrix of numbers.

    >>> nerva.supports.from_mask(np.eye(3))[1].tolist()
    [0, 1, 2]
    """
    if isinstance(mask, CSR):
        return mask.indptr.copy(), mask.indices.copy()
    if hasattr(mask, "tocsr"):
        matrix = mask.tocsr().copy()  # the caller's may be a CSR matrix itself, which is sorted in place below
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
    "receptive-field": receptive_field(),
    "small-world": small_world(),
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
