"""The design: a method that combines when, drop, grow and density, and its run beside a training."""

from collections.abc import Sequence
from math import floor
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva.initializers import Initializer, initial_values
from nerva.interrupts import deferred
from nerva.parameters import Array
from nerva.topology.density import Path, in_proportion
from nerva.topology.drop import Drop, lowest
from nerva.topology.grow import Grow
from nerva.topology.records import TopologyRecord, record
from nerva.topology.sites import Positions, Site, Sites
from nerva.topology.when import Update, When

MOMENTS = ("before", "instead", "after")
NONE = np.empty(0, np.int64)


class Topology:
    """Dynamic sparse training: when weights move, which are dropped, where others grow, and how the density moves.

    Parameters
    ----------
    when : a nerva.When
    drop : which weights go, `(site, count) -> numbers of weights` (nerva.topology.drop)
    grow : where new ones come, `(site, count) -> flat positions` (nerva.topology.grow)
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
        if scope not in ("layer", "global"):
            raise ValueError(f"scope is {scope!r}; it must be 'layer' or 'global'")
        if moment not in MOMENTS:
            raise ValueError(f"moment is {moment!r}; it must be one of {', '.join(MOMENTS)}")
        if isinstance(accumulate, bool) or not isinstance(accumulate, (int, np.integer)) or accumulate < 1:
            raise ValueError(f"accumulate is {accumulate!r}; it must be an integer of at least 1")
        initial_values(init, np.random.default_rng(0), 1, 1, 1, np.dtype(np.float32))
        self.when, self.drop, self.grow, self.density = when, drop, grow, density
        self.scope, self.init, self.regrow = scope, init, regrow
        self.accumulate, self.moment = accumulate, moment

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.when!r})"

    # ---- what a method may change

    def start(self, sites: Sites) -> None:
        """Prepare what is kept of each layer; called before the first step."""

    def each(self, sites: Sites, rate: float) -> None:
        """Do what is to be done after every batch; before `update`, where that comes after it."""

    def update(self, sites: Sites, now: Update, rate: float) -> list[tuple[int, int]]:
        """Move the weights of all layers, and return how many each dropped and grew."""
        counts = self.counts(sites, now)
        return [self.move(site, *pair) if site.weight.nnz else (0, 0) for site, pair in zip(sites, counts, strict=True)]

    def finish(self, sites: Sites) -> None:
        """Leave the network as it shall be used; called after the last step."""

    def counts(self, sites: Sites, now: Update) -> list[tuple[int, int]]:
        """Return how many weights each layer drops and grows at this update."""
        targets = self.targets(sites, now)
        result = []
        for site, target in zip(sites, targets, strict=True):
            grown = min(floor(now.fraction * target + 0.5), target, site.empties)
            result.append((int(site.weight.nnz) + grown - target, grown))
        return result

    def values(self, site: Site, grown: Positions) -> Array:
        """Return the first values of the weights grown at these positions."""
        K, D = site.weight.shape
        return initial_values(self.init, site.rng, D, K, len(grown), site.values.dtype)

    # ---- what they share

    def targets(self, sites: Sites, now: Update) -> list[int]:
        """Return how many weights each layer shall have after this update; never more than it has."""
        have = [int(site.weight.nnz) for site in sites]
        if self.density is None:
            return have
        positions = sum(site.positions for site in sites)
        start = sum(site.started for site in sites)
        total = min(floor(self.density(start / positions, now.progress) * positions + 0.5), sum(have))
        if self.scope == "layer":
            left = in_proportion(total, [site.started for site in sites], have)
        else:
            sizes = np.concatenate([np.abs(site.values) for site in sites])
            layer = np.repeat(np.arange(len(sites)), have)
            gone = np.bincount(layer[lowest(sizes, sum(have) - total)], minlength=len(sites))
            left = [n - int(less) for n, less in zip(have, gone, strict=True)]
        return [max(n, min(1, before)) for n, before in zip(left, have, strict=True)]

    def move(self, site: Site, dropped: int, grown: int) -> tuple[int, int]:
        """Drop and grow so many weights of a layer; ValueError where drop or grow give another number."""
        if dropped == 0 and grown == 0:
            return 0, 0
        out = _checked(self.drop(site, dropped), dropped, "drop") if dropped else NONE
        if self.regrow:
            site.rewire(out, NONE, 0.0)
            new = _checked(self.grow(site, grown), grown, "grow") if grown else NONE
            site.rewire(NONE, new, self.values(site, new))
        else:
            new = _checked(self.grow(site, grown), grown, "grow") if grown else NONE
            site.rewire(out, new, self.values(site, new))
        return len(out), len(new)


def _checked(numbers: Any, count: int, name: str) -> Positions:
    found = np.ascontiguousarray(numbers)
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise ValueError(f"{name} gave {found.dtype} of shape {found.shape}; it must give {count} integers")
    return found.astype(np.int64)


class Moves:
    """A method in one training: the loop asks it before and after every batch. `records` tells what it did."""

    def __init__(
        self, method: Topology, layers: Sequence[Any], steps: int, steps_per_epoch: int, rng: np.random.Generator
    ) -> None:
        if not isinstance(method, Topology):
            raise TypeError(f"topology is {method!r}; it must be a nerva.Topology, nerva.RigL() say")
        sparse = [(i, layer) for i, layer in enumerate(layers) if isinstance(getattr(layer, "weight", None), CSR)]
        if not sparse:
            raise ValueError("topology is given, but the network has no sparse layer")
        if not method.when.updates(steps, steps_per_epoch):
            raise ValueError(f"topology is never due: {method.when} in {steps} steps, {steps_per_epoch} an epoch")
        self.method, self.steps, self.steps_per_epoch = method, steps, steps_per_epoch
        self.sites = [Site(i, layer, rng) for i, layer in sparse]
        self.records: list[TopologyRecord] = []
        self._now: Update | None = None
        if method.density is not None:
            start = sum(site.started for site in self.sites) / sum(site.positions for site in self.sites)
            if method.density(start, 1.0) > start:
                raise ValueError(f"density ends at {method.density(start, 1.0)}; the sparse layers start at {start}")
        method.start(self.sites)

    def before(self, step: int) -> bool:
        """Say whether the batch after `step` others shall take its optimizer's step; weights may move first."""
        self._now = self.method.when.due(step, self.steps, self.steps_per_epoch)
        if self._now is not None and self.method.moment == "before":
            self._update(0.0)
        return self._now is None or self.method.moment != "instead"

    def after(self, step: int, rate: float) -> None:
        """Move weights where it is time, now that the batch has been through."""
        self.method.each(self.sites, rate)
        if self._now is not None:
            self._update(rate)
        elif self.method.accumulate > 1:
            period = self.method.when.period(self.steps_per_epoch)
            ahead = -step % period
            if ahead < self.method.accumulate and step + ahead in self.method.when.updates(
                self.steps, self.steps_per_epoch
            ):
                for site in self.sites:
                    site.add_signals()

    def finish(self) -> None:
        """Leave the network as it shall be used."""
        with deferred():
            self.method.finish(self.sites)

    def _update(self, rate: float) -> None:
        now, self._now = self._now, None
        assert now is not None
        if not all(self._finite(site) for site in self.sites):
            return  # the training has diverged, which the loop warns of: there is nothing to compare
        with deferred():  # weights, and what is kept of them, move together or not at all
            for site, (dropped, grown) in zip(self.sites, self.method.update(self.sites, now, rate), strict=True):
                self.records.append(record(now.step, site.index, site.weight, dropped, grown, len(site.ever)))

    def _finite(self, site: Site) -> bool:
        numbers = [site.values, *(site.signals if self.method.moment == "instead" else ())]
        return all(bool(np.isfinite(array).all()) for array in numbers)
