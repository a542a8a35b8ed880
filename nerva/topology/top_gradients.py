"""The largest entries of a dense gradient outside a pattern, found tile by tile: the whole of it never exists."""

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

Positions = npt.NDArray[np.int64]
ANYWHERE = int(np.iinfo(np.int64).max)

TILE = 1 << 18  # numbers in a tile: it stays in a core's cache between its product and the scan
WIDEST = 1024  # columns of a tile
AT_ONCE = 4  # tiles for each thread to take
SAMPLE = (256, 384)  # rows and columns, at most, of the sample that tells about where the threshold will be
MARGINS = (3, 12)  # times as many as are wanted shall reach the first threshold, and the second where it was too high


class TopK:
    """The `count` largest of the scores offered; of equal ones, those at the lowest positions.

    `threshold` and `tied` say what can still be among them: a score above the threshold, or equal to it at a position
    below `tied`. Memory is taken for a few times `count` entries.
    """

    def __init__(self, count: int, threshold: float) -> None:
        self.count = count
        self.threshold, self.tied = threshold, ANYWHERE
        self._scores: Array = np.empty(0)
        self._positions: Positions = np.empty(0, np.int64)
        self._held = 0

    def offer(self, scores: Array, positions: Positions) -> None:
        """Take these into account; the arrays are copied."""
        if len(scores) == 0 or self.count == 0:
            return
        end = self._held + len(scores)
        if end > len(self._scores):
            room = max(2 * end, 4 * self.count + len(scores))  # untouched memory costs nothing
            self._scores = _longer(self._scores, self._held, room, scores.dtype)
            self._positions = _longer(self._positions, self._held, room, positions.dtype)
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
        """Return the positions of the best, ascending."""
        if self._held > self.count:
            self._reduce()
        return np.sort(self._positions[: self._held], kind="stable")  # it is in order for the most part


def _longer(vector: Array, held: int, length: int, dtype: npt.DTypeLike) -> Array:
    longer = empty_vector(length, dtype)
    longer[:held] = vector[:held]
    return longer


def tiles(rows: int, columns: int, height: int, width: int, at_once: int) -> Iterator[npt.NDArray[np.int64]]:
    """Cut (rows, columns) into tiles, and yield so many at a time: int64 (T, 4).

    A tile is first row, end row, first column, end column; they do not depend on the threads.
    """
    cut = (
        (top, min(top + height, rows), left, min(left + width, columns))
        for top in range(0, rows, height)
        for left in range(0, columns, width)
    )
    while step := list(islice(cut, at_once)):
        yield np.array(step, np.int64)


def tile_shape(K: int, D: int) -> tuple[int, int]:
    """Return height and width of the tiles of (K, D): even ones, of whole rows where that can be."""
    across = -(-D // WIDEST)
    width = -(-D // across)
    down = -(-K * width // TILE)
    down += down % 2  # for two threads
    return -(-K // down), width


class Rooms:
    """Memory for a tile to each thread, and for what is found in some tiles, `at_once`."""

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        threads = get_num_threads()
        self.at_once = AT_ONCE * threads
        size = -(-size // 16) * 16  # whole cache lines, so that no two threads write to one
        self.work = empty_vector(threads * size, dtype).reshape(threads, size)
        self.scores = empty_vector(self.at_once * size, dtype).reshape(self.at_once, size)
        self.positions = empty_vector(self.at_once * size, np.int64).reshape(self.at_once, size)


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
    best, (K, D) = TopK(count, threshold), W.shape
    height, width = tile_shape(K, D)
    rooms = Rooms(height * width, W.dtype)
    for step in tiles(K, D, height, width, rooms.at_once):
        found = candidates(
            W, DZ, X, step, best.threshold, best.tied, work=rooms.work, scores=rooms.scores, positions=rooms.positions
        )
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
    for step in tiles(K, D, height, D, rooms.at_once):
        found = candidates(
            W, DZ, X, step, 0.0, ANYWHERE, work=rooms.work, scores=rooms.scores, positions=rooms.positions
        )
        for t, n in enumerate(found):
            rows = np.arange(step[t, 0], step[t, 1])
            ends = np.searchsorted(rooms.positions[t, :n], (rows + 1) * D)
            for row, first, last in zip(rows, [0, *ends[:-1]], ends, strict=True):
                if counts[row] > last - first:
                    raise ValueError(f"counts[{row}] is {counts[row]}; the row has {last - first} empty positions")
                if counts[row]:
                    own = largest(rooms.scores[t, first:last], int(counts[row]))
                    chosen.append(rooms.positions[t, first:last][own])
    return np.concatenate(chosen)
