"""Mini-batches of samples that are read by chunks: the chunks in memory are a small data set whose rows change."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer, empty_vector
from nerva._kernels.sparse_batch import SparseBatch
from nerva.datasets.augment import Augment
from nerva.datasets.sources import CSRRows
from nerva.losses.targets import Weighted
from nerva.training.batches import Batches, Draw
from nerva.training.inputs import kept_dtype
from nerva.training.read_ahead import Plan, ReadAhead, plan
from nerva.training.samples import ChunkedSamples, Entries, Samples, SparseSamples, refuse_not_finite, room

AHEAD = 8  # chunks in memory where the order of the samples is kept
SOON = 2  # chunks after that one the system is told of the next to read
BLOCK = 1024  # batches whose rows are translated at a time
SHOWN_CHUNKS = 4  # of the data, in their fingerprint
KINDS = (OSError, EOFError, TypeError, ValueError, MemoryError)  # of failures of reading, that keep their kind


class Ring:
    """The chunks in memory, as samples and targets: chunk p of the sequence begins with row p % places * stride.

    Parameters
    ----------
    samples : where they are read from
    targets : of all samples, or None

    It is read as Samples are: `array`, `scale`, `shift` and `sparse`, of `SparseRing`; `targets` are those of its rows.
    """

    def __init__(self, samples: ChunkedSamples, targets: Any) -> None:
        self.samples, self.X, self._all_targets = samples, samples.X, targets
        self.features, self.scale, self.shift = samples.features, samples.X.scale, samples.X.shift
        self.sparse = SparseRing(samples) if samples.X.sparse else None
        self.stride = int(np.diff(samples.X.starts).max()) + 1  # the end of a sparse chunk is a row of its own
        self._kind = kept_dtype(samples.X.dtype, samples.dtype)
        self.checked = self._kind.kind != "f" or self.sparse is not None
        self.free()

    def __len__(self) -> int:
        return len(self.samples)

    def free(self) -> None:
        """Give the memory back."""
        self.places = 0
        self.targets: Any = None
        self.live = 0, 0  # from which to which position of the sequence the present batch needs
        self.array: Array = np.empty((0, self.features), self._kind)
        self._sequence: npt.NDArray[np.int64] = np.empty(0, np.int64)
        if self.sparse is not None:
            self.sparse.free()

    def take(self, planned: Plan) -> None:
        """Get memory for the chunks of a plan."""
        self._sequence = planned.sequence
        if self.places == planned.places:
            return
        self.places = planned.places
        rows, targets = self.places * self.stride, self._all_targets
        if self.sparse is not None:
            self.sparse.take(self.places, self.stride)
        else:
            self.array = empty_vector(max(rows * self.features, 1), self._kind)[: rows * self.features]
            self.array = self.array.reshape(rows, self.features)
        if isinstance(targets, Weighted):
            self.targets = Weighted(_like(targets.targets, rows), _like(targets.weights, rows))
        else:
            self.targets = None if targets is None else _like(targets, rows)

    def load(self, position: int, chunk: int) -> None:
        """Read a chunk, the one at a position of the sequence; raise an error that names its rows for any."""
        first, last = int(self.X.starts[chunk]), int(self.X.starts[chunk + 1])
        own = slice(position % self.places * self.stride, position % self.places * self.stride + last - first)
        try:
            if self.sparse is not None:
                self.sparse.load(position % self.places, first, last)
            else:
                if position + SOON < len(self._sequence):
                    self.X.will_need(int(self._sequence[position + SOON]))
                self.X.read(first, last, self.array[own])
        except BaseException as error:
            kind = next((kind for kind in KINDS if isinstance(error, kind)), RuntimeError)
            where = f"{self.samples.name}, samples {first} to {last - 1} of {self.X.name}"
            raise kind(f"{where}: {error}") from error
        if isinstance(self.targets, Weighted):
            self.targets.targets[own] = self._all_targets.targets[first:last]
            self.targets.weights[own] = self._all_targets.weights[first:last]
        elif self.targets is not None:
            self.targets[own] = self._all_targets[first:last]

    def check_finite(self) -> None:
        """Raise ValueError, which names the sample, for a value in memory that is not finite."""
        for position in range(*self.live):
            chunk = self._sequence[position]
            first, size = int(self.X.starts[chunk]), int(self.X.starts[chunk + 1] - self.X.starts[chunk])
            begin = position % self.places * self.stride
            refuse_not_finite(self.array[begin : begin + size], self.samples.name, self.samples.dtype, first)


class SparseRing:
    """The entries of sparse chunks in memory: rows as of SparseSamples, with a gap after the last of each place."""

    def __init__(self, samples: ChunkedSamples) -> None:
        rows = samples.X.source
        assert isinstance(rows, CSRRows)
        self._samples, self._rows = samples, rows
        self._room = max(int(np.diff(rows.indptr[samples.X.starts]).max()), 1)  # entries of the largest chunk
        self._lengths = np.diff(rows.indptr)
        self.free()

    def free(self) -> None:
        """Give the memory back."""
        self.indptr: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        self.indices, self.data = np.empty(0, np.int32), np.empty(0, np.float32)

    def take(self, places: int, stride: int) -> None:
        """Get memory for so many chunks, each of `stride` rows with the gap."""
        self._stride = stride
        self.indptr = np.zeros(places * stride, np.int64)
        kind = kept_dtype(self._rows.dtype, self._samples.dtype)
        self.indices, self.data = empty_vector(places * self._room, np.int32), empty_vector(places * self._room, kind)

    def load(self, place: int, first: int, last: int) -> None:
        """Read samples first to last - 1."""
        indices, data = self._rows.entries(first, last)
        starts = self._rows.indptr[first : last + 1] - self._rows.indptr[first]
        shape = (last - first, self._samples.features)
        entries, features = Entries(data, indices, starts, shape), self._samples.features
        checked = SparseSamples(entries, features, self._samples.dtype, self._samples.name, first=first)
        begin, row = place * self._room, place * self._stride
        self.indices[begin : begin + len(indices)] = checked.indices
        self.data[begin : begin + len(data)] = checked.data
        self.indptr[row : row + len(starts)] = starts + begin

    def batch(self, size: int) -> SparseBatch:
        """Return an empty batch with room for any `size` of the samples."""
        return room(self._lengths, size, self._samples.features, self._samples.dtype)

    def gather(self, rows: npt.NDArray[np.int64], batch: SparseBatch) -> None:
        """Copy these rows into the batch."""
        batch.gather(self.indptr, self.indices, self.data, rows)


class ChunkedBatches(Batches):
    """The mini-batches of samples that are read by chunks.

    Parameters
    ----------
    samples : where they are read from
    others : as of Batches

    The order of an epoch is that of `Chunked.order`. `samples` are the chunks in memory, and draws are of their rows.
    """

    def __init__(
        self,
        samples: ChunkedSamples,
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
        self._ring, self._X = Ring(samples, targets), samples.X
        super().__init__(self._ring, None, batch_size, dtype, rng, augment, buffer, shuffle=shuffle, rows=rows)
        self._known = targets
        self._reader: ReadAhead | None = None
        self._next = 0

    def start(self) -> None:
        """Begin an epoch: end the reading of the one before, and shuffle the order, if it is to be."""
        self._stop()
        if self.rng is not None and self._shuffle:
            self.order[:] = self._X.order(self.rng, self._rows)

    def go_on(self, order: npt.NDArray[np.int64]) -> None:
        """Take the order of an epoch that has begun."""
        self._stop()
        super().go_on(order)

    def draw(self, index: int) -> Draw:
        """Return the rows of batch `index`, as soon as they are in memory; those of the batch before are no more."""
        if self._reader is None or index != self._next:
            self._begin(index)
        assert self._reader is not None
        if not self._block_first <= index < self._block_first + BLOCK:
            self._translate(index)
        done, loaded = int(self._plan.done[index]), int(self._plan.loaded[index])
        self._reader.release(done)
        self._reader.wait(loaded)
        self._ring.live = done, loaded
        self._next = index + 1
        at = (index - self._block_first) * self.batch_size
        return self._moved(self._block[at : at + self.batch_size])

    def close(self) -> None:
        """End the reading, and give the memory back."""
        self._stop()
        self._ring.free()
        self.targets = None

    def excerpt(self) -> list[Array]:
        """Return the targets, and the first sample of some chunks."""
        chunks, X, source = len(self._X.starts) - 1, self._X, self._X.source
        found = [np.array([*X.shape, chunks])]
        for chunk in np.unique(np.linspace(0, chunks - 1, min(chunks, SHOWN_CHUNKS)).astype(np.int64)):
            first = int(X.starts[chunk])
            if isinstance(source, CSRRows):
                found += source.entries(first, first + 1)
            else:
                found.append(np.empty((1, X.shape[1]), self._ring.array.dtype))
                X.read(first, first + 1, found[-1])
        return [*self._targets_of(self._known), *found]

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _begin(self, index: int) -> None:
        """Begin to read what batches from this one on need."""
        self._stop()
        shuffled = self.rng is not None and self._shuffle
        ahead = 2 * self._X.window if shuffled else min(AHEAD, 2 * self._X.window)
        chunks = len(self._X.starts) - 1
        self._plan = plan(self.order, self._X.chunk_of, chunks, self.batch_size, first=index, ahead=ahead)
        self._ring.take(self._plan)
        self.targets = self._ring.targets
        self._position = np.zeros(chunks, np.int64)
        self._position[self._plan.sequence] = np.arange(len(self._plan.sequence))
        self._block_first = -BLOCK
        self._reader = ReadAhead(self._plan.sequence, self._plan.places, self._ring.load, self)

    def _translate(self, index: int) -> None:
        """Set the block to the rows of the ring for some batches from this one on."""
        self._block_first = index
        rows = self.order[index * self.batch_size : (index + BLOCK) * self.batch_size]
        chunks = self._X.chunk_of(rows)
        begin = self._position[chunks] % self._plan.places * self._ring.stride
        self._block = begin + rows - self._X.starts[chunks]


def _like(targets: Array, rows: int) -> Array:
    """Return room for targets of so many rows."""
    return np.zeros((rows, *targets.shape[1:]), targets.dtype)


def as_batches(samples: Samples | ChunkedSamples, targets: Any, batch_size: int, **settings: Any) -> Batches:
    """Return the mini-batches of samples of any kind; `settings` as of Batches."""
    if isinstance(samples, ChunkedSamples):
        return ChunkedBatches(samples, targets, batch_size, **settings)
    return Batches(samples, targets, batch_size, **settings)
