"""A compiled step in NumPy's float64, and bounds of the rounding errors that a kernel may make in it, carried along."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.csr import CSR
from nerva._kernels.operations import Product
from nerva._kernels.plan import Plan
from nerva._kernels.updates import Update

from .reference import Frame, activate, activation_slope, draw_mask, moved_images, softmax_cross_entropy

ARRAY = "array"  # beside reference.PATTERNS: a dense layer
SOURCES = ("uint8", "float32", "float64")
LIPSCHITZ = {"identity": 1.0, "relu": 1.0, "leaky_relu": 1.0, "tanh": 1.0, "sigmoid": 0.25}
LEAKY = 0.1


# ---- a network and its batch
@dataclass(frozen=True)
class Case:
    """A network of len(sizes) - 1 layers and a batch of N samples, drawn from the seed."""

    sizes: tuple
    patterns: tuple
    activations: tuple
    biased: tuple
    N: int
    source: str = "float32"
    scaled: bool = False
    shifted: bool = False
    image_shape: tuple | None = None
    samples: int = 20
    offset: int = 0
    seed: int = 0
    by_rows: bool | None = None  # whether threads share rows; as the batch and the weights say where it is None

    def network(self, dtype, bfloat16=False):
        return Network(self, np.dtype(dtype), bfloat16)


def plain_case(sizes=(30, 40, 10), N=100, pattern="half", activation="relu", **settings):
    """Equal layers with a bias, the last one without an activation."""
    count = len(sizes) - 1
    activations = (activation,) * (count - 1) + ("identity",)
    return Case(tuple(sizes), (pattern,) * count, activations, (True,) * count, N, **settings)


class Network:
    """The arrays of a Case: weights to train in place, samples, labels, and what of them a step takes."""

    def __init__(self, case, dtype, bfloat16=False):
        rng = np.random.default_rng(case.seed)
        self.case, self.dtype, self.bfloat16 = case, dtype, bfloat16
        self.weights, self.biases, self.frames = [], [], []
        for K, D, pattern, biased in zip(case.sizes[1:], case.sizes[:-1], case.patterns, case.biased, strict=True):
            mask = draw_mask(rng, K, D, "full" if pattern == ARRAY else pattern)
            values = rng.uniform(0.1, 1, mask.shape) * rng.choice([-1, 1], mask.shape)
            dense = np.where(mask, values / np.sqrt(max(1, mask.sum(1).max())), 0).astype(dtype)
            self.weights.append(self._framed(dense) if pattern == ARRAY else CSR.from_dense(dense))
            self.biases.append(self._framed(rng.standard_normal(K) / 2) if biased else None)
        self._draw_samples(rng)

    def _framed(self, values):
        self.frames.append(Frame(values, self.dtype, self.case.offset))
        return self.frames[-1].array

    def _draw_samples(self, rng):
        case, D = self.case, self.case.sizes[0]
        whole = rng.standard_normal((case.samples, D + case.offset))
        if case.source == "uint8":
            whole = rng.integers(0, 256, whole.shape)
        self.source = whole.astype(case.source)[:, :D]
        self.rows = rng.integers(0, case.samples, case.N)
        self.labels = rng.integers(0, case.sizes[-1], case.samples)
        size = 1 / 128 if case.source == "uint8" else 1.0
        self.scale = (rng.uniform(0.5, 1.5, D) * size).astype(np.float32) if case.scaled else None
        self.shift = rng.standard_normal(D).astype(np.float32) if case.shifted else None
        self.moves = None
        if case.image_shape is not None:
            _, height, width = case.image_shape
            moves = [rng.integers(1 - n, n, case.N) for n in (height, width)] + [rng.integers(0, 2, case.N)]
            self.moves = np.stack(moves, axis=1).astype(np.int32)

    def plan(self):
        alpha = {"leaky_relu": LEAKY}
        layers = [
            Product(weight, bias, (ACTIVATIONS[activation], alpha.get(activation, 0.0)))
            for weight, bias, activation in zip(self.weights, self.biases, self.case.activations, strict=True)
        ]
        return Plan(layers, self.dtype, by_rows=self.case.by_rows, bfloat16=self.bfloat16)

    @property
    def batch(self):
        """The samples, as `step` takes them."""
        return {
            "source": self.source,
            "rows": self.rows,
            "labels": self.labels,
            "scale": self.scale,
            "shift": self.shift,
            "image_shape": self.case.image_shape,
            "moves": self.moves,
        }

    def vectors(self):
        """The flat parameters, layer by layer: of each the weights in use, and the bias or None."""
        values = [weight.values if isinstance(weight, CSR) else weight.reshape(-1) for weight in self.weights]
        return list(zip(values, self.biases, strict=True))

    def dense(self):
        """The weights as float64 matrices, and where they are."""
        found = []
        for weight in self.weights:
            if isinstance(weight, CSR):
                rows = np.repeat(np.arange(weight.shape[0]), np.diff(weight.indptr))
                found.append((weight.to_dense().astype(np.float64), (rows, weight.indices)))
            else:
                found.append((weight.astype(np.float64), np.divmod(np.arange(weight.size), weight.shape[1])))
        return found

    def moments(self):
        """Zeros for a moment of every vector."""
        return [[None if vector is None else np.zeros_like(vector) for vector in pair] for pair in self.vectors()]


def updates(rule, velocity, second, born=None):
    """What `step` takes: the rule for all parameters, with their moments, and in which step each weight was born."""
    vectors = zip(velocity, second, born or [(None, None)] * len(velocity), strict=True)
    return [(rule, v, s, b) for kept in vectors for v, s, b in zip(*kept, strict=True) if v is not None]


def gradients_of(network, plan=None, **changed):
    """(loss, correct, gradients) of a step that leaves the weights as they are.

    With a rate of 0, the first velocity is the gradient, to the last bit.
    """
    velocity = network.moments()
    rule = updates(Update("momentum", 0.0, 0.5), velocity, velocity)
    loss, correct = (network.plan() if plan is None else plan).step(rule, **network.batch | changed)
    return loss, correct, velocity


# ---- what a step computes, and how far off a kernel may be
class Bounded(NamedTuple):
    """A value, how far off what is computed may be, and the size of the terms that it is the sum of."""

    value: np.ndarray
    error: np.ndarray
    size: np.ndarray

    @property
    def transposed(self):
        return Bounded(self.value.T, self.error.T, self.size.T)


class Wanted(NamedTuple):
    """Of a step: the mean loss and its bound, least and most correct predictions, outputs, gradients as `moments`."""

    loss: float
    loss_error: float
    correct: tuple
    outputs: Bounded
    gradients: list


class Oracle:
    """The step of a network in float64, with bounds for kernels of a dtype, in any order of summation."""

    def __init__(self, dtype):
        self.eps, self.tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny

    def _exact(self, value):
        value = np.asarray(value, np.float64)
        return Bounded(value, np.zeros_like(value), np.abs(value))

    def product(self, A, B, plus=0.0):
        """A B + plus: where there is nothing to add up, it is exact."""
        terms = A.value.shape[1] + 8
        size = A.size @ B.size + np.abs(plus)
        error = A.error @ np.abs(B.value) + np.abs(A.value) @ B.error + A.error @ B.error
        error = error + terms * (self.eps * (size + A.error @ B.size + A.size @ B.error) + self.tiny * (size > 0))
        value = A.value @ B.value + plus
        return Bounded(value, error, np.abs(value))

    def times(self, A, B):
        """A B, entry by entry."""
        value = A.value * B.value
        error = A.error * np.abs(B.value) + np.abs(A.value) * B.error + A.error * B.error
        return Bounded(value, error + 4 * self.eps * np.abs(value) + self.tiny * (value != 0), np.abs(value))

    def stored(self, X):
        """X as it is kept between two products."""
        return X

    def activation(self, name, Z):
        value = activate(name, Z.value, LEAKY)
        error = LIPSCHITZ[name] * Z.error + 8 * self.eps * np.abs(value) + self.tiny * (Z.error > 0)
        if name == "leaky_relu":
            error = error + 2 * self.eps * np.abs(value)  # the slope itself is rounded
        return Bounded(value, error, np.abs(value))

    def slope(self, name, Z, Y):
        """f'(Z) as it is computed from Y; anything between both slopes where the sign of Z is uncertain."""
        value = activation_slope(name, Y.value, LEAKY)
        if name in ("relu", "leaky_relu"):
            other = LEAKY if name == "leaky_relu" else 0.0
            error = (1 - other) * ((np.abs(Z.value) <= Z.error) & (Z.error > 0)) + self.eps * other
        elif name == "tanh":
            error = 2 * np.abs(Y.value) * Y.error + Y.error**2 + 4 * self.eps
        elif name == "sigmoid":
            error = np.abs(1 - 2 * Y.value) * Y.error + Y.error**2 + 4 * self.eps * value
        else:
            error = np.zeros_like(value)
        return Bounded(value, np.broadcast_to(error, value.shape), np.abs(value))

    def samples(self, network):
        """The batch X, (features, N)."""
        picked = network.source[network.rows]
        if network.moves is not None:
            picked = moved_images(picked, network.case.image_shape, network.moves)
        X = picked.astype(network.dtype).T.astype(np.float64)
        scale = 1.0 if network.scale is None else network.scale.astype(np.float64)[:, None]
        shift = 0.0 if network.shift is None else network.shift.astype(np.float64)[:, None]
        size = np.abs(X * scale) + np.abs(shift)
        exact = network.scale is None and network.shift is None
        return Bounded(X * scale + shift, np.zeros_like(size) if exact else 2 * self.eps * size, size)

    def loss(self, Z, labels):
        """(mean, its bound), (least, most) correct, and the gradient by Z."""
        N, classes = len(labels), len(Z.value)
        at = labels, np.arange(N)
        per_sample, gradient, _ = softmax_cross_entropy(Z.value, labels)
        P = gradient * N
        P[at] += 1
        far = Z.value.max(axis=0) - Z.value
        relative = np.expm1(2 * Z.error.max(axis=0) + self.eps * far) + 8 * self.eps
        total = (P * relative).sum(axis=0) + classes * self.eps
        error = P * (relative + total + 4 * self.eps) / N + self.tiny
        error[at] += 4 * self.eps / N  # of subtracting 1 / N
        each = 2 * Z.error.max(axis=0) + total + 1e-14 * (1 + np.abs(per_sample))
        gap, slack = Z.value[at] - Z.value, Z.error[at] + Z.error
        rows = np.arange(classes)[:, None]
        tie, own = (slack == 0) & (gap == 0), rows == labels
        sure = (own | (gap > slack) | (tie & (labels < rows))).all(axis=0).sum()
        possible = (own | ((gap >= -slack) & ~(tie & (rows < labels)))).all(axis=0).sum()
        return (per_sample.mean(), each.mean()), (sure, possible), Bounded(gradient, error, np.abs(gradient))

    def step(self, network):
        weights = network.dense()
        names = network.case.activations
        inputs, sums = [self.samples(network)], []
        for i, ((W, _), bias, name) in enumerate(zip(weights, network.biases, names, strict=True)):
            b = 0.0 if bias is None else bias.astype(np.float64)[:, None]
            sums.append(self.product(self._exact(W), inputs[-1], b))
            Y = self.activation(name, sums[-1])
            inputs.append(self.stored(Y) if i < len(weights) - 1 else Y)
        (loss, loss_error), correct, D = self.loss(inputs[-1], network.labels[network.rows])
        gradients = []
        for i in reversed(range(len(weights))):
            W, at = weights[i]
            D = self.times(D, self.slope(names[i], sums[i], inputs[i + 1]))
            ones = self._exact(np.ones((network.case.N, 1)))
            B = self.product(D, ones)  # of what is still in registers
            D = self.stored(D)
            G = self.product(D, inputs[i].transposed)
            gradients.append(((G.value[at], G.error[at]), (B.value[:, 0], B.error[:, 0])))
            if i:
                D = self.product(self._exact(W).transposed, D)
        return Wanted(loss, loss_error, correct, inputs[-1], gradients[::-1])


# ---- what an update rule does of a gradient
@dataclass(frozen=True)
class Rule:
    """The settings of an Update."""

    name: str
    momentum: float = 0.0
    decay: float = 0.0
    second: float = 0.0
    epsilon: float = 0.0
    clip: float = 0.0

    def at(self, rate, t):
        settings = {"second": self.second, "epsilon": self.epsilon, "clip": self.clip}
        return Update(self.name, rate, self.momentum, self.decay, t=t, **settings)

    def apply(self, rate, t, g, w, v, s):
        """(w, v, s) after the step on a gradient that is exact, each with the bound of its rounding errors.

        t : the number of the step, or that of each weight
        """
        eps, tiny = np.finfo(w.dtype).eps, np.finfo(w.dtype).tiny
        if self.clip:
            clip = float(w.dtype.type(self.clip))
            g = np.clip(g, -clip, clip)
        g, w, v, s = (np.asarray(x, np.float64) for x in (g, w, v, s))
        b1, b2, mu = self.momentum, self.second, self.momentum
        decay = 0.0 if self.name in ("adamw", "lion") else self.decay
        d, size = g + decay * w, np.abs(g) + decay * np.abs(w)
        e = 4 * eps * size + tiny
        shrink = rate * self.decay if self.name in ("adamw", "lion") else 0.0
        x, ex = w - shrink * w, 4 * eps * np.abs(w) + tiny
        if self.name == "sgd":
            return (x - rate * d, ex + rate * (e + 4 * eps * size)), (v, 0.0), (s, 0.0)
        if self.name in ("momentum", "nesterov"):
            ev = e + 4 * eps * (size + mu * np.abs(v)) + tiny
            v = mu * v + d
            move = d + mu * v if self.name == "nesterov" else v
            return (x - rate * move, ex + rate * (e + ev + 4 * eps * (np.abs(d) + np.abs(v)))), (v, ev), (s, 0.0)
        if self.name == "lion":
            c, ec = b1 * v + (1 - b1) * g, 8 * eps * (b1 * np.abs(v) + (1 - b1) * np.abs(g))
            flips = 2.0 * ((np.abs(c) <= ec + tiny) & (ec > 0))
            v, size = b2 * v + (1 - b2) * g, b2 * np.abs(v) + (1 - b2) * np.abs(g)
            return (x - rate * np.sign(c), ex + rate * (flips + 2 * eps)), (v, 8 * eps * size + tiny), (s, 0.0)
        s = b2 * s + (1 - b2) * d**2
        es = 8 * eps * s + (1 - b2) * (2 * np.abs(d) * e + e**2) + tiny
        root, least = np.sqrt(s), np.sqrt(np.maximum(s - es, 0))
        er = np.sqrt(s + es) - least + 2 * eps * root
        grow = 1.0 if self.name == "rmsprop" else (1 - b2**t) ** -0.5
        top, et = d, e
        if self.name != "rmsprop":
            top, et = b1 * v + (1 - b1) * d, (1 - b1) * e + 8 * eps * (b1 * np.abs(v) + (1 - b1) * np.abs(d)) + tiny
            v, ev, rate = top, et, rate / (1 - b1**t)
        below = grow * root + self.epsilon
        move = top / below
        em = (et + np.abs(move) * (grow * er + 8 * eps * below)) / (grow * least + self.epsilon)
        em = em + 8 * eps * np.abs(move)
        if self.name == "rmsprop" and mu:
            v, ev = mu * v + move, em + 8 * eps * (mu * np.abs(v) + np.abs(move)) + tiny
            move, em = v, ev
        elif self.name == "rmsprop":
            ev = 0.0
        return (x - rate * move, ex + rate * (em + 4 * eps * np.abs(move))), (v, ev), (s, es)


RULES = [
    Rule("sgd"),
    Rule("sgd", decay=0.1, clip=1e-3),
    Rule("momentum", 0.9, 1e-2),
    Rule("nesterov", 0.9, 1e-2, clip=3e-3),
    Rule("rmsprop", 0.0, 1e-2, 0.9, 1e-6),
    Rule("rmsprop", 0.8, 0.0, 0.9, 1e-3, clip=2e-3),
    Rule("adam", 0.9, 1e-2, 0.99, 1e-6),
    Rule("adamw", 0.8, 0.1, 0.95, 1e-5, clip=1e-2),
    Rule("lion", 0.9, 0.1, 0.95),
]
