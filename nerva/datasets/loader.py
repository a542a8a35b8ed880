"""Mini-batches: rows of a data set, gathered, normalised and turned into (features, batch) in one kernel."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.batches import gather
from nerva._kernels.memory import Buffer
from nerva.datasets.augment import Augment
from nerva.datasets.dataset import Standardized

Array = npt.NDArray[Any]
CHUNK = 1 << 24  # bytes looked at in one piece when data are checked


class Samples:
    """The rows of a user's data, checked: X of shape (samples, features), float32, float64, uint8 or Standardized.

    Raises TypeError for another dtype, ValueError for another shape, no samples, or numbers that are not finite.
    A copy is made only where the features of a sample do not lie side by side.
    """

    def __init__(self, X: object, features: int, dtype: npt.DTypeLike, name: str = "X") -> None:
        self.scale: Array | None = None
        self.shift: Array | None = None
        if isinstance(X, Standardized):
            self.array, self.scale, self.shift = X.pixels, X.scale, X.shift
        elif hasattr(X, "tocsr"):
            raise TypeError(f"{name} is a SciPy sparse matrix; it must be a dense array")
        else:
            try:
                self.array = np.asarray(X)
            except ValueError as error:
                raise ValueError(f"{name} is no array: {error}") from None
        if self.array.dtype.type not in (np.float32, np.float64, np.uint8):
            raise TypeError(f"{name} has dtype {self.array.dtype}; it must be float32, float64 or uint8")
        if self.array.ndim != 2 or self.array.shape[1] != features:
            raise ValueError(f"{name} has shape {self.array.shape}; it must be (samples, {features})")
        if len(self.array) == 0:
            raise ValueError(f"{name} has shape {self.array.shape}; it holds no samples")
        if not self._rows_are_usable():
            self.array = np.array(self.array, dtype=self.array.dtype.newbyteorder("="), order="C")
        self._check_finite(name, np.dtype(dtype))

    def _rows_are_usable(self) -> bool:
        item = self.array.itemsize
        across, along = self.array.strides
        return (
            (along == item or self.array.shape[1] == 1)
            and across % item == 0
            and across >= item * self.array.shape[1]
            and self.array.flags.aligned
            and self.array.dtype.isnative
        )

    def _check_finite(self, name: str, dtype: np.dtype[Any]) -> None:
        if self.array.dtype.kind != "f":
            return
        rows = max(1, CHUNK // max(1, self.array.shape[1] * self.array.itemsize))
        for first in range(0, len(self.array), rows):
            chunk = self.array[first : first + rows]
            if not _finite(chunk, dtype).all():
                row, column = np.argwhere(~_finite(chunk, dtype))[0]
                raise ValueError(
                    f"{name}[{first + row}, {column}] is {chunk[row, column]}; every number must be finite in {dtype}"
                )

    def __len__(self) -> int:
        return len(self.array)


def _finite(array: Array, dtype: np.dtype[Any]) -> Array:
    if array.dtype == dtype:
        return np.isfinite(array)
    with np.errstate(over="ignore"):
        finite: Array = np.isfinite(array.astype(dtype))
    return finite


class Batches:
    """The mini-batches of one pass after another over some samples.

    Each pass yields pairs (X, y): X of shape (features, batch) in a buffer that the next batch overwrites, y of shape
    (batch,), or None without targets. The last batch of a pass holds what is left. With `rng` every pass goes in a new
    random order; the data are never copied or moved. With `augment`, which needs `rng` too, the images of every batch
    are shifted and flipped at random. A `buffer` for them is made where none is given.
    """

    def __init__(
        self,
        samples: Samples,
        targets: Array | None,
        batch_size: int,
        dtype: npt.DTypeLike,
        rng: np.random.Generator | None = None,
        augment: Augment | None = None,
        buffer: Buffer | None = None,
    ) -> None:
        self._samples = samples
        self._targets = targets
        self._batch_size = batch_size
        self._rng = rng
        self._augment = augment
        self._buffer = Buffer(samples.array.shape[1], dtype) if buffer is None else buffer
        self._order = np.arange(len(samples), dtype=np.int64)

    def __len__(self) -> int:
        return -(-len(self._samples) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Array, Array | None]]:
        if self._rng is not None:
            self._rng.shuffle(self._order)
        samples, targets = self._samples, self._targets
        for first in range(0, len(samples), self._batch_size):
            rows = self._order[first : first + self._batch_size]
            X = self._buffer.take(len(rows))
            if self._augment is None:
                gather(samples.array, rows, X, samples.scale, samples.shift)
            else:
                assert self._rng is not None
                shape, moves = self._augment.image_shape, self._augment.draw(len(rows), self._rng)
                gather(samples.array, rows, X, samples.scale, samples.shift, shape, moves)
            yield X, None if targets is None else targets[rows]
