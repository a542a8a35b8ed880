"""The largest entries of a dense gradient outside a sparsity pattern, found tile by tile.

The gradient G = DZ X' of a dense K x D layer is never in memory: a tile of it is computed, scanned and overwritten.
"""

from collections.abc import Iterator
from itertools import islice
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.dense_gradient import candidates
from nerva._kernels.memory import Array, empty_batch, empty_vector
from nerva._kernels.mkl import get_num_threads
from nerva._kernels.products import gemm
from nerva._kernels.selection import largest
from nerva.topology.supports import Positions

ANYWHERE = int(np.iinfo(np.int64).max)

TILE = 1 << 18  # entries of a tile: it stays in a core's cache between its product and the scan
WIDEST = 1024  # columns of a tile
AT_ONCE = 4  # tiles per thread in one call of the kernel
SAMPLE = (256, 384)  # rows and columns, at most, of the sample that the thresholds are estimated from
MARGINS = (3, 12)  # times `count` entries reach the first threshold by that estimate, and the second


class TopK:
    """The `count` largest of the scores offered; of equal ones, those at the lowest positions.

    `threshold` and `tied` tell what can still be among them: a score above the threshold, or equal to it at a position
    below `tied`. Both are bounds that only tighten, so an offer may be filtered by them beforehand. Memory is taken for
    a few times `count` entries.

    >>> from nerva.topology.top_gradients import TopK
    >>> top = TopK(2, threshold=0.0)
    >>> top.offer(np.array([1.0, 5.0]), np.array([0, 1]))
    >>> top.offer(np.array([3.0, 5.0]), np.array([2, 3]))
    >>> top.result()
    array([1, 3])
    """

    def __init__(self, count: int, threshold: float) -> None:
        self.count = count
        self.threshold, self.tied = threshold, ANYWHERE
        self._scores: Array = np.empty(0)
        self._positions: Positions = np.empty(0, np.int64)
        self._held = 0

    def offer(self, scores: Array, positions: Positions) -> None:
        """Take these scores, none below the threshold, into account; the arrays are copied."""
        if len(scores) == 0 or self.count == 0:
            return
        end = self._held + len(scores)
        if end > len(self._scores):
            length = max(2 * end, 4 * self.count + len(scores))  # pages never written to cost nothing
            self._scores = _longer(self._scores, self._held, length, scores.dtype)
            self._positions = _longer(self._positions, self._held, length, positions.dtype)
        self._scores[self._held : end] = scores
        self._positions[self._held : end] = positions
        self._held = end
        if self._held > 4 * self.count:
            self._reduce()

    def _reduce(self) -> None:
        scores, positions = self._scores[: self._held], self._positions[: self._held]
        if self._held > self.count:
            chosen = largest(scores, self.count, positions)
            scores[: self.count], positions[: self.count] = scores[chosen], positions[chosen]
            self._held = self.count
        if self._held == self.count:
            least = scores[: self.count].min()
            self.threshold = float(least)
            self.tied = int(positions[: self.count][scores[: self.count] == least].max())

    def result(self) -> Positions:
        """Return the positions of the `count` largest, ascending; of all where fewer were offered."""
        if self._held > self.count:
            self._reduce()
        return np.sort(self._positions[: self._held], kind="stable")  # fastest on what is mostly sorted


def _longer(vector: Array, held: int, length: int, dtype: npt.DTypeLike) -> Array:
    longer = empty_vector(length, dtype)
    longer[:held] = vector[:held]
    return longer


def tiles(rows: int, columns: int, height: int, width: int, at_once: int) -> Iterator[npt.NDArray[np.int64]]:
    """Cut (rows, columns) into tiles, and yield `at_once` of them at a time: int64 (T, 4).

    A tile is first row, end row, first column, end column.
    """
    cut = (
        (top, min(top + height, rows), left, min(left + width, columns))
        for top in range(0, rows, height)
        for left in range(0, columns, width)
    )
    while step := list(islice(cut, at_once)):
        yield np.array(step, np.int64)


def tile_shape(K: int, D: int) -> tuple[int, int]:
    """Return height and width of the tiles of (K, D): of whole rows up to WIDEST, and of about the same size.

    They must not depend on the number of threads, which would change the rounding of the products.
    """
    across = -(-D // WIDEST)
    width = -(-D // across)
    down = -(-K * width // TILE)
    down += down % 2  # an even share for two threads
    return -(-K // down), width


class Workspace:
    """Memory for one tile per thread, and for what is found in `at_once` tiles."""

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        threads = get_num_threads()
        self.at_once = AT_ONCE * threads
        size = -(-size // 16) * 16  # whole cache lines: no two threads write to the same one
        self.work = empty_vector(threads * size, dtype).reshape(threads, size)
        self.scores = empty_vector(self.at_once * size, dtype).reshape(self.at_once, size)
        self.positions = empty_vector(self.at_once * size, np.int64).reshape(self.at_once, size)


def threshold_candidates(DZ: Array, X: Array, count: int) -> Iterator[float]:
    """Yield thresholds that about 3, then 12 times `count` entries of |DZ X'| reach, by a sample of it; then 0."""
    K, D = len(DZ), len(X)
    rows, columns = min(SAMPLE[0], K // 4), min(SAMPLE[1], D // 8)
    if min(rows, columns) >= 16:
        sizes = empty_batch(rows, columns, DZ.dtype)
        gemm(DZ[np.arange(rows) * K // rows], X[np.arange(columns) * D // columns], sizes, transpose_b=True)
        flat = np.abs(sizes).reshape(-1)
        for margin in MARGINS:
            wanted = margin * count * flat.size // (K * D) + 16
            if 2 * wanted < flat.size:
                least = float(np.partition(flat, flat.size - wanted)[flat.size - wanted])
                if isfinite(least):
                    yield least
    yield 0.0


def top_gradients(W: CSR, DZ: Array, X: Array, count: int) -> Positions:
    """Return the flat positions, ascending, of the `count` largest |G| outside W's pattern, where G = DZ X'.

    Of equal ones, the lower position row D + column is taken. Exact: as if G had been computed whole and sorted; but
    memory is O(count + nnz + a tile per thread). The result is the same for any number of threads.

    Parameters
    ----------
    W : nerva.CSR of shape (K, D)
    DZ : (K, N), finite; the gradient of the loss before the activation
    X : (D, N), finite; the inputs
    count : within 0 to the number of empty positions of W

    Raises ValueError where an argument is not as described; FloatingPointError where so many products of finite numbers
    are NaN that fewer than `count` are left.

    >>> from nerva.topology.top_gradients import top_gradients
    >>> W = nerva.CSR((2, 3), [0, 1, 1], [2], np.array([0.5]))
    >>> top_gradients(W, np.array([[1.0], [-2.0]]), np.array([[3.0], [1.0], [4.0]]), 2)  # G = [[3, 1, 4], [-6, -2, -8]]
    array([3, 5])
    """
    empties = W.shape[0] * W.shape[1] - W.nnz
    if not 0 <= count <= empties:
        raise ValueError(f"count is {count}; there are {empties} empty positions")
    for name, factor in (("DZ", DZ), ("X", X)):
        if not np.isfinite(factor).all():
            raise ValueError(f"{name} holds NaN or infinity")
    if count == 0:
        return np.empty(0, np.int64)
    if DZ.shape[1] == 0:
        raise ValueError("DZ has no samples")
    for threshold in threshold_candidates(DZ, X, count):
        positions = _search(W, DZ, X, count, threshold)
        if len(positions) == count:
            return positions
    raise FloatingPointError(f"only {len(positions)} of {count} gradients outside the pattern are numbers")


def _search(W: CSR, DZ: Array, X: Array, count: int, threshold: float) -> Positions:
    """Return the positions of the `count` largest that reach the threshold; of all that do where these are fewer."""
    top, (K, D) = TopK(count, threshold), W.shape
    height, width = tile_shape(K, D)
    space = Workspace(height * width, W.dtype)
    for step in tiles(K, D, height, width, space.at_once):
        found = candidates(
            W, DZ, X, step, top.threshold, top.tied, work=space.work, scores=space.scores, positions=space.positions
        )
        for t, n in enumerate(found):
            top.offer(space.scores[t, :n], space.positions[t, :n])
    return top.result()


def top_gradients_of_rows(W: CSR, DZ: Array, X: Array, counts: npt.NDArray[np.int64]) -> Positions:
    """Return the flat positions, ascending, of the counts[k] largest |G| of each row k outside W's pattern, G = DZ X'.

    As `top_gradients`, but row by row, in memory for some rows of G. Raises ValueError where a row has fewer empty
    positions than its count, or fewer that are numbers.
    """
    K, D = W.shape
    height = min(K, max(8, TILE // D))
    space = Workspace(height * D, W.dtype)
    chosen: list[Positions] = [np.empty(0, np.int64)]
    for step in tiles(K, D, height, D, space.at_once):
        found = candidates(
            W, DZ, X, step, 0.0, ANYWHERE, work=space.work, scores=space.scores, positions=space.positions
        )
        for t, n in enumerate(found):
            rows = np.arange(step[t, 0], step[t, 1])
            ends = np.searchsorted(space.positions[t, :n], (rows + 1) * D)
            for row, first, last in zip(rows, [0, *ends[:-1]], ends, strict=True):
                if counts[row] > last - first:
                    raise ValueError(f"counts[{row}] is {counts[row]}; the row has {last - first} empty positions")
                if counts[row]:
                    own = largest(space.scores[t, first:last], int(counts[row]))
                    chosen.append(space.positions[t, first:last][own])
    return np.concatenate(chosen)
