"""Dropout, of outputs and of weights."""

import copy

import numpy as np
import numpy.typing as npt

from nerva._kernels.dropout import dropout, dropout_backward
from nerva._kernels.memory import Array, Buffer
from nerva.layers.layer import Layer
from nerva.parameters import Step
from nerva.validation import as_generator, check_below_one


class Keys:
    """The keys of the masks of one layer, one a training step: a function of a seed and of how many there were."""

    __slots__ = ("count", "seed")

    def __init__(self, rng: np.random.Generator) -> None:
        self.seed = int(rng.integers(2**64, dtype=np.uint64))
        self.count = 0

    def next(self) -> int:
        """Return the key of the next step."""
        self.count += 1
        return self.now

    @property
    def now(self) -> int:
        """The key of the present step: a mix of 64 bits, the finalizer of SplitMix64."""
        x = (self.seed + self.count * 0xD1B54A32D192ED03) % 2**64
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31


class Dropout(Layer):
    """In training each number is zero with probability `rate`, anew at each step, the others larger by 1 / (1 - rate).

    rate : from 0 to below 1
    rng : numpy.random.Generator, or a seed, or None for a fresh one: of the masks

    In evaluation, and where the rate is 0, outputs are the inputs themselves. No mask is stored; the same seed gives
    the same masks on any number of threads. N. Srivastava et al., Dropout: a simple way to prevent neural networks from
    overfitting, JMLR 2014; inverted, so that evaluation needs no scaling.
    """

    goes_through = True

    def __init__(self, rate: float, *, rng: np.random.Generator | int | None = None) -> None:
        self.rate = check_below_one(rate, "rate")
        self._keys = Keys(as_generator(rng))

    def build(self, features: int, dtype: np.dtype[np.floating]) -> "Dropout":
        """Tell the layer what it will get."""
        if self.in_features is None:
            self._outputs, self._input_gradients = Buffer(features, dtype), Buffer(features, dtype)
        super().build(features, dtype)
        return self

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return Y, shape (features, batch): X itself without `training`."""
        N = self.check_inputs(X)
        Y = X
        if training and self.rate > 0:
            Y = self._outputs.take(N)
            dropout(X, self._keys.next(), self.rate, Y)
        self._X, self._Y = (X, Y) if training else (None, None)
        return Y

    def backward(
        self,
        DY: Array,
        *,
        input_gradient: bool = True,
        step: Step | None = None,
        below: Layer | None = None,
        delta: bool = False,
        overwrite: bool = False,
    ) -> Array | None:
        """Return DX, shape (features, batch): DY where the number stayed, larger as it was, else zero.

        Given the layer `below`, whose outputs were X, it is the gradient before its activation, and the gradient of its
        bias is set.
        """
        X, Y = self.kept(DY)
        self.check_below(below)
        if not input_gradient:
            return None
        if Y is X and below is None:
            return DY
        DX = DY if overwrite else self._input_gradients.take(X.shape[1])
        if below is not None and below.fused is not None:
            rate = self.rate if Y is not X else 0.0
            dropout_backward(DY, X, self._keys.now, rate, *below.fused, DX, below.bias_gradient)
        else:
            dropout(DY, self._keys.now, self.rate, DX)
        return DX

    def astype(self, dtype: npt.DTypeLike) -> "Dropout":
        """Return a copy for another number type, whose masks are the same."""
        layer = Dropout(self.rate)
        layer._keys = copy.copy(self._keys)
        return layer

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"
