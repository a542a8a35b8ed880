"""Dynamic sparse training as others write it: dense weights under a mask, dense gradients, in NumPy.

A network of ReLU layers with softmax cross-entropy, momentum or plain gradient descent. Random growth is given the
positions: `draw(rng, empties, count)` returns ranks among the empty positions, and both sides draw alike.
"""

import numpy as np


class Masked:
    """A network whose weights are dense arrays, zero where the mask is."""

    def __init__(self, weights, masks, biases, momentum=0.0):
        self.W = [W.astype(np.float64).copy() for W in weights]
        self.M = [M.copy() for M in masks]
        self.b = [b.astype(np.float64).copy() for b in biases]
        self.vW = [np.zeros_like(W) for W in self.W]
        self.vb = [np.zeros_like(b) for b in self.b]
        self.momentum = momentum

    def gradients(self, X, y):
        """The dense gradients of the mean loss, and those of the biases; X (features, batch)."""
        ys, Y = [X], X
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            Z = W @ Y + b[:, None]
            Y = np.maximum(Z, 0) if i < len(self.W) - 1 else Z
            ys.append(Y)
        P = np.exp(Y - Y.max(0))
        P /= P.sum(0)
        P[y, np.arange(len(y))] -= 1
        DZ = P / len(y)
        dW, db = [None] * len(self.W), [None] * len(self.W)
        for i in reversed(range(len(self.W))):
            if i < len(self.W) - 1:
                DZ = DZ * (ys[i + 1] > 0)
            dW[i], db[i] = DZ @ ys[i].T, DZ.sum(1)
            DZ = self.W[i].T @ DZ
        return dW, db

    def step(self, X, y, rate):
        dW, db = self.gradients(X, y)
        for i in range(len(self.W)):
            self.vW[i] = (self.momentum * self.vW[i] + dW[i]) * self.M[i]
            self.vb[i] = self.momentum * self.vb[i] + db[i]
            self.W[i] = self.W[i] - rate * self.vW[i]
            self.b[i] = self.b[i] - rate * self.vb[i]

    def swap(self, i, dropped, grown, values=0.0):
        """Clear the flat positions dropped, set those grown."""
        W, M, v = self.W[i].reshape(-1), self.M[i].reshape(-1), self.vW[i].reshape(-1)
        W[dropped], M[dropped], v[dropped] = 0, False, 0
        W[grown], M[grown], v[grown] = values, True, 0


def first(scores, allowed, count):
    """The flat positions of the lowest scores where allowed, ties to the lower position: one whole sort."""
    flat = np.flatnonzero(allowed.reshape(-1))
    order = sorted(flat, key=lambda p: (scores.reshape(-1)[p], p))
    return np.sort(np.array(order[:count], dtype=np.int64))


def rounded(x):
    return int(np.floor(x + 0.5))


def magnitude_drop(net, i, count):
    return first(np.abs(net.W[i]), net.M[i], count)


def set_drop(net, i, count):
    W, M = net.W[i], net.M[i]
    positive, negative = M & (W >= 0), M & (W < 0)
    many = rounded(count * positive.sum() / M.sum())
    many = min(max(many, count - negative.sum()), positive.sum())
    return np.sort(np.concatenate([first(W, positive, many), first(-W, negative, count - many)]))


def random_grow(net, i, count, rng, draw):
    empties = np.flatnonzero(~net.M[i].reshape(-1))
    return empties[draw(rng, len(empties), count)]


def momentum_grow(net, i, count, rng, draw):
    """Positions drawn by |momentum| of row and of column, those taken drawn again; the last ones uniformly."""
    V = np.abs(net.vW[i])
    (K, D), rows, columns = V.shape, V.sum(1).cumsum(), V.sum(0).cumsum()
    chosen = set()
    for _ in range(32):
        left = count - len(chosen)
        if left == 0 or rows[-1] == 0:
            break
        u, v = rng.random(left), rng.random(left)
        k = [min(sum(x * rows[-1] >= rows), K - 1) for x in u]
        d = [min(sum(x * columns[-1] >= columns), D - 1) for x in v]
        chosen |= {a * D + b for a, b in zip(k, d, strict=True) if not net.M[i][a, b]}
    while len(chosen) < count:
        empties = np.flatnonzero(~net.M[i].reshape(-1))
        others = [p for p in empties[draw(rng, len(empties), min(count, len(empties)))] if p not in chosen]
        chosen |= set(rng.permutation(others)[: count - len(chosen)].tolist())
    return np.array(sorted(chosen), np.int64)


def gradient_grow(net, i, count, dW):
    return first(-np.abs(dW[i]), ~net.M[i], count)


def cosine(fraction, t):
    return fraction * (1 + np.cos(np.pi * t)) / 2


def cubic(start, final, progress):
    return final + (start - final) * (1 - progress) ** 3


def global_prune(net, total):
    """Clear the smallest weights of all layers, ties to the earlier layer, until `total` are left."""
    entries = [
        (abs(net.W[i].reshape(-1)[p]), i, p) for i in range(len(net.W)) for p in np.flatnonzero(net.M[i].reshape(-1))
    ]
    gone = sorted(entries)[: max(0, len(entries) - total)]
    return [np.sort(np.array([p for _, j, p in gone if j == i], dtype=np.int64)) for i in range(len(net.W))]
