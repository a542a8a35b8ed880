"""Dropout of outputs, and the random masks it shares with DropConnect, the dropout of weights."""

import copy
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels.dropout import dropout
from nerva._kernels.memory import Array, Buffer
from nerva._kernels.operations import Dropping, Mask, Operation
from nerva.layers.layer import Features, Layer
from nerva.layers.ranks import Ranks
from nerva.validation import as_generator, check_below_one


class MaskKeys:
    """The keys of a layer's random masks, one for each training step: a function of a seed and a step count.

    A kernel computes the mask from its key wherever it needs it, in the backward pass too, so none is stored. The
    `stream` is the rank of a process that trains with others, whose samples have other masks.
    """

    __slots__ = ("count", "seed", "stream")

    def __init__(self, rng: np.random.Generator) -> None:
        self.seed = int(rng.integers(2**64, dtype=np.uint64))
        self.count = self.stream = 0

    def __getstate__(self) -> object:
        # Protocols 0 and 1 ask for one of a class with __slots__; later ones take this by themselves.
        return object.__getstate__(self)

    def __setstate__(self, state: tuple[None, dict[str, int]]) -> None:
        self.seed, self.count, self.stream = state[1]["seed"], state[1]["count"], state[1].get("stream", 0)

    def next(self) -> int:
        """Go on to the next step, and return its key."""
        self.count += 1
        return self.now

    @property
    def now(self) -> int:
        """The key of the present step: the 64-bit finalizer of SplitMix64.

        G. L. Steele, D. Lea & C. H. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
        """
        # Modulo 2^64, as the kernels compute; Python's integers would grow.
        x = (self.seed + self.count * 0xD1B54A32D192ED03 + self.stream * 0x9E3779B97F4A7C15) % 2**64
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31


class Dropout(Layer):
    """Inverted dropout: Y = M X / (1 - rate) in training, elementwise, Y = X in evaluation.

    Each entry of the mask M is 0 with probability `rate`, 1 otherwise, drawn anew in each step. No mask is stored; the
    same seed gives the same masks with any number of threads.

    Parameters
    ----------
    rate : probability that an entry is dropped, from 0 to below 1
    rng : numpy.random.Generator or seed of the masks, or None for a fresh one

    >>> nerva.Dropout(0.5, rng=0).forward(np.ones((1, 6), np.float32))
    array([[0., 0., 2., 2., 2., 2.]], dtype=float32)

    N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, JMLR 2014.
    """

    def __init__(self, rate: float, *, rng: np.random.Generator | int | None = None) -> None:
        self.rate = check_below_one(rate, "rate")
        self._keys = MaskKeys(as_generator(rng))

    def build(self, features: int, dtype: np.dtype[np.floating]) -> Self:
        """Set features and dtype; raise ValueError where the layer has others already."""
        if self.in_features is None:
            self._outputs, self._input_gradients = Buffer(features, dtype), Buffer(features, dtype)
        return super().build(features, dtype)

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return Y, shape (features, batch): X itself, no copy, without `training` or at a rate of 0."""
        N = self.check_inputs(X)
        Y = X
        if training and self.rate > 0:
            Y = self._outputs.take(N)
            dropout(X, self._keys.next(), self.rate, Y)
        self._X, self._Y = (X, Y) if training else (None, None)
        return Y

    def backward(self, DY: Array, *, input_gradient: bool = True) -> Array | None:
        """Return DX = M DY / (1 - rate), shape (features, batch), with the mask of the last forward pass."""
        X, Y = self.saved_for_backward(DY)
        if not input_gradient:
            return None
        if Y is X:  # nothing was dropped
            return DY
        # The mask is computed from the present key, which is that of the last forward pass in training.
        DX = self._input_gradients.take(X.shape[1])
        dropout(DY, self._keys.now, self.rate, DX)
        return DX

    def compiled(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the dropping of outputs, by the masks and the rate of each step."""
        return (Dropping(self._draw),) if self._has_passes_of(Dropout) else None

    def _draw(self) -> Mask:
        """Go on to the mask of the next step."""
        return Mask(self._keys.next() if self.rate > 0 else 0, self.rate)

    def join(self, ranks: Ranks | None) -> None:
        """Draw other masks than other ranks, or the layer's own; see Layer.join."""
        self._keys.stream = 0 if ranks is None else ranks.rank

    def config(self) -> dict[str, Any]:
        """Return {"rate"}: the layer takes any features, and its masks start anew."""
        return {"rate": self.rate}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], prefix: str = "") -> Self:
        """Return the layer of a config, with masks of its own; see Layer.from_config."""
        return cls(config["rate"])

    def astype(self, dtype: npt.DTypeLike) -> "Dropout":
        """Return a copy for any dtype, whose masks are the same."""
        return self._copy()

    def take_features(self, kept: Features) -> "Dropout":
        """Return a copy for any features; masks go by rows of the batch, so a feature's mask is another one then."""
        return self._copy()

    def _copy(self) -> "Dropout":
        layer = Dropout(self.rate)
        layer._keys = copy.copy(self._keys)
        return layer

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"
