"""A classifier of very many labels: a network of hidden layers, and a sparse output layer in tiles."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array
from nerva.extreme.labels import Ints, as_labels
from nerva.extreme.losses import LOSSES
from nerva.extreme.output import TiledOutput, as_csr
from nerva.extreme.scores import precision_at_k
from nerva.layers import SparseLinear
from nerva.models.sequential import Sequential
from nerva.optimizers import Optimizer
from nerva.schedules import Schedule, as_schedule
from nerva.training.batches import Batches, Draw
from nerva.training.chunked_batches import as_batches
from nerva.training.history import EpochRecord, History
from nerva.training.progress import shown_by
from nerva.training.samples import as_samples
from nerva.training.step import check_optimizer
from nerva.validation import as_generator, check_choice, check_integer, check_not_negative

LossName = Literal["binary-cross-entropy", "squared-hinge"]


class ExtremeClassifier:
    """Classify samples of which each has a few of very many labels.

    Hidden layers give features H; each label has `fan_in` weights on them, at random positions that stay, and a bias.
    Labels are computed tile by tile: logits, loss, gradients and update of some thousand labels for a batch, then those
    of the next. So memory is O(weights + tile x batch), never O(labels x batch).

    Parameters
    ----------
    hidden : the layers below, such as nerva.MLP([features, 1024]) with an activation at its end; they are trained too
    labels : how many there are
    fan_in : weights of each label, at most the outputs of `hidden`
    loss : "binary-cross-entropy", summed over all labels, or "squared-hinge"
    tile : labels that are computed at once
    bias : of every label at first; None is -log(labels) for binary cross-entropy, as few labels apply, -1 for the hinge
    rng : generator or seed of positions and weights

    Raises TypeError or ValueError, which names the argument that is wrong.

    >>> hidden = nerva.Sequential([nerva.Linear(50, 32, activation="relu", rng=0)], rng=0)
    >>> model = nerva.extreme.ExtremeClassifier(hidden, labels=1000, fan_in=8, rng=0)
    >>> model.nnz
    9600

    E. Schultheis & R. Babbar, Towards memory-efficient training for extremely large output spaces, ECML PKDD 2023: a
    fixed fan-in, an intermediate layer before the labels, and the squared hinge.
    """

    def __init__(
        self,
        hidden: Sequential,
        labels: int,
        *,
        fan_in: int = 32,
        loss: LossName = "binary-cross-entropy",
        tile: int = 4096,
        bias: float | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        if not isinstance(hidden, Sequential):
            raise TypeError(f"hidden is {type(hidden).__name__}; it must be a nerva.Sequential")
        labels = check_integer(labels, "labels", least=1)
        fan_in = check_integer(fan_in, "fan_in", least=1, most=hidden.out_features)
        self.hidden, self.loss = hidden, check_choice(loss, "loss", tuple(LOSSES))
        rest = -float(np.log(labels)) if loss == "binary-cross-entropy" else -1.0
        self.output = TiledOutput(
            hidden.out_features,
            labels,
            fan_in=fan_in,
            tile=check_integer(tile, "tile", least=1),
            bias=rest if bias is None else float(bias),
            rng=as_generator(rng),
            dtype=hidden.dtype,
        )

    @property
    def labels(self) -> int:
        """How many labels there are."""
        return self.output.labels

    @property
    def nnz(self) -> int:
        """The weights that exist, those of the hidden layers among them."""
        return self.hidden.nnz + self.output.nnz

    @property
    def nbytes(self) -> int:
        """The bytes of weights, patterns, gradients and optimizer state."""
        return self.hidden.nbytes + self.output.nbytes

    def fit(
        self,
        X: object,
        Y: Any,
        *,
        epochs: int = 10,
        batch_size: int = 100,
        optimizer: Optimizer | None = None,
        schedule: float | Schedule | None = None,
        rng: np.random.Generator | int | None = None,
        validation: tuple[object, Any] | None = None,
        verbose: bool | Literal["auto"] = "auto",
    ) -> History:
        """Train on samples X with labels Y, and return the history; `loss` is the mean of the sums over labels.

        Parameters
        ----------
        X : samples (n, features), as of Sequential.fit: an array, a SciPy sparse matrix, Chunked
        Y : SciPy sparse matrix (n, labels), not zero where a label applies
        epochs, batch_size, schedule, rng, verbose : as of Sequential.fit
        optimizer : None is Nesterov(0.9); without clip_norm, which needs all gradients at once
        validation : a pair (X, Y), whose precision at 1 is the record's `test_accuracy`

        Raises TypeError or ValueError, which names the argument that is wrong, before the first step.
        """
        optimizer = check_optimizer(optimizer)
        if getattr(optimizer, "clip_norm", None) is not None:
            raise ValueError("optimizer has clip_norm, which needs the gradients of all labels at once")
        epochs = check_integer(epochs, "epochs", least=1)
        samples = as_samples(X, self.hidden.in_features, self.hidden.dtype)
        labels = as_labels(Y, len(samples), self.labels)
        rates = as_schedule(optimizer.default_rate if schedule is None else schedule)
        order = self.hidden.rng if rng is None else as_generator(rng)
        size = check_integer(batch_size, "batch_size", least=1)
        batches = as_batches(samples, None, size, dtype=self.hidden.dtype, rng=order)
        history, display = History(), shown_by(verbose)
        for epoch in range(epochs):
            started, total = perf_counter(), 0.0
            batches.start()
            for i, draw in enumerate(batches.draws()):
                rate = check_not_negative(rates(epoch + i / len(batches)), "the schedule's rate")
                total += self._step(batches, draw, labels.of(draw.rows), optimizer, rate)
            seconds = perf_counter() - started
            best = None if validation is None else self.evaluate(*validation, k=(1,))["P@1"]
            record = EpochRecord(epoch + 1, rates(float(epoch)), total / len(samples), None, None, best, seconds)
            history.epochs.append(record)
            if display is not None:
                display(self, record)
        batches.close()
        return history

    def _step(
        self, batches: Batches, draw: Draw, labels: tuple[Ints, Ints], optimizer: Optimizer, rate: float
    ) -> float:
        """Take a step on a batch, and return the sum of its losses."""
        X, _ = batches.gather(draw)
        H = self.hidden.forward(X)
        value, DH = self.output.step(H, *labels, LOSSES[self.loss], optimizer, rate)
        self.hidden.backward(DH)
        optimizer.step(self.hidden.parameters(), rate)
        return value

    def predict_top(self, X: object, k: int = 5, *, batch_size: int = 100) -> tuple[npt.NDArray[np.int64], Array]:
        """Return the k labels with the largest logits of each sample, the best first, and their logits: (n, k) each.

        Raises ValueError for more than there are labels.
        """
        k = check_integer(k, "k", least=1, most=self.labels)
        samples = as_samples(X, self.hidden.in_features, self.hidden.dtype)
        batches = as_batches(samples, None, check_integer(batch_size, "batch_size", least=1), dtype=self.hidden.dtype)
        parts = []
        for draw in batches.draws():
            inputs, _ = batches.gather(draw)
            parts.append(self._top(self.hidden.forward(inputs, training=False), k))
        batches.close()
        found, logits = (np.concatenate(each, axis=1).T for each in zip(*parts, strict=True))
        return np.ascontiguousarray(found), np.ascontiguousarray(logits)

    def _top(self, H: Array, k: int) -> tuple[npt.NDArray[np.int64], Array]:
        """Return the k best labels (k, batch) and their logits, the best first; of equal ones the first."""
        best: Array = np.full((0, H.shape[1]), -np.inf, self.hidden.dtype)
        labels = np.empty((0, H.shape[1]), np.int64)
        for first, Z in self.output.logits(H):
            rows = np.arange(len(Z))[:, None] if len(Z) <= k else np.argpartition(-Z, k - 1, axis=0)[:k]
            rows = np.broadcast_to(rows, (len(rows), H.shape[1]))
            labels = np.concatenate([labels, rows + first])
            best = np.concatenate([best, np.take_along_axis(Z, rows, axis=0)])
            order = np.lexsort((labels, -best), axis=0)[:k]
            labels, best = np.take_along_axis(labels, order, axis=0), np.take_along_axis(best, order, axis=0)
        return labels, best

    def evaluate(
        self, X: object, Y: Any, *, k: Sequence[int] = (1, 3, 5), propensities: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """Return the precisions at k, "P@1" and so on; with `propensities` (labels,) of the labels also "PSP@1" ..."""
        top, _ = self.predict_top(X, max(k))
        found = {f"P@{one}": precision_at_k(Y, top, one) for one in k}
        if propensities is not None:
            found |= {f"PSP@{one}": precision_at_k(Y, top, one, propensities) for one in k}
        return found

    def to_sequential(self) -> Sequential:
        """Return the network as one, for nerva.save and exports: copies of the labels' weights in a sparse layer.

        Its `predict` computes all logits of a batch.
        """
        weight, bias = as_csr(self.output.tiles, self.hidden.out_features)
        return Sequential([*self.hidden.layers, SparseLinear.from_weight(weight, bias)], rng=self.hidden.rng)

    def __repr__(self) -> str:
        return f"ExtremeClassifier({self.hidden!r}, labels={self.labels}, loss={self.loss!r})"
