"""Supports that follow a model of network science, or have the degrees of another network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.topology.patterns import (
    Pattern,
    Support,
    check_count,
    distinct,
    draw_rows,
    evenly,
    pattern_of,
    share_out,
)
from nerva.validation import check_fraction

BLOCK = 1 << 18  # positions at a time
TRADES = 5  # for each row, after which little is left of where its weights were first


def receptive_field(r: float = 0.25) -> Support:
    """Return a support where every output has a receptive field: inputs near its own place are likely, others less so.

    Inputs and outputs lie on a ring, output k of K at input floor(k D / K). Every row has count / K positions, as many
    as `fan_in` gives it, drawn without replacement with probabilities in proportion to (1 + d)^-((1 - r) / r), where d
    is the distance along the ring: 0 gives it the nearest inputs, 1 any inputs alike. Takes O(K D) time, and memory for
    some rows. Raises ValueError where r is not within 0 to 1.

    The bipartite receptive field of Y. Zhang et al., Brain network science modelling of sparse neural networks enables
    Transformers and LLMs to perform as fully connected, NeurIPS 2025, where the rows are the smaller side of a layer.

    >>> nerva.supports.receptive_field(0.0)(3, 9, 9, np.random.default_rng(0))[1].tolist()
    [0, 1, 8, 2, 3, 4, 5, 6, 7]
    """
    r = check_fraction(r, "r")

    def support(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
        K, D, count = check_count(K, D, count)
        counts = evenly(count, K, rng)
        if r == 0.0 or count in (0, K * D):
            return pattern_of(_nearest(counts, D), K, D)
        distances = np.minimum(np.arange(D), D - np.arange(D))
        cost, few = (1.0 - r) / r * np.log1p(distances), int(counts.min())
        keys = []
        for first in range(0, K, height := max(1, BLOCK // D)):
            rows = np.arange(first, min(K, first + height))
            places = (np.arange(D) - (rows * D // K)[:, None]) % D
            # Those with the smallest E / p, where E is exponential, are a draw without replacement.
            luck = np.log(np.maximum(rng.standard_exponential(places.shape), 1e-300)) + cost[places]
            nearest = np.argpartition(luck, min(few, D - 1), axis=1)[:, : few + 1]
            chosen = nearest + rows[:, None] * D
            keys.append(np.sort(chosen[np.arange(chosen.shape[1]) < counts[rows, None]]))
        return pattern_of(np.concatenate(keys), K, D)

    return support


def small_world(beta: float = 0.25) -> Support:
    """Return a support that is a small world: every output has its nearest inputs, and a part of the weights is moved.

    Inputs and outputs lie on a ring as in `receptive_field`. Each weight is moved with the probability beta, to a
    position drawn uniformly from those without one. Raises ValueError where beta is not within 0 to 1.

    D. J. Watts and S. H. Strogatz, Collective dynamics of small-world networks, Nature 393, 1998; its bipartite form is
    in Y. Zhang et al., Brain network science modelling of sparse neural networks, NeurIPS 2025.

    >>> nerva.supports.small_world(0.2)(3, 9, 9, np.random.default_rng(0))[1].tolist()  # one is moved
    [0, 8, 2, 3, 4, 8, 5, 6, 7]
    """
    beta = check_fraction(beta, "beta")

    def support(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
        K, D, count = check_count(K, D, count)
        near = _nearest(evenly(count, K, rng), D)
        kept = near[rng.random(count) >= beta]
        ranks = distinct(rng, K * D - len(kept), count - len(kept))
        # Before the i-th weight lie kept[i] - i empty positions.
        moved = ranks + np.searchsorted(kept - np.arange(len(kept)), ranks, side="right")
        return pattern_of(np.sort(np.concatenate([kept, moved])), K, D)

    return support


def degrees(fan_in: Sequence[float] | Array | None = None, fan_out: Sequence[float] | Array | None = None) -> Support:
    """Return a support with a given number of weights for each output, or each input, or both; else it is random.

    Parameters
    ----------
    fan_in : of each of the K outputs, not negative; None leaves it free
    fan_out : of each of the D inputs, as well

    Where they add up to the layer's number of weights, they are kept exactly; else they are scaled to that, rounded by
    the largest remainders, none above what a row or column holds. With one of them positions are drawn uniformly. With
    both, a pattern that has them is found first, then pairs of rows trade 5 K times what only one of them has.

    Raises ValueError where neither is given, or one is not a vector of numbers that are not negative; and when the
    support is drawn, where their lengths are not K and D, or no pattern has both.

    The trades are those of G. Strona et al., A fast and unbiased procedure to randomize ecological binary matrices with
    fixed row and column totals, Nature Communications 5, 2014.

    >>> indptr, indices = nerva.supports.degrees([3, 0, 1], [1, 1, 2, 0])(3, 4, 4, np.random.default_rng(0))
    >>> np.diff(indptr).tolist(), np.bincount(indices, minlength=4).tolist()
    ([3, 0, 1], [1, 1, 2, 0])
    """
    if fan_in is None and fan_out is None:
        raise ValueError("fan_in and fan_out are both None; one of them must be given")
    of_rows, of_columns = _shares(fan_in, "fan_in"), _shares(fan_out, "fan_out")

    def support(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
        K, D, count = check_count(K, D, count)
        for shares, name, length, what in (
            (of_rows, "fan_in", K, "outputs"),
            (of_columns, "fan_out", D, "inputs"),
        ):
            if shares is not None and len(shares) != length:
                raise ValueError(f"{name} has {len(shares)} entries; the layer has {length} {what}")
        if of_columns is None:
            assert of_rows is not None
            return pattern_of(draw_rows(_scaled(of_rows, count, D), D, rng), K, D)
        columns = _scaled(of_columns, count, K)
        if of_rows is not None:
            return pattern_of(_both(_scaled(of_rows, count, D), columns, rng), K, D)
        places, rows = np.divmod(draw_rows(columns, K, rng), K)
        return pattern_of(np.sort(rows * D + places), K, D)

    return support


def like(source: Any, *, fan_out: bool = False) -> Support:
    """Return a random support whose rows have as many weights as those of another layer of the same size.

    Parameters
    ----------
    source : a nerva.CSR, or a layer with one as its `weight`, for example of a network whose weights have moved
    fan_out : whether columns have as many as those of the other layer, too

    Where the numbers of weights differ, they are scaled: see `degrees`, also for the errors. Raises TypeError for what
    is no sparse layer.

    >>> trained = nerva.SparseLinear(4, 3, support=np.tri(3, 4), rng=0)
    >>> layer = nerva.SparseLinear(4, 3, density=0.5, support=nerva.supports.like(trained), rng=0)
    >>> np.diff(layer.weight.indptr).tolist()
    [1, 2, 3]
    """
    weight = getattr(source, "weight", source)
    if not isinstance(weight, CSR):
        raise TypeError(f"source is {type(source).__name__}; it must be a sparse layer or a nerva.CSR")
    of_columns = np.bincount(weight.indices, minlength=weight.columns) if fan_out else None
    return degrees(np.diff(weight.indptr), of_columns)


def _nearest(counts: Array, D: int) -> Array:
    """Return the flat positions, ascending, of the counts[k] inputs about floor(k D / K) on the ring of each row k."""
    rows = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    columns = (rows * D // len(counts) - counts[rows] // 2 + within) % D
    return np.sort(rows * D + columns)


def _shares(given: Any, name: str) -> Array | None:
    """Return degrees as a vector of float64; raise ValueError, which names them, for anything else."""
    if given is None:
        return None
    shares = np.asarray(given)
    if shares.ndim != 1 or shares.dtype.kind not in "iuf":
        raise ValueError(f"{name} has shape {shares.shape} and dtype {shares.dtype}; it must be a vector of numbers")
    shares = shares.astype(np.float64)
    if not (np.isfinite(shares) & (shares >= 0)).all():
        raise ValueError(f"{name} holds {shares.min()} to {shares.max()}; it must hold finite numbers, none negative")
    return shares


def _scaled(shares: Array, count: int, most: int) -> npt.NDArray[np.int64]:
    """Return the degrees where they are whole numbers that add up to `count`, others in proportion otherwise."""
    whole = shares.astype(np.int64)
    if (whole == shares).all() and whole.sum() == count and whole.max(initial=0) <= most:
        return whole
    return share_out(count, shares, most)


def _both(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Return the flat positions, ascending, of a random pattern with these numbers in its rows and columns."""
    left, chosen = columns.copy(), [np.empty(0, np.int64)] * len(rows)
    for row in np.argsort(-rows, kind="stable"):  # the largest first, each where most is left: so none gets stuck
        if n := int(rows[row]):
            order = np.lexsort((rng.random(len(left)), -left))[:n]
            if left[order[-1]] <= 0:
                raise ValueError("fan_in and fan_out have no pattern in common: rows need more columns than there are")
            left[order] -= 1
            chosen[row] = np.sort(order)
    for a, b in rng.integers(len(rows), size=(TRADES * len(rows), 2)):
        if a != b:
            mine = np.setdiff1d(chosen[a], chosen[b], assume_unique=True)
            pool = rng.permutation(np.concatenate([mine, np.setdiff1d(chosen[b], chosen[a], assume_unique=True)]))
            both = np.intersect1d(chosen[a], chosen[b], assume_unique=True)
            chosen[a] = np.concatenate([both, pool[: len(mine)]])
            chosen[b] = np.concatenate([both, pool[len(mine) :]])
    keys = np.concatenate([row * len(columns) + places for row, places in enumerate(chosen)])
    return np.sort(keys)
