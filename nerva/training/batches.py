"""Mini-batches: rows of a data set, gathered, normalised and transposed to (features, batch) in one kernel.

Sparse data are gathered as a SparseBatch instead.
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
    """The mini-batches of a data set; every iteration is one epoch.

    Parameters
    ----------
    samples : (n, features)
    targets : (n,) or (n, outputs), checked; None for prediction
    batch_size : samples in a batch; the last batch of an epoch holds the remaining ones
    dtype : of dense batches
    rng : generator of the order and of augmentation; None keeps the order of the samples
    augment : shifts and flips the images of every batch at random; needs `rng`
    buffer : for dense batches; None for a new one
    shuffle : False keeps the order of the samples, for an `rng` that is for augmentation alone

    Yields pairs (X, y): X of shape (features, batch), an array or a SparseBatch, in memory that the next batch
    overwrites; y of shape (batch,) or (batch, outputs), or None without targets. The data are not copied.

    Raises ValueError for augmentation of sparse data.
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
        self.batch_size = batch_size
        self.rng, self._shuffle = rng, shuffle
        self._augment = augment
        if samples.sparse is not None:
            if augment is not None:
                raise ValueError("augment is given, but X is sparse; it is for images, which are dense")
            self._sparse = samples.sparse.batch(batch_size)
        else:
            self._buffer = Buffer(samples.array.shape[1], dtype) if buffer is None else buffer
        self.order = np.arange(len(samples), dtype=np.int64)

    def __len__(self) -> int:
        return -(-len(self._samples) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Array | None]]:
        if self.rng is not None and self._shuffle:
            # In place: each epoch permutes the order of the last one, so the order is part of a run's state.
            self.rng.shuffle(self.order)
        samples, targets = self._samples, self._targets
        for first in range(0, len(samples), self.batch_size):
            rows = self.order[first : first + self.batch_size]
            if samples.sparse is not None:
                samples.sparse.gather(rows, self._sparse)
                yield self._sparse, None if targets is None else targets[rows]
                continue
            X = self._buffer.take(len(rows))
            if self._augment is None:
                gather(samples.array, rows, X, samples.scale, samples.shift)
            else:
                assert self.rng is not None
                shape, moves = self._augment.image_shape, self._augment.draw(len(rows), self.rng)
                gather(samples.array, rows, X, samples.scale, samples.shift, shape, moves)
            yield X, None if targets is None else targets[rows]
