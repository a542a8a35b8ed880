"""What a method of dynamic sparse training is: when weights move, which are dropped, where others grow, how many."""

from inspect import Parameter, Signature, signature
from math import floor
from typing import Any, ClassVar, Literal, Unpack, get_args, get_origin, get_type_hints

import numpy as np

from nerva._kernels.memory import Array
from nerva.initializers import Initializer, initial_values
from nerva.topology.drop import Drop, lowest
from nerva.topology.grow import Grow
from nerva.topology.layer_state import LayerState, LayerStates
from nerva.topology.schedules import DensitySchedule, Update, When, in_proportion
from nerva.topology.supports import Positions
from nerva.validation import check_choice, check_integer

Scope = Literal["layer", "global"]
Moment = Literal["before", "instead", "after"]
NO_POSITIONS = np.empty(0, np.int64)


class Topology:
    """Dynamic sparse training: when weights move, which are dropped, where others grow, and how the density falls.

    At an update a layer of n weights whose target is m drops n + g - m and grows g = round(f m), where f is the
    fraction of `when` at that time, and m is n without a `density`.

    Parameters
    ----------
    when : a nerva.When
    drop : which weights are dropped, `(layer, count) -> indices of weights` (nerva.topology.drop)
    grow : where others grow, `(layer, count) -> flat positions` (nerva.topology.grow)
    density : a callable (start, progress) -> density of all sparse layers together, for example
        nerva.topology.Cubic(0.05); None keeps the number of weights of each layer
    scope : where the density falls, by the same part in every "layer", or by the smallest |w| of all, "global"
    init : values of the new weights, "zeros", the name of another initializer, or a callable (see nerva.initializers)
    regrow : whether a position just dropped may be grown again at once
    accumulate : the number of batches whose gradients, added, `grow` sees: that of the update, and those just before
    moment : "before" the optimizer's step on a batch, "instead" of it, once its gradients are computed, or "after" it

    Counts are exact: a layer has its target of weights after every update, and never loses its last one. At an update
    "instead" of a step, as in RigL, biases and other parameters do not take a step either.

    Raises TypeError or ValueError that names the argument that is wrong.

    A subclass may override `start`, `each`, `update`, `finish`, `counts` and `values`. What it keeps between updates
    belongs in `per_weight` and `extra` of the LayerStates, not in the method, which any number of training runs share.

    >>> from nerva.topology import drop, grow
    >>> method = nerva.Topology(nerva.When(every=2), drop.smallest, grow.uniformly)
    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.3, seed=0)
    >>> history = model.fit(X.astype("float32"), y, epochs=1, batch_size=10, topology=method)
    >>> [(record.step, record.layer, record.grown) for record in history.topology]
    [(2, 0, 13), (2, 1, 7), (4, 0, 1), (4, 1, 0)]
    """

    optimizer_state: ClassVar[tuple[str, ...]] = ()  # what the optimizer must keep of the weights; `fit` checks it
    defaults: ClassVar[When] = When()  # of a method that takes settings of `When` by keyword

    def __init_subclass__(cls) -> None:
        """Let help() and inspect.signature show the settings of `When` and their defaults where **when takes them."""
        super().__init_subclass__()
        _, *own = signature(cls.__init__).parameters.values()
        shown = [parameter for parameter in own if get_origin(parameter.annotation) is not Unpack]
        for parameter in own[len(shown) :]:
            (settings,) = get_args(parameter.annotation)
            shown += [
                Parameter(
                    name, Parameter.KEYWORD_ONLY, default=getattr(cls.defaults, name, Parameter.empty), annotation=hint
                )
                for name, hint in get_type_hints(settings).items()
            ]
        cls.__signature__ = Signature(shown)

    __signature__: ClassVar[Signature]

    def __init__(
        self,
        when: When,
        drop: Drop,
        grow: Grow,
        *,
        density: DensitySchedule | None = None,
        scope: Scope = "layer",
        init: str | Initializer = "zeros",
        regrow: bool = False,
        accumulate: int = 1,
        moment: Moment = "before",
    ) -> None:
        if not isinstance(when, When):
            raise TypeError(f"when is {type(when).__name__}; it must be a nerva.When")
        for name, part in (("drop", drop), ("grow", grow), ("density", density)):
            if not callable(part) and not (name == "density" and part is None):
                raise TypeError(f"{name} is {part!r}; it must be callable")
        check_choice(scope, "scope", get_args(Scope))
        check_choice(moment, "moment", get_args(Moment))
        check_integer(accumulate, "accumulate", least=1)
        initial_values(init, np.random.default_rng(0), 1, 1, 1, np.dtype(np.float32))
        self.when, self.drop, self.grow, self.density = when, drop, grow, density
        self.scope, self.init, self.regrow = scope, init, regrow
        self.accumulate, self.moment = accumulate, moment

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.when!r})"

    # ---- what a method may override

    def start(self, layers: LayerStates) -> None:
        """Prepare what is kept of each layer; called before the first step."""

    def each(self, layers: LayerStates, rate: float) -> None:
        """Do what is due after every batch, its optimizer step at this learning rate included; before `update`."""

    def update(self, layers: LayerStates, now: Update, rate: float) -> list[tuple[int, int]]:
        """Move the weights of all layers, and return how many each dropped and grew."""
        counts = self.counts(layers, now)
        return [
            self.move(layer, *pair) if layer.weight.nnz else (0, 0) for layer, pair in zip(layers, counts, strict=True)
        ]

    def finish(self, layers: LayerStates) -> None:
        """Leave the network as it is to be used; called after the last step."""

    def counts(self, layers: LayerStates, now: Update) -> list[tuple[int, int]]:
        """Return how many weights each layer drops and grows at this update."""
        result = []
        for layer, target in zip(layers, self.targets(layers, now), strict=True):
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
        total = min(self.total(layers, now.progress), sum(have))
        if self.scope == "layer":
            left = in_proportion(total, [layer.initial_nnz for layer in layers], have)
        else:
            sizes = np.concatenate([np.abs(layer.values) for layer in layers])
            owners = np.repeat(np.arange(len(layers)), have)
            gone = np.bincount(owners[lowest(sizes, sum(have) - total)], minlength=len(layers))
            left = [n - int(less) for n, less in zip(have, gone, strict=True)]
        return [max(n, min(1, before)) for n, before in zip(left, have, strict=True)]

    def total(self, layers: LayerStates, progress: float) -> int:
        """Return round(density x positions): the weights of all layers together at this progress."""
        positions, start = sum(layer.positions for layer in layers), sum(layer.initial_nnz for layer in layers)
        density = start / positions if self.density is None else self.density(start / positions, progress)
        return floor(density * positions + 0.5)

    def move(self, layer: LayerState, dropped: int, grown: int) -> tuple[int, int]:
        """Drop and grow so many weights of a layer, and return both numbers.

        Raises ValueError where the drop or growth criterion returns another number.
        """
        if dropped == 0 and grown == 0:
            return 0, 0
        out = _checked(self.drop(layer, dropped), dropped, "drop") if dropped else NO_POSITIONS
        if self.regrow:
            # Dropped at once, so that `grow` finds these positions empty.
            layer.rewire(out, NO_POSITIONS, 0.0)
            out = NO_POSITIONS
        new = _checked(self.grow(layer, grown), grown, "grow") if grown else NO_POSITIONS
        layer.rewire(out, new, self.values(layer, new))
        return dropped, grown


def _checked(indices: Any, count: int, name: str) -> Positions:
    """Return what a criterion returned as int64; raise ValueError where it is not `count` integers."""
    found = np.ascontiguousarray(indices)
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise ValueError(f"{name} gave {found.dtype} of shape {found.shape}; it must give {count} integers")
    return found.astype(np.int64)
