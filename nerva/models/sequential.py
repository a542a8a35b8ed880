"""Networks: layers in a row."""

import copy
import threading
from collections.abc import Iterable, Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer
from nerva.datasets.augment import Augment
from nerva.layers import Affine, Layer
from nerva.losses import Loss, SoftmaxCrossEntropy
from nerva.models import compaction
from nerva.optimizers import SGD
from nerva.parameters import Parameter, Step
from nerva.schedules import Schedule
from nerva.topology import Topology
from nerva.training import evaluation
from nerva.training import fit as training
from nerva.training.history import History
from nerva.training.profiling import recorder
from nerva.validation import as_generator


class Sequential:
    """Layers in a row: each takes what the one before it gives.

    Parameters
    ----------
    layers : of nerva.Linear, SparseLinear, BatchNorm, Activation and Dropout any mixture, features matching, all of one
        dtype, one of them at least with features of its own
    rng : generator or seed for the order of samples in `fit`; None for a fresh one

    `fit`, `train_step`, `evaluate`, `predict` and `predict_proba` take samples as rows, and may be called from any
    thread: one waits for the other. `forward` and `backward` take samples as columns, write into buffers of the layers
    that the next call overwrites, and are one thread's business.
    """

    def __init__(self, layers: Iterable[Layer], *, rng: np.random.Generator | int | None = None) -> None:
        if not isinstance(layers, Iterable):
            raise TypeError(f"layers is {type(layers).__name__}; it must be a list of layers")
        self.layers: tuple[Layer, ...] = tuple(layers)
        if not self.layers:
            raise ValueError("layers is empty; a network needs at least one")
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers[{i}] is {type(layer).__name__}; it must be a nerva layer")
            if any(layer is other for other in self.layers[:i]):
                raise ValueError(f"layers[{i}] stands in the network twice")
            weight = getattr(layer, "weight", None)
            if weight is not None and any(weight is getattr(other, "weight", None) for other in self.layers[:i]):
                raise ValueError(f"layers[{i}] shares its weight with another layer; give it a copy")
        self.in_features, self.dtype = self._build()
        # The way back ends at the first layer that has anything to learn.
        learning = [i for i, layer in enumerate(self.layers) if layer.parameters()]
        self._first = learning[0] if learning else len(self.layers)
        self.rng = as_generator(rng)
        self.loss: Loss = SoftmaxCrossEntropy()  # the last it was trained with; tells what its outputs mean
        self.inputs = Buffer(self.in_features, self.dtype)  # of the samples that are predicted, kept from call to call
        self._lock = threading.RLock()

    # ---- shape and size

    def _build(self) -> tuple[int, np.dtype[Any]]:
        """Check that the layers fit, tell those that take any features what they get, and return features and dtype."""
        known = next((layer for layer in self.layers if layer.in_features is not None), None)
        if known is None or known.in_features is None or known.dtype is None:
            raise ValueError("layers name no features; one must be a Linear, a SparseLinear or a BatchNorm")
        features, dtype, carried = known.in_features, known.dtype, []
        for i, layer in enumerate(self.layers):
            carried.append(features)
            if layer.in_features is not None and layer.in_features != features:
                raise ValueError(f"layers[{i - 1}] gives {features} features, layers[{i}] takes {layer.in_features}")
            if layer.dtype is not None and layer.dtype != dtype:
                raise ValueError(f"layers[{i - 1}] has dtype {dtype}, layers[{i}] {layer.dtype}")
            features = layer.out_features or features
        for layer, given in zip(self.layers, carried, strict=True):
            if layer.in_features is None:
                layer.build(given, dtype)
        return carried[0], dtype

    @property
    def out_features(self) -> int:
        """The outputs for a sample: the classes."""
        return self.layers[-1].out_features or 0

    @property
    def nnz(self) -> int:
        """The weights that exist, biases not counted."""
        return sum(layer.nnz for layer in self.layers)

    @property
    def dense_size(self) -> int:
        """The weights the dense network of this shape would have, biases not counted."""
        return sum(layer.in_features * layer.out_features for layer in self.layers if isinstance(layer, Affine))

    @property
    def density(self) -> float:
        """The fraction of the dense network's weights that exist."""
        return self.nnz / self.dense_size if self.dense_size else 1.0

    @property
    def nbytes(self) -> int:
        """The bytes held for weights, pattern, gradients and optimizer state; the buffers of a batch not counted."""
        return sum(layer.nbytes for layer in self.layers)

    def summary(self) -> str:
        """Return a table of the layers: shape, density, weights, bytes held in all and for each weight, and the totals.

        Bytes are those of values, pattern and companion, and of gradients and momentum once there are any: a model
        holds more of them after its first step than before.
        """
        rows = [("layer", "in", "out", "activation", "density", "weights", "bytes", "a weight")]
        for layer in self.layers:
            rows.append(
                (
                    type(layer).__name__,
                    f"{layer.in_features:,}",
                    f"{layer.out_features:,}",
                    "-" if layer.activation is None else str(layer.activation),
                    f"{layer.density:.4%}" if isinstance(layer, Affine) else "-",
                    f"{layer.nnz:,}" if isinstance(layer, Affine) else "-",
                    f"{layer.nbytes:,}",
                    _each(layer.nbytes, layer.nnz),
                )
            )
        each = _each(self.nbytes, self.nnz)
        rows.append(("total", "", "", "", f"{self.density:.4%}", f"{self.nnz:,}", f"{self.nbytes:,}", each))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(_align(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
            for row in rows
        ]
        rule = "-" * len(lines[0])
        dense = self.dense_size * self.dtype.itemsize
        closing = f"{self.dtype.name}; dense it would have {self.dense_size:,} weights, {dense:,} bytes for them alone"
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], closing])

    def __repr__(self) -> str:
        inner = "".join(f"    {layer!r},\n" for layer in self.layers)
        return f"{type(self).__name__}([\n{inner}])"

    # ---- one pass

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return the outputs (classes, batch) for X (features, batch), in a buffer the next call overwrites."""
        profile = recorder()
        for i, layer in enumerate(self.layers):
            started = 0 if profile is None else perf_counter_ns()
            X = layer.forward(X, training=training)
            if profile is not None:
                profile.add("forward", started, i, X.shape[1], layer)
        return X

    def backward(self, DY: Array, *, step: Step | None = None) -> None:
        """Go back from DY (classes, batch), the loss's gradient of the last `forward`'s outputs.

        Sets every gradient; or, with a `step` (see SGD.at), lets every parameter take it at once.
        """
        given, delta, profile = DY, False, recorder()
        for i in range(len(self.layers) - 1, self._first - 1, -1):
            layer, below = self.layers[i], None
            if i > self._first and layer.fuses_below and self.layers[i - 1].fused is not None:
                below = self.layers[i - 1]
            # The loss keeps its gradient; that of a layer is nobody's once the next one has it.
            overwrite = DY is not given
            started = 0 if profile is None else perf_counter_ns()
            DX = layer.backward(
                DY, input_gradient=i > self._first, step=step, below=below, delta=delta, overwrite=overwrite
            )
            if profile is not None:
                profile.add("backward", started, i, DY.shape[1], layer)
            if DX is not None:
                DY, delta = DX, below is not None

    def astype(self, dtype: npt.DTypeLike) -> "Sequential":
        """Return a copy whose layers have another number type; optimizer state is not copied."""
        other = Sequential([layer.astype(dtype) for layer in self.layers], rng=copy.deepcopy(self.rng))
        other.loss = copy.deepcopy(self.loss)
        return other

    def parameters(self) -> Sequence[Parameter]:
        """Return what an optimizer steps on: weights, biases and the like, layer by layer."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def compact(self) -> "Sequential":
        """Return a smaller network with the same outputs: without hidden neurons that have no input or no output.

        See nerva.compaction. The generator is this network's own, the optimizers' state starts anew.
        """
        with self._lock:
            small = Sequential(compaction.compact(self.layers), rng=self.rng)
            small.loss = copy.deepcopy(self.loss)
            return small

    # ---- the loop (nerva.training), and what came of it (nerva.evaluation)

    def fit(
        self,
        X: object,
        y: npt.ArrayLike,
        *,
        validation: tuple[object, npt.ArrayLike] | None = None,
        epochs: int = 10,
        batch_size: int = 100,
        optimizer: SGD | None = None,
        schedule: float | Schedule = 0.01,
        loss: Loss | None = None,
        sample_weight: npt.ArrayLike | None = None,
        rng: np.random.Generator | int | None = None,
        shuffle: bool = True,
        augment: Augment | None = None,
        topology: Topology | None = None,
        callbacks: Iterable[training.Callback] = (),
    ) -> History:
        with self._lock:
            return training.fit(
                self,
                X,
                y,
                validation=validation,
                epochs=epochs,
                batch_size=batch_size,
                optimizer=optimizer,
                schedule=schedule,
                loss=loss,
                sample_weight=sample_weight,
                rng=rng,
                shuffle=shuffle,
                augment=augment,
                topology=topology,
                callbacks=callbacks,
            )

    fit.__doc__ = training.fit.__doc__

    def train_step(
        self,
        X: object,
        y: npt.ArrayLike,
        optimizer: SGD,
        rate: float,
        loss: Loss | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Take one step on one batch of samples, X (samples, features), and return its mean loss before the step."""
        with self._lock:
            return training.train_step(self, X, y, optimizer, rate, loss, sample_weight)

    def evaluate(
        self,
        X: object,
        y: npt.ArrayLike,
        *,
        batch_size: int = evaluation.EVALUATION_BATCH,
        loss: Loss | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> evaluation.Evaluation:
        """Return (loss, accuracy) on samples X (n, features) with targets y, by its own loss or another.

        sample_weight : (n,) numbers; so much does each sample count in the loss
        """
        with self._lock:
            return evaluation.evaluate(self, X, y, batch_size=batch_size, loss=loss, sample_weight=sample_weight)

    def predict(self, X: object, *, batch_size: int = evaluation.EVALUATION_BATCH) -> Array:
        """Return the most probable class of each sample of X (n, features): int64 of shape (n,)."""
        with self._lock:
            return evaluation.predict(self, X, batch_size=batch_size)

    def predict_proba(self, X: object, *, batch_size: int = evaluation.EVALUATION_BATCH) -> Array:
        """Return the probabilities of the classes, shape (n, classes), for samples X (n, features)."""
        with self._lock:
            return evaluation.predict_proba(self, X, batch_size=batch_size)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()


def _each(nbytes: int, nnz: int) -> str:
    return f"{nbytes / nnz:.1f}" if nnz else "-"


def _align(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column in (0, 3) else cell.rjust(width)
