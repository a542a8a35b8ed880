"""Sparse layers as they were before an update of the topology, to be restored where it does not come to its end."""

import copy
from collections.abc import Callable

import numpy as np

from nerva._kernels.memory import aligned_copy
from nerva.topology.layer_state import LayerState, LayerStates


class Snapshot:
    """A copy of the weights of layers, of the optimizer's state of them, and of what a method keeps of each: O(nnz).

    >>> from nerva.topology import LayerState
    >>> from nerva.topology.snapshot import Snapshot
    >>> layer = nerva.SparseLinear(3, 2, weight=nerva.CSR.from_dense(np.eye(2, 3)))
    >>> before = Snapshot([LayerState(0, layer, np.random.default_rng(0))])
    >>> source = layer.rewire(np.array([1]), np.array([5]), 0.5)
    >>> before.restore()
    >>> layer.dense_weight()
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """

    def __init__(self, layers: LayerStates) -> None:
        self._layers = [_LayerSnapshot(layer) for layer in layers]

    def restore(self) -> None:
        """Let everything be as it was; to be called once."""
        for layer in self._layers:
            layer.restore()


class _LayerSnapshot:
    def __init__(self, layer: LayerState) -> None:
        # All copies are made here: where memory is short, nothing has changed yet, and little is left to allocate.
        self._layer = layer
        own = getattr(layer.layer, "snapshot", None)  # of a layer that keeps its weights and their state elsewhere
        self._restore_weights: Callable[[], None] = _WeightsSnapshot(layer).restore if own is None else own()
        self._per_weight = {name: vector.copy() for name, vector in layer.per_weight.items()}
        self._extra, self._explored = copy.deepcopy(layer.extra), copy.deepcopy(layer.explored)
        self._drawn = copy.deepcopy(layer.rng.bit_generator.state)

    def restore(self) -> None:
        self._restore_weights()
        layer = self._layer
        layer.per_weight, layer.extra, layer.explored = self._per_weight, self._extra, self._explored
        layer.rng.bit_generator.state = self._drawn


class _WeightsSnapshot:
    def __init__(self, layer: LayerState) -> None:
        self._layer, W = layer, layer.weight
        self._memory = W.values
        self._indptr, self._indices, self._values = np.array(W.indptr), np.array(W.indices), np.array(W.values)
        self._state = {name: aligned_copy(vector) for name, vector in layer.layer.parameters()[0].state.items()}

    def restore(self) -> None:
        W, parameter = self._layer.weight, self._layer.layer.parameters()[0]
        if np.array_equal(W.indptr, self._indptr) and np.array_equal(W.indices, self._indices):
            W.values[:] = self._values
        else:
            W.replace(self._indptr, self._indices, self._values)
        parameter.state = {}
        if not np.may_share_memory(W.values, self._memory):
            # Where the number of weights changed in between, W has other memory, which the parameter is to share.
            parameter.rearrange(np.arange(len(self._values)), W.values)
        parameter.state = self._state
