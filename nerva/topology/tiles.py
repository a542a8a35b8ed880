"""The largest entries of a dense gradient outside a pattern, found tile by tile: the whole of it never exists."""

from collections.abc import Iterator
from itertools import islice
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.growth import candidates
from nerva._kernels.memory import empty_batch, empty_vector
from nerva._kernels.mkl import get_num_threads
from nerva._kernels.products import gemm
from nerva.parameters import Array

Positions = npt.NDArray[np.int64]
ANYWHERE = int(np.iinfo(np.int64).max)

TILE = 1 << 18  # numbers in a tile: it stays in a core's cache between its product and the scan
WIDEST = 2048  # columns of a tile
SAMPLE = (256, 384)  # rows and columns, at most, of the sample that tells about where the threshold will be
MARGINS = (3, 12)  # times as many as are wanted shall reach the first threshold, and the second where it was too high


class Best:
    """The `count` largest of the scores offered; of equal ones, those at the lowest positions.

    `threshold` and `tied` say what can still be among them: a score above the threshold, or equal to it at a position
    below `tied`. Memory is taken for a few times `count` entries.
    """

    def __init__(self, count: int, threshold: float) -> None:
        self.count = count
        self.threshold, self.tied = threshold, ANYWHERE
        self._scores: list[Array] = []
        self._positions: list[Positions] = []
        self._held = 0

    def offer(self, scores: Array, positions: Positions) -> None:
        """Take these into account; the arrays are copied."""
        if len(scores) == 0 or self.count == 0:
            return
        self._scores.append(scores.copy())
        self._positions.append(positions.copy())
        self._held += len(scores)
        if self._held > 4 * self.count:
            self._reduce()

    def _reduce(self) -> None:
        scores, positions = np.concatenate(self._scores), np.concatenate(self._positions)
        chosen = largest(scores, positions, self.count)
        scores, positions = scores[chosen], positions[chosen]
        self._scores, self._positions, self._held = [scores], [positions], len(scores)
        if self._held == self.count:
            least = scores.min()
            self.threshold, self.tied = float(least), int(positions[scores == least].max())

    def result(self) -> Positions:
        """Return the positions of the best, ascending."""
        if self._held == 0:
            return np.empty(0, np.int64)
        self._reduce()
        return np.sort(self._positions[0])


def largest(scores: Array, positions: Positions, count: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the `count` largest scores; of equal ones, those at the lowest positions. No score is NaN."""
    if count >= len(scores):
        return np.ones(len(scores), np.bool_)
    if count == 0:
        return np.zeros(len(scores), np.bool_)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    chosen: npt.NDArray[np.bool_] = scores > least
    equal = np.flatnonzero(scores == least)
    wanted = count - int(np.count_nonzero(chosen))
    if wanted < len(equal):
        equal = equal[np.argpartition(positions[equal], wanted - 1)[:wanted]]
    chosen[equal] = True
    return chosen


def tiles(rows: int, columns: int, height: int, width: int) -> Iterator[npt.NDArray[np.int64]]:
    """Cut (rows, columns) into tiles, and yield as many at a time as there are threads: int64 (T, 4).

    A tile is first row, end row, first column, end column; they do not depend on the threads.
    """
    cut = (
        (top, min(top + height, rows), left, min(left + width, columns))
        for top in range(0, rows, height)
        for left in range(0, columns, width)
    )
    while step := list(islice(cut, get_num_threads())):
        yield np.array(step, np.int64)


class Rooms:
    """Memory for as many tiles as there are threads, and for what is found in them."""

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        threads = get_num_threads()
        size = -(-size // 16) * 16  # whole cache lines, so that no two threads write to one
        self.work, self.scores = (empty_vector(threads * size, dtype).reshape(threads, size) for _ in range(2))
        self.positions = empty_vector(threads * size, np.int64).reshape(threads, size)


def guess(DZ: Array, X: Array, count: int) -> Iterator[float]:
    """Yield thresholds that, by some rows and columns, 3 and then 12 times `count` entries of |DZ X'| reach; then 0."""
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
    """Return the flat positions, ascending, of the `count` largest |G| outside W's pattern, G = DZ X'.

    Shapes: DZ (K, N), X (D, N). Of equal sizes, the lower position row D + column is taken. Exact: as if G had been
    computed whole and sorted; but only tiles of it ever exist, and memory is O(count + nnz). The same bits come out for
    any number of threads. Each tile is computed by MKL on one thread.

    Raises ValueError where DZ or X is not finite, or `count` is not within 0 to the number of empty positions;
    FloatingPointError where the products of finite numbers are NaN at so many places that `count` are not left.
    """
    empties = W.shape[0] * W.shape[1] - W.nnz
    if not 0 <= count <= empties:
        raise ValueError(f"count is {count}; there are {empties} empty positions")
    for name, signal in (("DZ", DZ), ("X", X)):
        if not np.isfinite(signal).all():
            raise ValueError(f"{name} holds NaN or infinity")
    if count == 0:
        return np.empty(0, np.int64)
    if DZ.shape[1] == 0:
        raise ValueError("DZ has no samples")
    for threshold in guess(DZ, X, count):
        positions = _search(W, DZ, X, count, threshold)
        if len(positions) == count:
            return positions
    raise FloatingPointError(f"only {len(positions)} of {count} gradients outside the pattern are numbers")


def _search(W: CSR, DZ: Array, X: Array, count: int, threshold: float) -> Positions:
    """The best `count` of those that reach the threshold; fewer where they are fewer."""
    best, (K, D) = Best(count, threshold), W.shape
    width = min(D, WIDEST)
    height = min(K, max(1, TILE // width))
    rooms = Rooms(height * width, W.dtype)
    for step in tiles(K, D, height, width):
        found = candidates(W, DZ, X, step, best.threshold, best.tied, rooms.work, rooms.scores, rooms.positions)
        for t, n in enumerate(found):
            best.offer(rooms.scores[t, :n], rooms.positions[t, :n])
    return best.result()


def top_gradients_of_rows(W: CSR, DZ: Array, X: Array, counts: npt.NDArray[np.int64]) -> Positions:
    """Return the flat positions, ascending, of the counts[k] largest |G| of each row k outside W's pattern, G = DZ X'.

    As `top_gradients`, but row by row; memory for some rows of G. Raises ValueError where a row has fewer empty
    positions than its count, or fewer that are numbers.
    """
    K, D = W.shape
    height = min(K, max(8, TILE // D))
    rooms = Rooms(height * D, W.dtype)
    chosen: list[Positions] = [np.empty(0, np.int64)]
    for step in tiles(K, D, height, D):
        found = candidates(W, DZ, X, step, 0.0, ANYWHERE, rooms.work, rooms.scores, rooms.positions)
        for t, n in enumerate(found):
            rows = np.arange(step[t, 0], step[t, 1])
            ends = np.searchsorted(rooms.positions[t, :n], (rows + 1) * D)
            for row, first, last in zip(rows, [0, *ends[:-1]], ends, strict=True):
                if counts[row] > last - first:
                    raise ValueError(f"counts[{row}] is {counts[row]}; the row has {last - first} empty positions")
                if counts[row]:
                    own = rooms.positions[t, first:last]
                    chosen.append(own[largest(rooms.scores[t, first:last], own, int(counts[row]))])
    return np.concatenate(chosen)
