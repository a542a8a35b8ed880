"""Networks pruned before they are trained, from dense ones that are never whole in memory.

The dense weights are a function of the seed: a block of rows is drawn when it is needed, and forgotten. A criterion
scores every position, and the best of all layers together become the weights of a sparse network, with the values they
have in the dense one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.activations import ACTIVATIONS, activation_backward, bias_activation
from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array, empty_batch
from nerva._kernels.products import gemm
from nerva._kernels.softmax import softmax
from nerva.initializers import Initializer, initial_values
from nerva.layers import LEAKY_SLOPE, SparseLinear
from nerva.losses import SoftmaxCrossEntropy
from nerva.models.sequential import Sequential
from nerva.topology.distributions import weight_count
from nerva.topology.top_gradients import Positions, TopK
from nerva.training.batches import Batches
from nerva.training.samples import Samples
from nerva.validation import check_choice, check_fraction, check_integer, check_sizes, real_dtype

BLOCK = 1 << 20  # weights in a block of rows
PIECEWISE_LINEAR = ("identity", "relu", "leaky_relu")


@dataclass(frozen=True)
class Dense:
    """A dense network of these sizes whose weights are drawn block by block, float64 or float32, without biases."""

    sizes: tuple[int, ...]
    activation: str
    init: str | Initializer
    dtype: np.dtype[Any]
    seed: int

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(K, D) of each layer."""
        return [(K, D) for D, K in pairwise(self.sizes)]

    def code(self, layer: int) -> int:
        """The activation of a layer: none at the last."""
        return ACTIVATIONS[self.activation if layer < len(self.shapes) - 1 else "identity"]

    def blocks(self, layer: int) -> Iterator[tuple[slice, Array]]:
        """Yield the rows and weights, shape (rows, D), of each block of a layer: the same ones every time."""
        K, D = self.shapes[layer]
        height = max(1, BLOCK // D)
        for first in range(0, K, height):
            rows = slice(first, min(first + height, K))
            rng = np.random.default_rng([self.seed, layer, first])
            count = (rows.stop - first) * D
            yield rows, initial_values(self.init, rng, D, K, count, self.dtype).reshape(-1, D)

    def product(self, layer: int, X: Array) -> Array:
        """W X, shape (K, N)."""
        Z = empty_batch(self.shapes[layer][0], X.shape[1], self.dtype)
        for rows, W in self.blocks(layer):
            gemm(W, X, Z[rows])
        return Z

    def transposed_product(self, layer: int, DZ: Array) -> Array:
        """W' DZ, shape (D, N)."""
        DX = empty_batch(self.shapes[layer][1], DZ.shape[1], self.dtype)
        for rows, W in self.blocks(layer):
            gemm(W, DZ[rows], DX, transpose_a=True, beta=float(rows.start > 0))
        return DX

    def signals(self, X: Array, y: Array) -> tuple[list[Array], list[Array]]:
        """X and DZ of each layer, and the logits as one more X: of the mean softmax cross-entropy with labels y."""
        Xs = [X]
        for layer in range(len(self.shapes)):
            Z = self.product(layer, Xs[-1])
            bias_activation(None, self.code(layer), LEAKY_SLOPE, Z)
            Xs.append(Z)
        DY, DZs = SoftmaxCrossEntropy()(Xs[-1], y).gradient.copy(), list[Array]()
        for layer in reversed(range(len(self.shapes))):
            DZ = empty_batch(len(DY), DY.shape[1], self.dtype)
            activation_backward(DY, Xs[layer + 1], self.code(layer), LEAKY_SLOPE, DZ, None)
            DZs.insert(0, DZ)
            if layer:
                DY = self.transposed_product(layer, DZ)
        return Xs, DZs


Scores = Callable[[int, slice, Array], Array]


def snip(dense: Dense, X: Array, y: Array) -> Scores:
    """|w g|: what the loss changes, to first order, without the weight.

    N. Lee, T. Ajanthan and P. Torr, SNIP: single-shot network pruning based on connection sensitivity, ICLR 2019.
    """
    Xs, DZs = dense.signals(X, y)

    def scores(layer: int, rows: slice, W: Array) -> Array:
        G = np.empty_like(W)
        gemm(DZs[layer][rows], Xs[layer], G, transpose_b=True)
        G *= W
        return np.abs(G, out=G)

    return scores


def grasp(dense: Dense, X: Array, y: Array) -> Scores:
    """w (H g): what the squared length of the gradient loses without the weight, to first order; the largest stay.

    C. Wang, G. Zhang and R. Grosse, Picking winning tickets before training by preserving gradient flow, ICLR 2020,
    equation 8, without the temperature of their code. H g is exact, by a forward and a backward pass of derivatives
    along g, whose product with X is DZ (X' X): g is never formed. For activations that are linear in pieces.
    """
    if dense.activation not in PIECEWISE_LINEAR:
        raise ValueError(f"activation is {dense.activation!r}; for GraSP it must be one of {PIECEWISE_LINEAR}")
    Xs, DZs = dense.signals(X, y)
    N = X.shape[1]

    def through(layer: int, Z: Array) -> Array:
        """Z f'(.) of a layer."""
        out = empty_batch(len(Z), Z.shape[1], dense.dtype)
        activation_backward(Z, Xs[layer + 1], dense.code(layer), LEAKY_SLOPE, out, None)
        return out

    RXs = [np.zeros_like(X)]
    for layer in range(len(dense.shapes)):
        RZ = dense.product(layer, RXs[-1]) + DZs[layer] @ (Xs[layer].T @ Xs[layer])
        RXs.append(through(layer, RZ))
    P = np.empty_like(Xs[-1])
    softmax(Xs[-1], P)
    RDY = P * (RXs[-1] - (P * RXs[-1]).sum(0)) / N
    RDZs: list[Array] = []
    for layer in reversed(range(len(dense.shapes))):
        RDZ = through(layer, RDY)
        RDZs.insert(0, RDZ)
        if layer:
            RDY = dense.transposed_product(layer, RDZ) + Xs[layer] @ (DZs[layer].T @ DZs[layer])

    def scores(layer: int, rows: slice, W: Array) -> Array:
        return np.asarray(W * (RDZs[layer][rows] @ Xs[layer].T + DZs[layer][rows] @ RXs[layer].T))

    return scores


ONE_SHOT: dict[str, Callable[[Dense, Array, Array], Scores]] = {"snip": snip, "grasp": grasp}
CRITERIA = (*ONE_SHOT, "synflow")


def synflow(dense: Dense, count: int, rounds: int = 100) -> list[Positions]:
    """Return the flat positions in each layer that `count` weights keep after rounds of pruning by synaptic flow.

    R is the sum of the outputs for inputs of 1, with |w| for w and no activations; a weight's score is |w| dR/d|w|. In
    round r the lowest go, of equals those at the lowest positions, until M (count / M)^(r / rounds) of the M are left.
    Needs no data, and leaves no layer empty before it must. Which weights are left is kept as one bit a position.

    H. Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020.
    """
    layers = range(len(dense.shapes))
    total = left = sum(K * D for K, D in dense.shapes)
    alive = [[np.packbits(np.ones(W.shape, np.bool_)) for _, W in dense.blocks(layer)] for layer in layers]

    def sizes(layer: int) -> Iterator[tuple[slice, Array]]:
        """|w| of each block, 0 where it is gone."""
        for (rows, W), bits in zip(dense.blocks(layer), alive[layer], strict=True):
            yield rows, np.abs(W, dtype=np.float64) * np.unpackbits(bits, count=W.size).reshape(W.shape)

    for step in range(1, rounds + 1):
        target = count if step == rounds else round(total * (count / total) ** (step / rounds))
        forward, backward = [np.ones(dense.sizes[0])], [np.ones(dense.sizes[-1])]
        for layer in layers:
            forward.append(np.concatenate([W @ forward[-1] for _, W in sizes(layer)]))
        for layer in reversed(layers):
            backward.insert(
                0, sum((W.T @ backward[0][rows] for rows, W in sizes(layer)), np.zeros(dense.shapes[layer][1]))
            )
        worst, start = TopK(left - target, -np.inf), 0
        for layer in layers:
            D = dense.shapes[layer][1]
            for (rows, W), bits in zip(sizes(layer), alive[layer], strict=True):
                score = -(W * forward[layer] * backward[layer + 1][rows, None]).reshape(-1)
                here = np.flatnonzero(np.unpackbits(bits, count=W.size).astype(np.bool_) & (score >= worst.threshold))
                worst.offer(score[here], start + rows.start * D + here)
            start += dense.shapes[layer][0] * D
        _clear(dense, alive, worst.result() if target < left else np.empty(0, np.int64))
        left = target
    return [
        np.concatenate(
            [
                rows.start * dense.shapes[layer][1] + np.flatnonzero(np.unpackbits(bits, count=W.size))
                for (rows, W), bits in zip(dense.blocks(layer), alive[layer], strict=True)
            ]
        )
        for layer in layers
    ]


def _clear(dense: Dense, alive: list[list[npt.NDArray[np.uint8]]], positions: Positions) -> None:
    """Clear the bits at these positions, counted through all layers."""
    start = 0
    for layer, blocks in enumerate(alive):
        for bits, (_, W) in zip(blocks, dense.blocks(layer), strict=True):
            own = positions[np.searchsorted(positions, start) : np.searchsorted(positions, start + W.size)] - start
            if len(own):
                flags = np.unpackbits(bits, count=W.size)
                flags[own] = 0
                bits[:] = np.packbits(flags)
            start += W.size


def pruned(
    sizes: Sequence[int],
    X: object = None,
    y: npt.ArrayLike | None = None,
    *,
    density: float,
    criterion: str = "snip",
    activation: str = "relu",
    init: str | Initializer = "xavier",
    dtype: npt.DTypeLike = np.float32,
    seed: int = 0,
    backend: str = "auto",
) -> Sequential:
    """Return a sparse multi-layer perceptron whose weights are the best of a dense one by a criterion.

    Parameters
    ----------
    sizes : the features from input to output
    X, y : samples (n, features) and integer labels (n,) that "snip" and "grasp" look at, a mini-batch or some
    density : round(density x all positions) weights stay, the best of all layers together; a layer may be left none
    criterion : "snip", "grasp" or "synflow" (see nerva.pruning)
    activation, init, dtype, backend : as in nerva.MLP
    seed : of the dense network's weights, a non-negative integer

    Memory is that of the result, of the batch's activations, and of a block of rows: the dense network never exists
    whole. All layers are nerva.SparseLinear, whatever their density; biases are 0.
    """
    check_choice(criterion, "criterion", CRITERIA)
    sizes = tuple(check_sizes(sizes))
    check_choice(activation, "activation", ACTIVATIONS)
    dense = Dense(sizes, activation, init, real_dtype(dtype), check_integer(seed, "seed", least=0))
    count = weight_count(check_fraction(density, "density"), 1, sum(K * D for K, D in dense.shapes))
    if criterion == "synflow":
        chosen = synflow(dense, count)
    else:
        if X is None or y is None:
            raise TypeError(f"X and y are missing: criterion {criterion!r} looks at samples and their labels")
        samples = Samples(X, sizes[0], dense.dtype)
        labels = SoftmaxCrossEntropy().check_targets(y, len(samples), sizes[-1])
        ((batch, targets),) = Batches(samples, labels, len(samples), dense.dtype)
        assert targets is not None
        chosen = _best(dense, ONE_SHOT[criterion](dense, batch, targets), count)
    layers = []
    for layer, ((K, D), positions) in enumerate(zip(dense.shapes, chosen, strict=True)):
        values, ends = np.empty(len(positions), dense.dtype), np.searchsorted(positions, np.arange(K + 1) * D)
        for rows, W in dense.blocks(layer):
            own = slice(ends[rows.start], ends[rows.stop])
            values[own] = W.reshape(-1)[positions[own] - rows.start * D]
        name = activation if layer < len(dense.shapes) - 1 else "identity"
        weight = CSR((K, D), ends, positions % D, values)
        layers.append(SparseLinear(D, K, weight=weight, activation=name, backend=backend))
    return Sequential(layers, rng=np.random.default_rng([seed, len(sizes)]))


def _best(dense: Dense, scores: Scores, count: int) -> list[Positions]:
    """The flat positions in each layer of the `count` best of all; of equals, the first layer's, the lowest."""
    best, start, starts = TopK(count, -np.inf), 0, [0]
    for layer, (K, D) in enumerate(dense.shapes):
        for rows, W in dense.blocks(layer):
            score = scores(layer, rows, W).reshape(-1)
            if np.isnan(score).any():
                raise ValueError(f"the scores of layer {layer} hold NaN: the network's outputs are too large")
            good = np.flatnonzero(score >= best.threshold) if count else np.empty(0, np.int64)
            best.offer(score[good], start + rows.start * D + good)
        start += K * D
        starts.append(start)
    positions = best.result()
    cuts = np.searchsorted(positions, starts)
    return [positions[a:b] - first for a, b, first in zip(cuts, cuts[1:], starts, strict=False)]
