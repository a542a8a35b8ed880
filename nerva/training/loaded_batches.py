"""Mini-batches that something else makes: a PyTorch DataLoader, a list, a generator, anything that gives (X, y)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer
from nerva._kernels.sparse_batch import SparseBatch
from nerva.datasets.augment import Augment
from nerva.datasets.chunked import Chunked
from nerva.datasets.dataset import Standardized
from nerva.losses import Loss
from nerva.training.batches import Batches, Draw, least_batch
from nerva.training.labels import find_classes
from nerva.training.samples import Samples, labelled_samples
from nerva.training.trainable import Trainable
from nerva.validation import check_integer

END = object()  # of an iterator
WANTED = "a pair (X, y), or (X, y, sample_weight)"


class LoadedBatches(Batches):
    """The mini-batches that an iterable gives, each checked when it comes; the first one at once.

    Parameters
    ----------
    model, loss : that they are for
    source : gives pairs (X, y), or (X, y, sample_weight), whenever it is iterated over; or a function without
        arguments that returns such an iterator. X are flattened to (samples, features)
    steps : batches in an epoch; None is len(source), or for `draws` all there are
    rng, augment : as of Batches
    name : of the source in the messages of errors
    training : whether batches need as many samples as training does

    Raises TypeError or ValueError, which names the batch, for one that is wrong, or where there is none.
    """

    def __init__(
        self,
        model: Trainable,
        loss: Loss,
        source: Any,
        steps: int | None = None,
        *,
        rng: np.random.Generator | None = None,
        augment: Augment | None = None,
        name: str = "X",
        training: bool = False,
    ) -> None:
        self._model, self._loss, self._name, self._training = model, loss, name, training
        check_source(source, name)
        self._source = source
        self.rng, self._shuffle, self._augment, self._steps = rng, False, augment, steps
        self._buffer = Buffer(model.in_features, model.dtype)
        self._sparse = SparseBatch(model.in_features, model.dtype)
        self._iterator: Iterator[Any] | None = None
        self._first: Any = END  # the next batch, where it is known
        self._again()
        self._first = self._item()
        if self._first is END:
            raise ValueError(f"{name} has no batches")
        self._take(self._first)
        self.batch_size = len(self.samples)
        self.order = np.arange(self.batch_size, dtype=np.int64)

    def __len__(self) -> int:
        assert self._steps is not None
        return self._steps

    def start(self) -> None:
        """Begin an epoch: the source is iterated over anew."""
        if self._at > 0:
            self._iterator = None

    def go_on(self, order: npt.NDArray[np.int64]) -> None:
        """Begin an epoch that has begun already: the batches that were done are passed over."""
        self.start()

    def draw(self, index: int) -> Draw:
        """Return all samples of batch `index`; raise ValueError where there is none."""
        if self._iterator is None or index < self._at:
            self._again()
        while self._at < index and self._next() is not END:
            pass
        item = self._next()
        if item is END:
            raise ValueError(
                f"{self._name} ended after {self._at} of the {self._steps} batches of an epoch: a generator is used up "
                "by one epoch, a list or a DataLoader is not"
            )
        self._take(item)
        return self._moved(np.arange(len(self.samples), dtype=np.int64))

    def draws(self) -> Iterator[Draw]:
        """Yield all batches that the source gives."""
        if self._iterator is None or self._at > 0:
            self._again()
        while (item := self._next()) is not END:
            self._take(item)
            yield Draw(np.arange(len(self.samples), dtype=np.int64), None)

    def close(self) -> None:
        """Let go of the iterator, and of what it holds."""
        if self._at > 0:
            self._iterator = None

    def excerpt(self) -> list[Array]:
        """Return the number of batches: others may come in another order in every run."""
        return [np.array([len(self)])]

    def _again(self) -> None:
        made = self._source if hasattr(self._source, "__iter__") else self._source()
        if not hasattr(made, "__iter__") and not hasattr(made, "__getitem__"):
            kind = type(made).__name__
            raise TypeError(f"{self._name} is a function that returns {kind}; it must return a generator")
        self._iterator, self._at, self._first = iter(made), 0, END

    def _item(self) -> Any:
        assert self._iterator is not None
        return next(self._iterator, END)

    def _next(self) -> Any:
        """Return the next batch as the source gives it, END where there is none, and count it."""
        item, self._first = self._item() if self._first is END else self._first, END
        self._at += item is not END
        return item

    def _take(self, item: Any) -> None:
        """Let the samples and targets be those of a batch, checked."""
        name = f"batch {max(self._at - 1, 0)} of {self._name}"
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            found = f"{len(item)} parts" if isinstance(item, (tuple, list)) else f"of type {type(item).__name__}"
            raise TypeError(f"{name} is {found}; it must be {WANTED}")
        X, y, weight = (*item, None)[:3]
        known = getattr(self._model, "classes", None)
        if known is not None:
            find_classes(y, self._model.out_features, known)
        samples, targets = labelled_samples(
            self._model, _flat(X, name), y, self._loss, weight, f"{name}: ", check=False
        )
        assert isinstance(samples, Samples)
        if samples.sparse is not None and self._augment is not None:
            raise ValueError(f"augment is given, but {name} is sparse; it is for images, which are dense")
        if self._training and len(samples) < least_batch(self._model):
            wanted = f"batch normalization needs at least {least_batch(self._model)} in training"
            raise ValueError(f"{name} has {len(samples)} samples; {wanted}")
        self.samples, self.targets = samples, targets


def steps_of(source: Any, steps_per_epoch: int | None) -> int:
    """Return the batches of an epoch: as many as asked for, or the length of the source.

    Raises TypeError or ValueError where neither is known.
    """
    if steps_per_epoch is not None:
        return check_integer(steps_per_epoch, "steps_per_epoch", least=1)
    try:
        return check_integer(len(source), "len(X)", least=1)
    except TypeError:
        once = "" if iter_once(source) is False else ", and is used up by one epoch"
        raise ValueError(
            f"steps_per_epoch is None, and X, of type {type(source).__name__}, has no length{once}: give "
            "steps_per_epoch, or a list or a DataLoader, which has one"
        ) from None


def iter_once(source: Any) -> bool:
    """Return whether something can be iterated over only once, as a generator."""
    return hasattr(source, "__next__")


def check_source(source: Any, name: str) -> None:
    """Raise TypeError for what cannot give batches: it is no iterable, or an array, and no function."""
    array = hasattr(source, "__array__") or hasattr(source, "tocsr") or isinstance(source, (Chunked, str, bytes, dict))
    if array or not (hasattr(source, "__iter__") or callable(source)):
        found = f"{name.removesuffix('X')}y is None, and {name} is {type(source).__name__}"
        raise TypeError(f"{found}; without y it must give batches, each {WANTED}")


def _flat(X: Any, name: str) -> Any:
    """Return the samples of a batch with one axis of features."""
    if hasattr(X, "tocsr") or hasattr(X, "columns") or isinstance(X, Standardized):
        return X
    try:
        array = np.asarray(X)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: X is no array: {error}") from None
    if array.ndim < 2:
        raise ValueError(f"{name}: X has shape {array.shape}; it must be (samples, ...), as a DataLoader makes it")
    return array.reshape(len(array), -1) if array.ndim > 2 and len(array) else array
