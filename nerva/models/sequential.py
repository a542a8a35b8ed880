"""Networks: layers in a row."""

import copy
import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter_ns
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer
from nerva.layers import Affine, Layer
from nerva.losses import Loss, SoftmaxCrossEntropy
from nerva.models import compaction, state
from nerva.models.input_map import InputMap, input_map
from nerva.models.plan import CompiledNetwork, compile_network, obstacle
from nerva.models.precision import Precision, check_precision
from nerva.models.summary import layer_rows, network_html
from nerva.parameters import Parameter
from nerva.tables import table
from nerva.training import evaluation, step
from nerva.training import fit as training
from nerva.training.profiling import recorder
from nerva.training.trainable import Trainable
from nerva.validation import as_generator, refuse_keywords

P = ParamSpec("P")
R = TypeVar("R")


def _locked(function: Callable[Concatenate[Trainable, P], R]) -> Callable[Concatenate["Sequential", P], R]:
    """Return a function of a network as a method of Sequential that runs in one thread at a time."""
    signature = inspect.signature(function)
    known = signature.parameters.keys()

    @functools.wraps(function)
    def method(self: "Sequential", /, *args: P.args, **settings: P.kwargs) -> R:
        if not settings.keys() <= known:
            refuse_keywords(settings, known, function.__name__)
        with self._lock:
            return function(self, *args, **settings)

    method.__module__, method.__qualname__ = __name__, f"Sequential.{function.__name__}"
    first, *others = signature.parameters.values()
    own = first.replace(name="self", annotation=inspect.Parameter.empty)
    method.__signature__ = signature.replace(parameters=[own, *others])  # type: ignore[attr-defined]
    return method


class Sequential:
    """A feed-forward network: layers in a row, each on the outputs of the one before.

    Parameters
    ----------
    layers : any mixture of nerva.Linear, SparseLinear, BatchNorm, Activation and Dropout, of matching features and of
        the same dtype; at least one must have a number of features of its own
    rng : generator or seed of `fit`, for the order of samples, augmentation and topology; None for a fresh one
    precision : of activations and their gradients in training and evaluation: "bfloat16" stores them in half the
        memory, with weights, sums and updates in float32. It needs a processor with AVX512_BF16, and layers and an
        optimizer that a compiled step takes: `fit` and `train_step` refuse others. None is that of the dtype

    `fit`, `train_step`, `evaluate`, `predict` and `predict_proba` take samples as rows, and are thread-safe: one call
    waits for the other. `forward` and `backward` take samples as columns and write into buffers of the layers, which
    the next call overwrites; they are not thread-safe.

    Raises TypeError or ValueError, which names the layer, for layers that do not fit together.

    >>> layers = [nerva.SparseLinear(784, 64, density=0.05, activation="relu"), nerva.Linear(64, 10)]
    >>> model = nerva.Sequential(layers, rng=0)
    >>> model.in_features, model.out_features, model.nnz
    (784, 10, 3149)
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        rng: np.random.Generator | int | None = None,
        precision: Precision | None = None,
    ) -> None:
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
        self.in_features, self.dtype = self._build(precision)
        # The backward pass ends at the first layer with trainable parameters: nothing before it needs a gradient.
        learning = [i for i, layer in enumerate(self.layers) if layer.parameters()]
        self._first = learning[0] if learning else len(self.layers)
        self.rng = as_generator(rng)
        self.loss: Loss = SoftmaxCrossEntropy()  # of the last `fit`: predictions depend on it
        self.classes: tuple[str, ...] | None = None  # of the last `fit`, where its labels were names
        self.inputs = Buffer(self.in_features, self.dtype)  # for predictions, which then allocate nothing
        self._compiled: CompiledNetwork | None = None
        self._precision = check_precision(precision, self.dtype)
        self._lock = threading.RLock()

    # ---- shape and size

    def _build(self, precision: Precision | None) -> tuple[int, np.dtype[Any]]:
        """Check that the layers fit, build those that take any number of features, and return features and dtype."""
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
        check_precision(precision, dtype)
        # Only now that all layers have been checked: a refused network leaves them as they were.
        for layer, given in zip(self.layers, carried, strict=True):
            if layer.in_features is None:
                layer.build(given, dtype)
        return carried[0], dtype

    @property
    def precision(self) -> Precision:
        """Of activations and their gradients, "bfloat16" or that of the dtype; it may be set between steps.

        `forward` and `backward`, called as such, compute in the dtype, and so do the steps of `fit` in which a method
        of dynamic sparse training reads gradients.
        """
        return self._precision

    @precision.setter
    def precision(self, precision: Precision | None) -> None:
        with self._lock:
            self._precision, self._compiled = check_precision(precision, self.dtype), None

    @property
    def out_features(self) -> int:
        """The outputs for a sample, such as one logit for each class."""
        return self.layers[-1].out_features or 0

    @property
    def nnz(self) -> int:
        """The weights that exist (non-zeros), biases not counted."""
        return sum(layer.nnz for layer in self.layers)

    @property
    def dense_size(self) -> int:
        """The weights of the dense network of this shape, biases not counted."""
        return sum(layer.in_features * layer.out_features for layer in self.layers if isinstance(layer, Affine))

    @property
    def density(self) -> float:
        """The fraction of the dense network's weights that exist."""
        return self.nnz / self.dense_size if self.dense_size else 1.0

    @property
    def nbytes(self) -> int:
        """The bytes of weights, patterns, gradients and optimizer state; the buffers of a batch are not counted."""
        return sum(layer.nbytes for layer in self.layers)

    def summary(self, batch_size: int = 100) -> str:
        """Return a table of the layers: shape, density, weights, bytes, bytes per weight, and the totals.

        Bytes are those of values and pattern, and of gradients, optimizer state and the transposed pattern as soon as
        training needs them: a model holds more after its first step than before. The last line says whether steps on
        mini-batches of `batch_size` are compiled or run layer by layer, and why (see nerva.profile, which counts both).
        """
        rows = layer_rows(self)
        size, dense = f"{self.dense_size:,} weights", self.dense_size * self.dtype.itemsize
        bfloat16 = self._precision == "bfloat16"
        stored = f", activations {self._precision}" if bfloat16 else ""
        closing = f"{self.dtype.name}{stored}; dense it would have {size}, {dense:,} bytes for them alone"
        obstacle, otherwise = self.obstacle(batch_size), "refused" if bfloat16 else "layer by layer"
        way = "compiled" if obstacle is None else f"{otherwise}, since {obstacle}"
        return f"{table(rows, left=(0, 3), rules=(0, len(rows) - 2))}\n{closing}\nsteps on {batch_size} samples: {way}"

    _repr_html_ = network_html  # what notebooks show

    def input_map(self, shape: Sequence[int] | None = None) -> InputMap:
        """Return how many weights each input has in the first linear layer, and how much they weigh, as a picture.

        `shape` is that of the inputs, (height, width) or (channels, height, width), None for one row of features;
        see nerva.models.input_map. Raises TypeError or ValueError where it is not that of the network's inputs.

        >>> nerva.MLP([3072, 64, 10], density=0.01, seed=0).input_map((3, 32, 32))
        InputMap(3 x 32 x 32 inputs, 1,927 weights, 1,630 inputs without any)
        """
        with self._lock:
            return input_map(self, shape)

    def __repr__(self) -> str:
        inner = "".join(f"    {layer!r},\n" for layer in self.layers)
        precision = "" if self._precision == self.dtype.name else f", precision={self._precision!r}"
        return f"{type(self).__name__}([\n{inner}]{precision})"

    # ---- forward and backward pass

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return the outputs (outputs, batch) for X (features, batch), in a buffer that the next call overwrites.

        With `training`, layers keep what `backward` needs, dropout is on, and batch normalization uses the batch's
        statistics. Raises TypeError or ValueError where X does not fit.
        """
        profile = recorder()
        for i, layer in enumerate(self.layers):
            started = 0 if profile is None else perf_counter_ns()
            X = layer.forward(X, training=training)
            if profile is not None:
                profile.add("forward", started, i, X.shape[1], layer)
        return X

    def backward(self, DY: Array, *, after: Callable[[Layer], object] | None = None) -> None:
        """Backpropagate DY (outputs, batch), the gradient of the loss by the outputs of the last `forward`.

        Sets the gradient of every parameter, and calls `after(layer)` when those of a layer are there, the last layer
        first. Raises RuntimeError without a forward pass in training before.
        """
        profile = recorder()
        for i in reversed(range(self._first, len(self.layers))):
            started = 0 if profile is None else perf_counter_ns()
            DX = self.layers[i].backward(DY, input_gradient=i > self._first)
            if profile is not None:
                profile.add("backward", started, i, DY.shape[1], self.layers[i])
            if after is not None:
                after(self.layers[i])
            if DX is not None:
                DY = DX

    def compiled(self, batch: int) -> CompiledNetwork | None:
        """Return the network as one program for batches of this size, None where it is computed layer by layer."""
        if self._has_own_passes:
            return None
        if self._compiled is None or not self._compiled.fits():
            self._compiled = compile_network(self.layers, batch, self._precision == "bfloat16")
        return self._compiled if self._compiled is not None and self._compiled.accepts(batch) else None

    def obstacle(self, batch: int) -> str | None:
        """Return why `compiled` returns None for batches of this size, None where it does not."""
        if self._has_own_passes:
            return f"{type(self).__name__} has passes of its own"
        return obstacle(self.layers, batch, self._precision == "bfloat16")

    @property
    def _has_own_passes(self) -> bool:
        """Whether this is a subclass, or an object, with passes of its own, which must not be bypassed."""
        own, names = type(self), ("forward", "backward")
        return any(getattr(own, name) is not getattr(Sequential, name) or name in vars(self) for name in names)

    def astype(self, dtype: npt.DTypeLike) -> "Sequential":
        """Return a copy of another dtype, float32 or float64; optimizer state is not copied.

        A precision of "bfloat16" is kept in float32.
        """
        other = Sequential([layer.astype(dtype) for layer in self.layers], rng=copy.deepcopy(self.rng))
        other.loss, other.classes = copy.deepcopy(self.loss), self.classes
        if other.dtype == self.dtype:
            other._precision = self._precision
        return other

    def parameters(self) -> Sequence[Parameter]:
        """Return the trainable parameters, layer by layer: weights, biases, those of batch norm and of activations."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def compact(self) -> "Sequential":
        """Return a smaller network with the same outputs, without dead hidden neurons (see nerva.dead_neurons).

        Those have no input weight or no output weight. The generator `rng` is shared; optimizer state is not copied.
        """
        with self._lock:
            small = Sequential(compaction.compact(self.layers), rng=self.rng)
            small.loss, small.classes, small._precision = copy.deepcopy(self.loss), self.classes, self._precision
            return small

    # ---- training and inference: nerva.training says what these do

    fit = _locked(training.fit)
    train_step = _locked(step.train_step)
    evaluate = _locked(evaluation.evaluate)
    predict = _locked(evaluation.predict)
    predict_proba = _locked(evaluation.predict_proba)
    state_dict = _locked(state.state_dict)
    load_state_dict = _locked(state.load_state_dict)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_compiled")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"_precision": state["dtype"].name, "classes": None, **state})
        self._compiled = None
        self._lock = threading.RLock()
