"""A method of dynamic sparse training at work: it is asked before and after every batch, and moves the weights."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva.system.signals import deferred
from nerva.topology.grow import by_momentum, uniformly
from nerva.topology.layer_state import LayerState
from nerva.topology.link_prediction import LinkPrediction
from nerva.topology.records import TopologyRecord, record
from nerva.topology.schedules import Update, When
from nerva.topology.snapshot import Snapshot
from nerva.topology.topology import Topology

WITHOUT_FACTORS = (uniformly, by_momentum)  # growth criteria that read no factors of the gradient


class TopologyUpdater:
    """A method in one training run, which calls `before` and `after` for every batch, and `finish` at the end.

    Parameters
    ----------
    method : the nerva.Topology
    layers : those of the network, of which the sparse ones are rewired
    steps, steps_per_epoch : batches of the whole training run, and of one epoch
    rng : the generator that the method draws from
    start : whether the method starts; False before `restore`, until which nothing is changed then

    Attributes: `layers` are the LayerStates of the sparse layers, `records` tells what each update did to each, and
    `when` is the method's, or in a run too short for it `when.fitted`, of which a RuntimeWarning tells.

    Raises TypeError where the method is no Topology; ValueError where the network has no sparse layer, or none with
    weights, or the method's density ends above what the layers have.

    >>> layer = nerva.SparseLinear(8, 4, density=0.5, rng=0, backend="native")
    >>> optimizer, X = nerva.Momentum(), np.ones((8, 5), np.float32)
    >>> updater = nerva.topology.TopologyUpdater(nerva.SET(every=1), [layer], 4, 2, np.random.default_rng(0))
    >>> for step in range(4):
    ...     learn = updater.before(step)
    ...     DX = layer.backward(layer.forward(X))
    ...     if learn:
    ...         optimizer.step(layer.parameters(), 0.1)
    ...     updater.after(step, 0.1)
    >>> updater.finish()
    >>> [(record.step, record.dropped, record.grown) for record in updater.records]
    [(2, 5, 5)]
    """

    def __init__(
        self,
        method: Topology,
        layers: Sequence[Any],
        steps: int,
        steps_per_epoch: int,
        rng: np.random.Generator,
        *,
        start: bool = True,
    ) -> None:
        if not isinstance(method, Topology):
            raise TypeError(f"topology is {method!r}; it must be a nerva.Topology, for example nerva.RigL()")
        sparse = [(i, layer) for i, layer in enumerate(layers) if isinstance(getattr(layer, "weight", None), CSR)]
        if not sparse:
            hint = "give it a density below 1, or sparse=True"
            raise ValueError(f"topology is given, but the network has no sparse layer: {hint}")
        if start and not any(layer.weight.nnz for _, layer in sparse):
            raise ValueError("topology is given, but the sparse layers have no weights, which it could move")
        self.method, self.steps, self.steps_per_epoch = method, steps, steps_per_epoch
        self.when = _fitted(method.when, steps, steps_per_epoch)
        self.layers = [LayerState(i, layer, rng) for i, layer in sparse]
        self.records: list[TopologyRecord] = []
        self._now: Update | None = None
        if method.density is not None:
            initial = sum(layer.initial_nnz for layer in self.layers)
            density = initial / sum(layer.positions for layer in self.layers)
            # In weights, not densities: a network that was pruned to round(density x positions) may train on.
            if method.total(self.layers, 1.0) > initial:
                raise ValueError(
                    f"density ends at {method.density(density, 1.0)}; the sparse layers start at {density}"
                )
        if start:
            method.start(self.layers)

    def before(self, step: int) -> bool:
        """Return whether the optimizer shall step on the batch that follows `step` others; weights may move first."""
        self._now = self.when.due(step, self.steps, self.steps_per_epoch)
        if self._now is not None and self.method.moment == "before":
            self._update(0.0)
        return self._now is None or self.method.moment != "instead"

    def accumulates(self, step: int) -> bool:
        """Return whether the gradient of this batch is added to that of an update to come.

        `after` reads its factors from the layers then, so that the batch must be computed layer by layer.
        """
        if self.method.accumulate == 1:
            return False
        ahead = -step % self.when.period(self.steps_per_epoch)
        updates = self.when.updates(self.steps, self.steps_per_epoch)
        return ahead < self.method.accumulate and step + ahead in updates

    def reads_factors(self, step: int) -> bool:
        """Return whether the gradient factors of this batch may be read, so that it must be computed layer by layer."""
        due = self._now is not None and not self._without_factors
        return self.accumulates(step) or due or self.reads_last_batch(step + 1)

    def reads_last_batch(self, step: int) -> bool:
        """Return whether an update before the batch that follows `step` others reads the factors of the last of them.

        These are in no state: there is none to restore at such a step.
        """
        if self.method.moment != "before" or self._without_factors:
            return False
        return step in self.when.updates(self.steps, self.steps_per_epoch)

    def after(self, step: int, rate: float) -> None:
        """Move weights where an update is due, after the backward pass of the batch, at this learning rate."""
        self.method.each(self.layers, rate)
        if self._now is not None:
            self._update(rate)
        elif self.accumulates(step):
            for layer in self.layers:
                layer.add_factors()

    def finish(self) -> None:
        """Leave the network as it is to be used: to be called however the training run ends."""
        with deferred():
            before = Snapshot(self.layers)
            try:
                self.method.finish(self.layers)
            except BaseException:
                before.restore()
                raise

    def state(self) -> dict[str, Any]:
        """Return a copy of what is kept of each layer between two steps, and of the records so far.

        It is made of dicts, lists, tuples, arrays and numbers, and of what a user's method puts into `extra`. The
        weights, the optimizer's state and the state of the generator are not in it.
        """
        return {
            "layers": [layer.state() for layer in self.layers],
            "records": [asdict(record) for record in self.records],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned, in an updater of the same method for a network with the weights it had then.

        The state of the generator is to be restored after this object is made, since a method may draw from it at its
        start. Raises ValueError where the sparse layers are others, or have another number of weights than then.
        """
        self._check_layers(state)
        for layer, saved in zip(self.layers, state["layers"], strict=True):
            layer.restore(saved)
        # In place: the history of the training run holds this list, too.
        self.records[:] = map(_record, state["records"])

    def check(self, state: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> None:
        """Raise ValueError where `restore` could not take a state, for a network with the `layers` of a run's state."""
        self._check_layers(state)
        for layer, saved in zip(self.layers, state["layers"], strict=True):
            layer.check(saved, len(layers[layer.index]["pattern"]["indices"]))
        for saved in state["records"]:
            _record(saved)

    def _check_layers(self, state: Mapping[str, Any]) -> None:
        have, given = [layer.index for layer in self.layers], [saved["index"] for saved in state["layers"]]
        if have != given:
            raise ValueError(f"state is that of the sparse layers {given}; those of the network are {have}")

    @property
    def _without_factors(self) -> bool:
        """Whether the growth criterion reads no factors of the gradient."""
        return self.method.grow in WITHOUT_FACTORS or isinstance(self.method.grow, LinkPrediction)

    def _update(self, rate: float) -> None:
        now, self._now = self._now, None
        assert now is not None
        # Where training has diverged, of which the loop warns, there is nothing to compare.
        if all(self._finite(layer) for layer in self.layers):
            with deferred():  # a signal waits: weights, and what is kept of them, move together or not at all
                self._move(now, rate)
        for layer in self.layers:
            layer.clear_factors()  # only now: a method may rewire a layer twice, and needs them in between

    def _move(self, now: Update, rate: float) -> None:
        """Let the method move weights, and record it; where either raises, all is as it was before."""
        before, told = Snapshot(self.layers), len(self.records)
        try:
            moved = self.method.update(self.layers, now, rate)
            for layer, (dropped, grown) in zip(self.layers, moved, strict=True):
                explored = len(layer.explored)
                self.records.append(record(now.step, layer.index, layer.weight, dropped, grown, explored))
        except BaseException:
            before.restore()
            del self.records[told:]
            raise

    def _finite(self, layer: LayerState) -> bool:
        arrays = [layer.values, *(layer.dense_gradient_factors if self.method.moment == "instead" else ())]
        return all(bool(np.isfinite(array).all()) for array in arrays)


def _fitted(when: When, steps: int, steps_per_epoch: int) -> When:
    """Return a schedule that is due in a run, and warn where it is not the one given, or where none can be."""
    found = when.fitted(steps, steps_per_epoch)
    if found is not when:
        given, run = f"every={when.every} {when.unit}s", f"in a run of {steps} steps, {steps_per_epoch} an epoch"
        what = "no weight moves" if found is None else f"every={found.every} {found.unit}s is taken"
        # Of the caller of fit: this, the updater, Run, _train, fit and its method.
        warnings.warn(f"topology is never due with {given} {run}; {what}", RuntimeWarning, stacklevel=7)
    return when if found is None else found


def _record(saved: Mapping[str, Any]) -> TopologyRecord:
    return TopologyRecord(**{**saved, "fan_in": tuple(saved["fan_in"]), "fan_out": tuple(saved["fan_out"])})
