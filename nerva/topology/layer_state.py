"""A sparse layer in a training that moves its weights: what drop and grow scores look at."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array, empty_batch
from nerva._kernels.rewiring import flat_positions, mark, union
from nerva.parameters import Parameter

Positions = npt.NDArray[np.int64]


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
    """Positions among `total`: a bit for each where that takes at most 32 bytes a weight, a sorted vector otherwise."""

    def __init__(self, total: int, first: Positions) -> None:
        self._bits = np.zeros(-(-total // 8), np.uint8) if total <= 256 * len(first) else None
        self._count, self._positions = 0, np.empty(0, np.int64)
        self.add(first)

    def __len__(self) -> int:
        return self._count

    def add(self, positions: Positions) -> None:
        """Add positions, which ascend."""
        if self._bits is None:
            self._positions = union(self._positions, positions)
            self._count = len(self._positions)
        else:
            self._count += mark(self._bits, positions)

    def positions(self) -> Positions:
        """Return them, ascending."""
        return self._positions if self._bits is None else np.flatnonzero(np.unpackbits(self._bits, bitorder="little"))


class LayerState:
    """One sparse layer, number `index` of its network.

    `rng` is the generator to draw from, `started` the number of weights at the beginning. `kept` holds vectors of the
    method's own, with one entry for each weight, which move with the weights and are 0 for new ones; `notes` whatever
    else it remembers. `ever` holds the positions that have had a weight so far.
    """

    def __init__(self, index: int, layer: SparseLayer, rng: np.random.Generator) -> None:
        self.index, self.layer, self.rng = index, layer, rng
        self.started = int(layer.weight.nnz)
        self.per_weight: dict[str, npt.NDArray[Any]] = {}
        self.extra: dict[str, Any] = {}
        self.ever = Explored(self.positions, flat_positions(layer.weight))
        self._batches: list[tuple[Array, Array]] = []

    @property
    def weight(self) -> CSR:
        """The matrix, shape (K, D)."""
        return self.layer.weight

    @property
    def values(self) -> Array:
        """The weights, shape (nnz,), row after row."""
        return self.layer.weight.values

    @property
    def gradient(self) -> Array:
        """The gradient of each weight, shape (nnz,), at a method whose moment is "instead"."""
        return self.layer.weight_gradient

    @property
    def positions(self) -> int:
        """K D: weights the dense layer would have."""
        K, D = self.weight.shape
        return int(K) * int(D)

    @property
    def empties(self) -> int:
        """The positions without a weight."""
        return self.positions - int(self.weight.nnz)

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row of each weight, shape (nnz,)."""
        return np.repeat(np.arange(self.weight.shape[0]), np.diff(self.weight.indptr))

    def state(self, name: str) -> Array:
        """Return a vector (nnz,) of the optimizer's state; ValueError where it keeps none by that name."""
        state = self.layer.parameters()[0].state
        if name not in state:
            raise ValueError(f"the optimizer keeps no {name!r} of the weights; give one that does to fit")
        return state[name]

    @property
    def dense_gradient_factors(self) -> tuple[Array, Array]:
        """X (D, N) and DZ (K, N), whose product DZ X' is the dense gradient: of this batch and of those added."""
        X, DZ = self.layer.dense_gradient_factors
        if not self._batches:
            return X, DZ
        Xs, DZs = zip(*self._batches, (X, DZ), strict=True)
        return _side_by_side(Xs), _side_by_side(DZs)

    def add_factors(self) -> None:
        """Keep those of this batch for the next update."""
        X, DZ = self.layer.dense_gradient_factors
        self._batches.append((X.copy(), DZ.copy()))

    def rewire(self, dropped: Positions, grown: Positions, values: npt.ArrayLike) -> Positions:
        """Move weights, and all that is kept of them; return the old number of each, -1 for a new one."""
        source = self.layer.rewire(dropped, grown, values)
        for name, vector in self.per_weight.items():
            moved = np.zeros(len(source), vector.dtype)
            moved[source >= 0] = vector[source[source >= 0]]
            self.per_weight[name] = moved
        self._batches = []
        self.ever.add(grown)
        return source


def _side_by_side(batches: Sequence[Array]) -> Array:
    """Batches of the same features as one, aligned as the kernels like it."""
    together = empty_batch(len(batches[0]), sum(batch.shape[1] for batch in batches), batches[0].dtype)
    return np.concatenate(batches, axis=1, out=together)


LayerStates = Sequence[LayerState]
