"""A method of dynamic sparse training in one training: asked before and after every batch, it updates the layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva.system.signals import deferred
from nerva.topology.layer_state import LayerState
from nerva.topology.records import TopologyRecord, record
from nerva.topology.schedules import Update
from nerva.topology.topology import Topology


class TopologyUpdater:
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
        self.layers = [LayerState(i, layer, rng) for i, layer in sparse]
        self.records: list[TopologyRecord] = []
        self._now: Update | None = None
        if method.density is not None:
            start = sum(layer.started for layer in self.layers) / sum(layer.positions for layer in self.layers)
            if method.density(start, 1.0) > start:
                raise ValueError(f"density ends at {method.density(start, 1.0)}; the sparse layers start at {start}")
        method.start(self.layers)

    def before(self, step: int) -> bool:
        """Say whether the batch after `step` others shall take its optimizer's step; weights may move first."""
        self._now = self.method.when.due(step, self.steps, self.steps_per_epoch)
        if self._now is not None and self.method.moment == "before":
            self._update(0.0)
        return self._now is None or self.method.moment != "instead"

    def after(self, step: int, rate: float) -> None:
        """Move weights where it is time, now that the batch has been through."""
        self.method.each(self.layers, rate)
        if self._now is not None:
            self._update(rate)
        elif self.method.accumulate > 1:
            period = self.method.when.period(self.steps_per_epoch)
            ahead = -step % period
            if ahead < self.method.accumulate and step + ahead in self.method.when.updates(
                self.steps, self.steps_per_epoch
            ):
                for layer in self.layers:
                    layer.add_factors()

    def finish(self) -> None:
        """Leave the network as it shall be used."""
        with deferred():
            self.method.finish(self.layers)

    def _update(self, rate: float) -> None:
        now, self._now = self._now, None
        assert now is not None
        if not all(self._finite(layer) for layer in self.layers):
            return  # the training has diverged, which the loop warns of: there is nothing to compare
        with deferred():  # weights, and what is kept of them, move together or not at all
            for layer, (dropped, grown) in zip(self.layers, self.method.update(self.layers, now, rate), strict=True):
                self.records.append(record(now.step, layer.index, layer.weight, dropped, grown, len(layer.ever)))

    def _finite(self, layer: LayerState) -> bool:
        numbers = [layer.values, *(layer.dense_gradient_factors if self.method.moment == "instead" else ())]
        return all(bool(np.isfinite(array).all()) for array in numbers)
