"""A sparse layer during dynamic sparse training: what drop and growth criteria look at."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array, empty_batch
from nerva._kernels.rewiring import flat_positions, mark, union
from nerva.parameters import Parameter
from nerva.topology.supports import Positions


class SparseLayer(Protocol):
    """What is needed of a layer: nerva.SparseLinear has it."""

    @property
    def weight(self) -> CSR: ...
    @property
    def weight_gradient(self) -> Array: ...
    @property
    def dense_gradient_factors(self) -> tuple[Array, Array]: ...
    def parameters(self) -> list[Parameter]: ...
    def rewire(self, dropped: Positions, grown: Positions, values: npt.ArrayLike = 0.0) -> Positions: ...


class Explored:
    """The set of positions, of `total`, that have had a weight so far; `len` counts them.

    One bit per position where that takes at most 32 bytes for each of the `first` ones, a sorted vector otherwise.
    """

    def __init__(self, total: int, first: Positions) -> None:
        self._bits = np.zeros(-(-total // 8), np.uint8) if total <= 256 * len(first) else None
        self._count, self._positions = 0, np.empty(0, np.int64)
        self.add(first)

    def __len__(self) -> int:
        return self._count

    def add(self, positions: Positions) -> None:
        """Add positions, which must ascend."""
        if self._bits is None:
            self._positions = union(self._positions, positions)
            self._count = len(self._positions)
        else:
            self._count += mark(self._bits, positions)

    def positions(self) -> Positions:
        """Return them, ascending."""
        return self._positions if self._bits is None else np.flatnonzero(np.unpackbits(self._bits, bitorder="little"))

    def state(self) -> Array:
        """Return a copy of what is held: the bits, uint8, or the sorted positions, int64."""
        return (self._positions if self._bits is None else self._bits).copy()

    def restore(self, state: Array) -> None:
        """Hold what `state` returned."""
        if state.dtype == np.uint8:
            self._bits, self._positions = state.copy(), np.empty(0, np.int64)
            self._count = int(np.bitwise_count(state).sum())
        else:
            self._bits, self._positions, self._count = None, state.copy(), len(state)


class LayerState:
    """A sparse layer as a method of dynamic sparse training sees it, with what the method keeps of it.

    Attributes
    ----------
    index : the number of the layer in its network
    layer : the layer itself
    rng : the generator to draw from
    initial_nnz : the number of weights at the start of the training run
    per_weight : vectors (nnz,) of the method's own. `rewire` moves their entries with the weights; those of new weights
        are 0
    extra : whatever else the method keeps
    explored : the positions that have had a weight so far

    >>> from nerva.topology import LayerState
    >>> layer = nerva.SparseLinear(4, 3, weight=nerva.CSR((3, 4), [0, 2, 2, 3], [0, 3, 1], np.array([0.5, -1.0, 2.0])))
    >>> state = LayerState(0, layer, np.random.default_rng(0))
    >>> state.per_weight["age"] = np.array([7, 8, 9])
    >>> state.rewire(np.array([1]), np.array([5]), 0.0)  # drop weight 1, grow row 1, column 1
    array([ 0, -1,  2])
    >>> state.per_weight["age"], len(state.explored)
    (array([7, 0, 9]), 4)
    """

    def __init__(self, index: int, layer: SparseLayer, rng: np.random.Generator) -> None:
        self.index, self.layer, self.rng = index, layer, rng
        self.initial_nnz = int(layer.weight.nnz)
        self.per_weight: dict[str, npt.NDArray[Any]] = {}
        self.extra: dict[str, Any] = {}
        self.explored = Explored(self.positions, flat_positions(layer.weight))
        self._factors: list[tuple[Array, Array]] = []  # X and DZ of the batches before that of an update

    @property
    def weight(self) -> CSR:
        """The matrix W, shape (K, D)."""
        return self.layer.weight

    @property
    def values(self) -> Array:
        """The weights, shape (nnz,), row after row: those of the layer, not a copy."""
        return self.layer.weight.values

    @property
    def gradient(self) -> Array:
        """The gradient of each weight, shape (nnz,), in a method whose moment is "instead"."""
        return self.layer.weight_gradient

    @property
    def positions(self) -> int:
        """K D: the number of weights the dense layer would have."""
        K, D = self.weight.shape
        return int(K) * int(D)

    @property
    def empties(self) -> int:
        """The number of positions without a weight."""
        return self.positions - int(self.weight.nnz)

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row of each weight, shape (nnz,)."""
        return np.repeat(np.arange(self.weight.shape[0]), np.diff(self.weight.indptr))

    def optimizer_state(self, name: str) -> Array:
        """Return a vector (nnz,) of the optimizer's state of the weights, for example "momentum".

        Raises ValueError where the optimizer keeps none by that name.
        """
        state = self.layer.parameters()[0].state
        if name not in state:
            raise ValueError(f"the optimizer keeps no {name!r} of the weights; give one that does to fit")
        return state[name]

    @property
    def dense_gradient_factors(self) -> tuple[Array, Array]:
        """X (D, N) and DZ (K, N), whose product DZ X' is the dense gradient of this batch and those added before."""
        X, DZ = self.layer.dense_gradient_factors
        if not self._factors:
            return X, DZ
        Xs, DZs = zip(*self._factors, (X, DZ), strict=True)
        return _side_by_side(Xs), _side_by_side(DZs)

    def add_factors(self) -> None:
        """Keep the factors of this batch for the next update."""
        X, DZ = self.layer.dense_gradient_factors
        self._factors.append((X.copy(), DZ.copy()))  # the layer overwrites its buffers in the next pass

    def clear_factors(self) -> None:
        """Discard the factors that were kept for an update."""
        self._factors = []

    def rewire(self, dropped: Positions, grown: Positions, values: npt.ArrayLike) -> Positions:
        """Drop weights and grow others, with all that is kept of them; return the old index of each, -1 for a new one.

        Parameters and errors are those of nerva.SparseLinear.rewire.
        """
        source = self.layer.rewire(dropped, grown, values)
        for name, vector in self.per_weight.items():
            moved = np.zeros(len(source), vector.dtype)
            moved[source >= 0] = vector[source[source >= 0]]
            self.per_weight[name] = moved
        self.explored.add(grown)
        return source

    def state(self) -> dict[str, Any]:
        """Return a copy of what the method keeps of the layer; the weights and the optimizer's state are not in it."""
        return {
            "index": self.index,
            "initial_nnz": self.initial_nnz,
            "per_weight": {name: vector.copy() for name, vector in self.per_weight.items()},
            "extra": copy.deepcopy(self.extra),
            "explored": self.explored.state(),
            "factors": [(X.copy(), DZ.copy()) for X, DZ in self._factors],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned. The layer must have the weights it had then: restore them first.

        Raises ValueError, before anything is changed, where a vector in it does not have one entry for each weight.
        """
        self.check(state, int(self.weight.nnz))
        self.initial_nnz = int(state["initial_nnz"])
        self.per_weight = {name: np.array(vector) for name, vector in state["per_weight"].items()}
        self.extra = copy.deepcopy(dict(state["extra"]))
        self.explored.restore(np.asarray(state["explored"]))
        self._factors = [(np.array(X), np.array(DZ)) for X, DZ in state["factors"]]

    def check(self, state: Mapping[str, Any], nnz: int) -> None:
        """Raise ValueError where a state cannot be that of this layer with so many weights."""
        for name, vector in state["per_weight"].items():
            if np.shape(vector) != (nnz,):
                raise ValueError(
                    f"per_weight[{name!r}] of layer {self.index} has shape {np.shape(vector)}; the layer has {nnz} "
                    "weights: restore these first"
                )
        explored, total = np.asarray(state["explored"]), self.positions
        bits = explored.dtype == np.uint8 and explored.shape == (-(-total // 8),)
        if not bits and not (explored.dtype == np.int64 and explored.ndim == 1 and _ascends(explored, total)):
            raise ValueError(f"what layer {self.index} has explored is broken in the state")
        for X, DZ in state["factors"]:
            batch = np.shape(X)[1:]
            if (np.shape(X), np.shape(DZ)) != ((self.weight.columns, *batch), (self.weight.rows, *batch)):
                raise ValueError(f"factors of layer {self.index} have shapes {np.shape(X)} and {np.shape(DZ)}")


def _ascends(positions: Positions, total: int) -> bool:
    """Return whether positions ascend strictly, within 0 to total - 1."""
    return bool(np.all(np.diff(positions, prepend=-1, append=total) > 0))


def _side_by_side(batches: Sequence[Array]) -> Array:
    """Return batches of the same features as one, aligned as the kernels need it."""
    together = empty_batch(len(batches[0]), sum(batch.shape[1] for batch in batches), batches[0].dtype)
    return np.concatenate(batches, axis=1, out=together)


LayerStates = Sequence[LayerState]
