"""The output layer of many labels, tile by tile: no more logits are in memory than those of one tile and batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array, empty_batch, empty_vector, zeros
from nerva._kernels.products import sddmm, spmm, spmm_t
from nerva.extreme.labels import Ints
from nerva.extreme.losses import TileLoss
from nerva.layers.sparse_weights import draw_weight
from nerva.optimizers import Optimizer
from nerva.parameters import Parameter
from nerva.topology.supports import Pattern

ENTRIES = 1 << 22  # random numbers that are drawn at a time


def fan_in_at_random(K: int, D: int, count: int, rng: np.random.Generator) -> Pattern:
    """Return a pattern with count / K weights in each row, at random: as the support "fan-in", faster for many rows."""
    fan, rows = count // K, max(1, ENTRIES // D)
    indices = np.empty((K, fan), np.int64)
    for first in range(0, K, rows):
        keys = rng.random((min(rows, K - first), D), dtype=np.float32)
        indices[first : first + rows] = np.argpartition(keys, fan - 1, axis=1)[:, :fan]
    indices.sort(axis=1)
    return np.arange(0, K * fan + 1, fan), indices.ravel()


class Tile:
    """Some of the labels: their weights (labels, features) as CSR, their biases, and the optimizer state of both."""

    def __init__(self, weight: CSR, bias: Array) -> None:
        self.weight = weight
        self.parameters = [Parameter("weight", weight.values), Parameter("bias", bias)]

    @property
    def bias(self) -> Array:
        """The bias of each label."""
        return self.parameters[1].values


class TiledOutput:
    """A sparse linear layer with many outputs, as tiles of some thousand of them.

    Parameters
    ----------
    in_features, labels : of the layer
    fan_in : weights of each label
    tile : labels of a tile
    bias : of every label, at first
    rng, dtype : of the weights: the positions of each label are drawn at random, values by He from its fan-in

    A step on a tile computes logits, loss, gradients and update before the next tile is begun, so the memory that a
    batch takes is that of one tile.
    """

    def __init__(
        self,
        in_features: int,
        labels: int,
        *,
        fan_in: int,
        tile: int,
        bias: float,
        rng: np.random.Generator,
        dtype: Any,
    ) -> None:
        self.in_features, self.labels, self.dtype = in_features, labels, np.dtype(dtype)
        self.starts = np.array([*range(0, labels, tile), labels])
        how: dict[str, Any] = {
            "support": fan_in_at_random,
            "init": "he",
            "fan": "live",
            "dtype": self.dtype,
            "rng": rng,
        }
        how["density"] = fan_in / in_features
        self.tiles = []
        for rows in map(int, np.diff(self.starts)):
            biases = zeros(rows, self.dtype)
            biases[:] = bias
            self.tiles.append(Tile(draw_weight((rows, in_features), **how), biases))
        self._gradients = [empty_vector(0, self.dtype), empty_vector(0, self.dtype)]

    @property
    def nnz(self) -> int:
        """The weights that exist."""
        return sum(tile.weight.nnz for tile in self.tiles)

    @property
    def nbytes(self) -> int:
        """The bytes of weights, patterns and optimizer state."""
        return sum(tile.weight.nbytes + sum(p.nbytes for p in tile.parameters) for tile in self.tiles)

    def logits(self, H: Array) -> Iterator[tuple[int, Array]]:
        """Yield (first label, logits (labels, batch)) tile by tile, in memory that the next one overwrites."""
        Z = self._batch(H)
        for first, tile in zip(self.starts, self.tiles, strict=False):
            out = Z[: tile.weight.rows]
            spmm(tile.weight, H, out, tile.bias)
            yield int(first), out

    def step(
        self, H: Array, labels: Ints, columns: Ints, loss: TileLoss, optimizer: Optimizer, rate: float
    ) -> tuple[float, Array]:
        """Take a step on a batch; return the sum of its losses and DH (features, batch), the gradient of their mean.

        Parameters
        ----------
        H : (features, batch), what the layer reads
        labels, columns : of every label of the batch, sorted by label, and its sample
        """
        update, N = optimizer.at(rate), H.shape[1]
        DH, part = (empty_batch(self.in_features, N, self.dtype) for _ in range(2))
        DH[:] = 0
        cuts, value = np.searchsorted(labels, self.starts), 0.0
        for i, (first, Z) in enumerate(self.logits(H)):
            tile, own = self.tiles[i], slice(cuts[i], cuts[i + 1])
            value += loss(Z, labels[own] - first, columns[own])
            Z /= N
            spmm_t(tile.weight, Z, part)
            DH += part
            DW, Db = self._vectors(tile)
            sddmm(tile.weight, Z, H, DW)
            np.sum(Z, axis=1, out=Db)
            for parameter, gradient in zip(tile.parameters, (DW, Db), strict=True):
                rule, velocity, second, born = update.take(parameter)
                rule(gradient, velocity, parameter.values, second, born)
        return value, DH

    def _batch(self, H: Array) -> Array:
        """Return memory for the logits of the largest tile."""
        return empty_batch(int(np.diff(self.starts).max()), H.shape[1], self.dtype)

    def _vectors(self, tile: Tile) -> list[Array]:
        """Return memory for the gradients of a tile, which the next one overwrites."""
        for i, parameter in enumerate(tile.parameters):
            if len(self._gradients[i]) < len(parameter.values):
                self._gradients[i] = empty_vector(len(parameter.values), self.dtype)
        return [held[: len(p.values)] for held, p in zip(self._gradients, tile.parameters, strict=True)]


def as_csr(tiles: list[Tile], features: int) -> tuple[CSR, Array]:
    """Return the weights of all labels as one matrix, and their biases."""
    indptr: npt.NDArray[np.int64] = np.concatenate([[0], *(np.diff(tile.weight.indptr) for tile in tiles)]).cumsum()
    indices = np.concatenate([tile.weight.indices for tile in tiles])
    values = np.concatenate([tile.weight.values for tile in tiles])
    return CSR((len(indptr) - 1, features), indptr, indices, values), np.concatenate([tile.bias for tile in tiles])
