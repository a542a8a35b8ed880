"""The design: a method that combines when, drop, grow and density, and its run beside a training."""

from math import floor
from typing import Any

import numpy as np

from nerva._kernels.memory import Array
from nerva.initializers import Initializer, initial_values
from nerva.topology.drop import Drop, lowest
from nerva.topology.grow import Grow
from nerva.topology.layer_state import LayerState, LayerStates, Positions
from nerva.topology.schedules import Path, Update, When, in_proportion
from nerva.validation import check_choice, check_integer

MOMENTS = ("before", "instead", "after")
NONE = np.empty(0, np.int64)


class Topology:
    """Dynamic sparse training: when weights move, which are dropped, where others grow, and how the density moves.

    Parameters
    ----------
    when : a nerva.When
    drop : which weights go, `(layer, count) -> numbers of weights` (nerva.topology.drop)
    grow : where new ones come, `(layer, count) -> flat positions` (nerva.topology.grow)
    density : a callable (start, progress) -> density of all sparse layers together, nerva.topology.Cubic(0.05) say;
        None keeps the number of weights of each layer
    scope : where the density falls, "layer" takes the same part of every layer, "global" the smallest |w| of all
    init : the new weights, "zeros", another initializer's name, or a callable (see nerva.initializers)
    regrow : whether a position just dropped may be grown again at once
    accumulate : the batches whose gradients, together, `grow` sees: that of the update, and those just before
    moment : "before" the batch's step, "instead" of it, when its gradients are there, or "after" it

    Counts are exact: a layer has its target of weights after every update, and never loses its last one. The gradient
    of other layers' parameters, and the biases', is not used where the update is "instead" of a step, as in RigL.
    """

    state: tuple[str, ...] = ()  # what the optimizer must keep of the weights

    def __init__(
        self,
        when: When,
        drop: Drop,
        grow: Grow,
        *,
        density: Path | None = None,
        scope: str = "layer",
        init: str | Initializer = "zeros",
        regrow: bool = False,
        accumulate: int = 1,
        moment: str = "before",
    ) -> None:
        if not isinstance(when, When):
            raise TypeError(f"when is {type(when).__name__}; it must be a nerva.When")
        for name, part in (("drop", drop), ("grow", grow), ("density", density)):
            if not callable(part) and not (name == "density" and part is None):
                raise TypeError(f"{name} is {part!r}; it must be callable")
        check_choice(scope, "scope", ("layer", "global"))
        check_choice(moment, "moment", MOMENTS)
        check_integer(accumulate, "accumulate", least=1)
        initial_values(init, np.random.default_rng(0), 1, 1, 1, np.dtype(np.float32))
        self.when, self.drop, self.grow, self.density = when, drop, grow, density
        self.scope, self.init, self.regrow = scope, init, regrow
        self.accumulate, self.moment = accumulate, moment

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.when!r})"

    # ---- what a method may change

    def start(self, layers: LayerStates) -> None:
        """Prepare what is kept of each layer; called before the first step."""

    def each(self, layers: LayerStates, rate: float) -> None:
        """Do what is to be done after every batch; before `update`, where that comes after it."""

    def update(self, layers: LayerStates, now: Update, rate: float) -> list[tuple[int, int]]:
        """Move the weights of all layers, and return how many each dropped and grew."""
        counts = self.counts(layers, now)
        return [
            self.move(layer, *pair) if layer.weight.nnz else (0, 0) for layer, pair in zip(layers, counts, strict=True)
        ]

    def finish(self, layers: LayerStates) -> None:
        """Leave the network as it shall be used; called after the last step."""

    def counts(self, layers: LayerStates, now: Update) -> list[tuple[int, int]]:
        """Return how many weights each layer drops and grows at this update."""
        targets = self.targets(layers, now)
        result = []
        for layer, target in zip(layers, targets, strict=True):
            grown = min(floor(now.fraction * target + 0.5), target, layer.empties)
            result.append((int(layer.weight.nnz) + grown - target, grown))
        return result

    def values(self, layer: LayerState, grown: Positions) -> Array:
        """Return the first values of the weights grown at these positions."""
        K, D = layer.weight.shape
        return initial_values(self.init, layer.rng, D, K, len(grown), layer.values.dtype)

    # ---- what they share

    def targets(self, layers: LayerStates, now: Update) -> list[int]:
        """Return how many weights each layer shall have after this update; never more than it has."""
        have = [int(layer.weight.nnz) for layer in layers]
        if self.density is None:
            return have
        positions = sum(layer.positions for layer in layers)
        start = sum(layer.started for layer in layers)
        total = min(floor(self.density(start / positions, now.progress) * positions + 0.5), sum(have))
        if self.scope == "layer":
            left = in_proportion(total, [layer.started for layer in layers], have)
        else:
            sizes = np.concatenate([np.abs(layer.values) for layer in layers])
            layer = np.repeat(np.arange(len(layers)), have)
            gone = np.bincount(layer[lowest(sizes, sum(have) - total)], minlength=len(layers))
            left = [n - int(less) for n, less in zip(have, gone, strict=True)]
        return [max(n, min(1, before)) for n, before in zip(left, have, strict=True)]

    def move(self, layer: LayerState, dropped: int, grown: int) -> tuple[int, int]:
        """Drop and grow so many weights of a layer; ValueError where drop or grow give another number."""
        if dropped == 0 and grown == 0:
            return 0, 0
        out = _checked(self.drop(layer, dropped), dropped, "drop") if dropped else NONE
        if self.regrow:
            layer.rewire(out, NONE, 0.0)
            new = _checked(self.grow(layer, grown), grown, "grow") if grown else NONE
            layer.rewire(NONE, new, self.values(layer, new))
        else:
            new = _checked(self.grow(layer, grown), grown, "grow") if grown else NONE
            layer.rewire(out, new, self.values(layer, new))
        return len(out), len(new)


def _checked(numbers: Any, count: int, name: str) -> Positions:
    found = np.ascontiguousarray(numbers)
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise ValueError(f"{name} gave {found.dtype} of shape {found.shape}; it must give {count} integers")
    return found.astype(np.int64)
