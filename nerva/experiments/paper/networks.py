"""The networks that the experiments train, drawn from seeds: supports from one, initial weights from another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva.experiments.paper.protocol import initial_rng
from nerva.models.mlp import MLP
from nerva.models.sequential import Sequential
from nerva.topology.distributions import distribute, weight_count
from nerva.topology.supports import as_support
from nerva.validation import check_choice

# How weights are shared out among the layers, and how their positions are drawn in a layer.
WAYS = {
    "erdos-renyi": ("erdos-renyi", "random"),
    "uniform": ("uniform", "random"),
    "balanced": ("balanced", "random"),
    "fan-in": ("erdos-renyi", "fan-in"),
    "twice": ("erdos-renyi", "random"),
    "twice-biased": ("erdos-renyi", "random"),
}


def network(
    sizes: Sequence[int],
    sparsity: float,
    *,
    support_seed: int,
    weight_seed: int,
    way: str = "erdos-renyi",
    dtype: npt.DTypeLike = np.float32,
) -> Sequential:
    """Return a perceptron with ReLU of so many features, Xavier weights and zero biases.

    Parameters
    ----------
    sizes : features of each layer
    sparsity : 1 - the density of the whole network
    support_seed, weight_seed : of the positions of weights, and of their values
    way : a name in WAYS; "twice" draws two masks, as the original's baseline did: the second one are the weights, and
        those that the first one lacks begin at zero; "twice-biased" draws biases, too, as PyTorch's nn.Linear does
    dtype : float64 takes the values of float32, so that two networks of one seed are the same

    Raises ValueError for an unknown way, and what MLP raises.
    """
    distribution, name = WAYS[check_choice(way, "way", WAYS)]
    densities = distribute(distribution, list(pairwise(sizes)), 1.0 - sparsity)
    rng = initial_rng(support_seed)
    first = _patterns(sizes, densities, name, rng) if way.startswith("twice") else None
    patterns = _patterns(sizes, densities, name, rng)
    given: list[Any] = [1.0 if pattern is None else None for pattern in patterns]
    values = np.random.default_rng([weight_seed, 1])
    model = MLP(sizes, density=given, support=patterns, seed=values)
    for layer, kept in zip(model.layers, first or (), strict=bool(first)):
        if kept is not None:
            W: CSR = layer.weight  # type: ignore[attr-defined]
            W.values[~np.isin(_positions(W), _positions(kept))] = 0.0
    for D, layer in zip(sizes, model.layers if way == "twice-biased" else (), strict=False):
        layer.bias[:] = values.uniform(-1.0, 1.0, layer.bias.shape) / D**0.5  # type: ignore[attr-defined]
    return model if np.dtype(dtype) == model.dtype else model.astype(dtype)


def _patterns(
    sizes: Sequence[int], densities: Sequence[float], support: str, rng: np.random.Generator
) -> list[CSR | None]:
    """Draw the positions of each layer's weights; None for a dense layer."""
    patterns: list[CSR | None] = []
    for (D, K), density in zip(pairwise(sizes), densities, strict=True):
        if density == 1.0:
            patterns.append(None)
            continue
        indptr, indices = as_support(support)(K, D, weight_count(density, K, D), rng)
        patterns.append(CSR((K, D), indptr, indices, np.ones(len(indices), np.float32)))
    return patterns


def _positions(W: CSR) -> npt.NDArray[np.int64]:
    """Return row x columns + column of each weight, ascending."""
    rows = np.repeat(np.arange(W.shape[0], dtype=np.int64), np.diff(W.indptr))
    return rows * W.shape[1] + W.indices
