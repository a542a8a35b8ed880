"""Mini-batches: rows of a data set, gathered, normalised and transposed to (features, batch) in one kernel.

Sparse data are gathered as a SparseBatch instead.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nerva._kernels.batches import gather
from nerva._kernels.memory import Array, Buffer
from nerva._kernels.sparse_batch import SparseBatch
from nerva.datasets.augment import Augment
from nerva.losses.targets import Weighted
from nerva.training.samples import Samples
from nerva.training.trainable import Trainable

SHOWN_ROWS = 256  # of the data, in their fingerprint


class Draw(NamedTuple):
    """Samples of a batch: their numbers, int64 (batch,), and the moves of their images, int32 (batch, 3), or None."""

    rows: npt.NDArray[np.int64]
    moves: Array | None


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
    rows : the numbers of the samples that take part; None for all

    Yields pairs (X, y): X of shape (features, batch), an array or a SparseBatch, in memory that the next batch
    overwrites; y of shape (batch,) or (batch, outputs), or None without targets. The data are not copied.

    Raises ValueError for augmentation of sparse data.
    """

    def __init__(
        self,
        samples: Any,
        targets: Any,
        batch_size: int,
        dtype: npt.DTypeLike,
        rng: np.random.Generator | None = None,
        augment: Augment | None = None,
        buffer: Buffer | None = None,
        *,
        shuffle: bool = True,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.samples: Samples = samples
        self.targets = targets
        self.batch_size = batch_size
        self.rng, self._shuffle = rng, shuffle
        self._augment = augment
        if samples.sparse is not None:
            if augment is not None:
                raise ValueError("augment is given, but X is sparse; it is for images, which are dense")
            self._sparse: SparseBatch = samples.sparse.batch(batch_size)
        else:
            self._buffer = Buffer(samples.features, dtype) if buffer is None else buffer
        self._rows = np.arange(len(samples), dtype=np.int64) if rows is None else rows
        self.order = self._rows.copy()

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def start(self) -> None:
        """Begin an epoch: shuffle the order of the samples, if it is to be."""
        if self.rng is not None and self._shuffle:
            # From the order of the data: an epoch's is a function of the generator, whatever epochs came before.
            self.order[:] = self._rows
            self.rng.shuffle(self.order)

    def draw(self, index: int) -> Draw:
        """Return the samples of batch `index` of the epoch, and how their images are moved.

        Batches must be drawn in turn: augmentation takes its random numbers here.
        """
        first = index * self.batch_size
        return self._moved(self.order[first : first + self.batch_size])

    def _moved(self, rows: npt.NDArray[np.int64]) -> Draw:
        """Return a draw of these rows, with random moves where there is augmentation."""
        if self._augment is None:
            return Draw(rows, None)
        assert self.rng is not None
        return Draw(rows, self._augment.draw(len(rows), self.rng))

    def go_on(self, order: npt.NDArray[np.int64]) -> None:
        """Take the order of an epoch that has begun."""
        self.order[:] = order

    def close(self) -> None:
        """Give back what an iteration holds beside memory; call it after the last batch."""

    def excerpt(self) -> list[Array]:
        """Return the targets and some samples, evenly spaced: other data have others, most likely."""
        samples, n = self.samples, len(self.samples)
        rows = np.unique(np.linspace(0, n - 1, min(n, SHOWN_ROWS)).astype(np.int64))
        arrays = self._targets_of(self.targets)
        if samples.sparse is None:
            return [*arrays, samples.array[rows]]
        return [*arrays, samples.sparse.indptr, samples.sparse.indices[:SHOWN_ROWS], samples.sparse.data[:SHOWN_ROWS]]

    @staticmethod
    def _targets_of(targets: Any) -> list[Array]:
        """Return targets as arrays: themselves, and their weights."""
        return [targets.targets, targets.weights] if isinstance(targets, Weighted) else [targets]

    def gather(self, draw: Draw) -> tuple[Any, Array | None]:
        """Return inputs X and targets y of some samples; raise ValueError for a value that is not finite."""
        samples, y = self.samples, None if self.targets is None else self.targets[draw.rows]
        if samples.sparse is not None:
            return self.gather_sparse(draw), y
        X = self._buffer.take(len(draw.rows))
        if not gather(samples.array, draw.rows, X, samples.scale, samples.shift, self.image_shape, draw.moves):
            samples.check_finite()
        return X, y

    def gather_sparse(self, draw: Draw) -> SparseBatch:
        """Return some of the sparse samples, in memory that the next batch overwrites."""
        assert self.samples.sparse is not None
        self.samples.sparse.gather(draw.rows, self._sparse)
        return self._sparse

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of images that are moved; None without augmentation."""
        return None if self._augment is None else self._augment.image_shape

    def draws(self) -> Iterator[Draw]:
        """Yield the samples of every batch, in the present order."""
        for index in range(len(self)):
            yield self.draw(index)

    def __iter__(self) -> Iterator[tuple[Any, Array | None]]:
        self.start()
        for draw in self.draws():
            yield self.gather(draw)


def least_batch(model: Trainable) -> int:
    """Return how many samples a batch must have in training, for the layers of a network."""
    return max((layer.least_batch for layer in getattr(model, "layers", ())), default=1)


def check_batch_size(model: Trainable, samples: int, batch_size: int) -> None:
    """Raise ValueError where a batch, such as the last one, has fewer samples than a layer needs in training."""
    least = least_batch(model)
    last = samples % batch_size or min(samples, batch_size)
    if min(last, batch_size) < least:
        raise ValueError(
            f"batch_size is {batch_size}: {samples} samples leave a batch of {last}, and batch normalization needs "
            f"at least {least} in training"
        )
