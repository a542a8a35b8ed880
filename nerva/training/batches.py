"""Mini-batches: rows of a data set, gathered, normalised and turned into (features, batch) in one kernel.

Or, where the data are sparse, gathered as they are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.batches import gather
from nerva._kernels.memory import Array, Buffer
from nerva.datasets.augment import Augment
from nerva.training.samples import Samples


class Batches:
    """The mini-batches of one pass after another over some samples.

    Each pass yields pairs (X, y): X of shape (features, batch), an array or a SparseBatch, in a buffer that the next
    batch overwrites, y of shape (batch,), or None without targets. The last batch of a pass holds what is left. With
    `rng` every pass goes in a new random order, unless `shuffle` is False; the data are never copied or moved. With
    `augment`, which needs `rng` too, the images of every batch are shifted and flipped at random. A `buffer` for dense
    samples is made where none is given.
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
        *,
        shuffle: bool = True,
    ) -> None:
        self._samples = samples
        self._targets = targets
        self._batch_size = batch_size
        self._rng, self._shuffle = rng, shuffle
        self._augment = augment
        if samples.sparse is not None:
            if augment is not None:
                raise ValueError("augment is given, but X is sparse; it is for images, which are dense")
            self._sparse = samples.sparse.batch(batch_size)
        else:
            self._buffer = Buffer(samples.array.shape[1], dtype) if buffer is None else buffer
        self._order = np.arange(len(samples), dtype=np.int64)

    def __len__(self) -> int:
        return -(-len(self._samples) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Array | None]]:
        if self._rng is not None and self._shuffle:
            self._rng.shuffle(self._order)
        samples, targets = self._samples, self._targets
        for first in range(0, len(samples), self._batch_size):
            rows = self._order[first : first + self._batch_size]
            if samples.sparse is not None:
                samples.sparse.gather(rows, self._sparse)
                yield self._sparse, None if targets is None else targets[rows]
                continue
            X = self._buffer.take(len(rows))
            if self._augment is None:
                gather(samples.array, rows, X, samples.scale, samples.shift)
            else:
                assert self._rng is not None
                shape, moves = self._augment.image_shape, self._augment.draw(len(rows), self._rng)
                gather(samples.array, rows, X, samples.scale, samples.shift, shape, moves)
            yield X, None if targets is None else targets[rows]
