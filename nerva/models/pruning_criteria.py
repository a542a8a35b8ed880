"""Criteria that prune a network before it is trained, computed block by block of its dense weights.

The dense weights are a function of the seed: a block of rows is drawn when it is needed, and discarded. Biases are 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.activations import ACTIVATIONS, activation_backward, bias_activation
from nerva._kernels.memory import Array, empty_batch
from nerva._kernels.products import gemm
from nerva._kernels.softmax import softmax
from nerva.initializers import Initializer, initial_values
from nerva.layers import LEAKY_SLOPE
from nerva.losses import SoftmaxCrossEntropy
from nerva.topology.supports import Positions
from nerva.topology.top_gradients import TopK

BLOCK = 1 << 20  # weights in a block of rows
PIECEWISE_LINEAR = ("identity", "relu", "leaky_relu")


@dataclass(frozen=True)
class DenseNetwork:
    """A dense multi-layer perceptron whose weights are drawn block by block, float32 or float64, and never held.

    Parameters
    ----------
    sizes : the features from input to output
    activation : of the hidden layers
    init : of the weights (see nerva.initializers)
    dtype, seed : of the weights

    >>> from nerva.models.pruning_criteria import DenseNetwork
    >>> network = DenseNetwork((3, 4, 2), "relu", "xavier", np.dtype(np.float32), seed=0)
    >>> [[W.shape for rows, W in network.blocks(layer)] for layer in range(2)]
    [[(4, 3)], [(2, 4)]]
    """

    sizes: tuple[int, ...]
    activation: str
    init: str | Initializer
    dtype: np.dtype[Any]
    seed: int

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(K, D) of each layer."""
        return [(K, D) for D, K in pairwise(self.sizes)]

    def activation_of(self, layer: int) -> str:
        """Return the activation of a layer: "identity" for the last."""
        return self.activation if layer < len(self.shapes) - 1 else "identity"

    def blocks_of_rows(self, layer: int) -> list[slice]:
        """Return the rows of each block of a layer."""
        K, D = self.shapes[layer]
        height = max(1, BLOCK // D)
        return [slice(first, min(first + height, K)) for first in range(0, K, height)]

    def blocks(self, layer: int) -> Iterator[tuple[slice, Array]]:
        """Yield the rows and weights, shape (rows, D), of each block of a layer: the same ones every time."""
        K, D = self.shapes[layer]
        for rows in self.blocks_of_rows(layer):
            # Seeded for the block alone: it does not depend on what was drawn before.
            rng = np.random.default_rng([self.seed, layer, rows.start])
            count = (rows.stop - rows.start) * D
            yield rows, initial_values(self.init, rng, D, K, count, self.dtype).reshape(-1, D)

    def product(self, layer: int, X: Array) -> Array:
        """Return W X, shape (K, N)."""
        Z = empty_batch(self.shapes[layer][0], X.shape[1], self.dtype)
        for rows, W in self.blocks(layer):
            gemm(W, X, Z[rows])
        return Z

    def transposed_product(self, layer: int, DZ: Array) -> Array:
        """Return W' DZ, shape (D, N)."""
        DX = empty_batch(self.shapes[layer][1], DZ.shape[1], self.dtype)
        for rows, W in self.blocks(layer):
            gemm(W, DZ[rows], DX, transpose_a=True, beta=float(rows.start > 0))
        return DX

    def activation_backward(self, layer: int, Y: Array, DY: Array) -> Array:
        """Return f'(Z) DY, shape (K, N), of a layer whose outputs are Y = f(Z)."""
        DZ = empty_batch(len(DY), DY.shape[1], self.dtype)
        activation_backward(DY, Y, ACTIVATIONS[self.activation_of(layer)], LEAKY_SLOPE, DZ, None)
        return DZ

    def dense_gradient_factors(self, X: Array, y: Array) -> tuple[list[Array], list[Array]]:
        """Return X and DZ of each layer, whose product DZ X' is the gradient, and the logits as one more X.

        Of the mean softmax cross-entropy of X (features, N) with labels y (N,).
        """
        Xs = [X]
        for layer in range(len(self.shapes)):
            Z = self.product(layer, Xs[-1])
            bias_activation(None, ACTIVATIONS[self.activation_of(layer)], LEAKY_SLOPE, Z)
            Xs.append(Z)
        DY, DZs = SoftmaxCrossEntropy()(Xs[-1], y).gradient.copy(), list[Array]()
        for layer in reversed(range(len(self.shapes))):
            DZ = self.activation_backward(layer, Xs[layer + 1], DY)
            DZs.insert(0, DZ)
            if layer:
                DY = self.transposed_product(layer, DZ)
        return Xs, DZs


# (layer, rows, weights of these rows) -> their scores, of the same shape; the weights of largest score are kept.
Scores = Callable[[int, slice, Array], Array]


def snip(network: DenseNetwork, X: Array, y: Array) -> Scores:
    """Return the scores |w g|: to first order, how much the loss changes without the weight.

    N. Lee, T. Ajanthan and P. Torr, SNIP: single-shot network pruning based on connection sensitivity, ICLR 2019.
    """
    Xs, DZs = network.dense_gradient_factors(X, y)

    def scores(layer: int, rows: slice, W: Array) -> Array:
        G = np.empty_like(W)
        gemm(DZs[layer][rows], Xs[layer], G, transpose_b=True)
        G *= W
        return np.abs(G, out=G)

    return scores


def grasp(network: DenseNetwork, X: Array, y: Array) -> Scores:
    """Return the scores w (H g): to first order, how much smaller g' g is without the weight.

    H g is exact: the derivative of the gradient along g, by a forward and a backward pass of derivatives (Pearlmutter's
    R operator). The product of g with X is DZ (X' X), so that g is never formed. Raises ValueError for an
    activation that is not piecewise linear: its second derivative would be needed.

    C. Wang, G. Zhang and R. Grosse, Picking winning tickets before training by preserving gradient flow, ICLR 2020,
    equation 8, without the temperature of their code; B. A. Pearlmutter, Fast exact multiplication by the Hessian,
    Neural Computation 6, 1994.
    """
    if network.activation not in PIECEWISE_LINEAR:
        raise ValueError(f"activation is {network.activation!r}; for GraSP it must be one of {PIECEWISE_LINEAR}")
    Xs, DZs = network.dense_gradient_factors(X, y)
    N = X.shape[1]
    RXs = [np.zeros_like(X)]
    for layer in range(len(network.shapes)):
        RZ = network.product(layer, RXs[-1]) + DZs[layer] @ (Xs[layer].T @ Xs[layer])
        RXs.append(network.activation_backward(layer, Xs[layer + 1], RZ))
    P = np.empty_like(Xs[-1])
    softmax(Xs[-1], P)
    RDY = P * (RXs[-1] - (P * RXs[-1]).sum(0)) / N
    RDZs: list[Array] = []
    for layer in reversed(range(len(network.shapes))):
        RDZ = network.activation_backward(layer, Xs[layer + 1], RDY)
        RDZs.insert(0, RDZ)
        if layer:
            RDY = network.transposed_product(layer, RDZ) + Xs[layer] @ (DZs[layer].T @ DZs[layer])

    def scores(layer: int, rows: slice, W: Array) -> Array:
        return np.asarray(W * (RDZs[layer][rows] @ Xs[layer].T + DZs[layer][rows] @ RXs[layer].T))

    return scores


def keep_largest(network: DenseNetwork, scores: Scores, count: int) -> list[Positions]:
    """Return the flat positions in each layer of the `count` largest scores of all layers.

    Of equal ones, those of the first layer, and the lowest positions in it. Raises ValueError where a score is NaN.
    """
    top, start, starts = TopK(count, -np.inf), 0, [0]
    for layer, (K, D) in enumerate(network.shapes):
        for rows, W in network.blocks(layer):
            score = scores(layer, rows, W).reshape(-1)
            if np.isnan(score).any():
                raise ValueError(f"the scores of layer {layer} hold NaN: the network's outputs are too large")
            good = np.flatnonzero(score >= top.threshold) if count else np.empty(0, np.int64)
            top.offer(score[good], start + rows.start * D + good)
        start += K * D
        starts.append(start)
    positions = top.result()
    cuts = np.searchsorted(positions, starts)
    return [positions[a:b] - first for a, b, first in zip(cuts, cuts[1:], starts, strict=False)]


def synflow(network: DenseNetwork, count: int, rounds: int = 100) -> list[Positions]:
    """Return the flat positions in each layer of the `count` weights left after rounds of pruning by synaptic flow.

    R is the sum of the outputs for inputs of 1, with |w| for w and no activations; a weight's score is |w| dR/d|w|. In
    round r the lowest scores go, of equal ones those at the lowest positions, until M (count / M)^(r / rounds) of the M
    weights are left. Needs no data, and leaves no layer without weights before it must.

    H. Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020,
    algorithm 1.
    """
    total = left = sum(K * D for K, D in network.shapes)
    masks = _BlockMasks(network)
    for step in range(1, rounds + 1):
        target = count if step == rounds else round(total * (count / total) ** (step / rounds))
        if target < left:
            masks.clear(_lowest_flow(network, masks, left - target))
        left = target
    return masks.positions()


class _BlockMasks:
    """Which weights of a dense network are left: one bit for each, in blocks as they are drawn."""

    def __init__(self, network: DenseNetwork) -> None:
        self.network = network
        self.bits: list[list[npt.NDArray[np.uint8]]] = [
            [np.packbits(np.ones((rows.stop - rows.start) * D, np.bool_)) for rows in network.blocks_of_rows(layer)]
            for layer, (_, D) in enumerate(network.shapes)
        ]

    def masks(self, layer: int) -> Iterator[tuple[slice, npt.NDArray[np.bool_]]]:
        """Yield the rows of each block, and which of its weights are left, shape (rows, D)."""
        D = self.network.shapes[layer][1]
        for rows, bits in zip(self.network.blocks_of_rows(layer), self.bits[layer], strict=True):
            yield rows, np.unpackbits(bits, count=(rows.stop - rows.start) * D).astype(np.bool_).reshape(-1, D)

    def sizes(self, layer: int) -> Iterator[tuple[slice, Array]]:
        """Yield the rows of each block, and |w| in float64, 0 where it is pruned, shape (rows, D)."""
        for (rows, W), (_, mask) in zip(self.network.blocks(layer), self.masks(layer), strict=True):
            yield rows, np.abs(W, dtype=np.float64) * mask

    def clear(self, positions: Positions) -> None:
        """Prune the weights at these positions, which ascend and are counted through all layers."""
        start = 0
        for layer, blocks in enumerate(self.bits):
            for bits, (_, mask) in zip(blocks, self.masks(layer), strict=True):
                own = positions[np.searchsorted(positions, start) : np.searchsorted(positions, start + mask.size)]
                if len(own):
                    mask.reshape(-1)[own - start] = False
                    bits[:] = np.packbits(mask)
                start += mask.size

    def positions(self) -> list[Positions]:
        """Return the flat positions in each layer of the weights that are left."""
        return [
            np.concatenate([rows.start * D + np.flatnonzero(mask) for rows, mask in self.masks(layer)])
            for layer, (_, D) in enumerate(self.network.shapes)
        ]


def _lowest_flow(network: DenseNetwork, left: _BlockMasks, count: int) -> Positions:
    """Return where the `count` lowest synaptic flows of the weights left are, counted through all layers, ascending."""
    layers = range(len(network.shapes))
    forward, backward = [np.ones(network.sizes[0])], [np.ones(network.sizes[-1])]
    for layer in layers:
        forward.append(np.concatenate([W @ forward[-1] for _, W in left.sizes(layer)]))
    for layer in reversed(layers):
        zero = np.zeros(network.shapes[layer][1])
        backward.insert(0, sum((W.T @ backward[0][rows] for rows, W in left.sizes(layer)), zero))
    lowest, start = TopK(count, -np.inf), 0
    for layer, (K, D) in enumerate(network.shapes):
        for (rows, W), (_, mask) in zip(left.sizes(layer), left.masks(layer), strict=True):
            score = -(W * forward[layer] * backward[layer + 1][rows, None]).reshape(-1)
            here = np.flatnonzero(mask.reshape(-1) & (score >= lowest.threshold))
            lowest.offer(score[here], start + rows.start * D + here)
        start += K * D
    return lowest.result()
