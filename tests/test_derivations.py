"""Formulas written in SymPy and differentiated there, against what nerva computes, forward and backward."""

from itertools import product

import numpy as np
import pytest
import sympy as sp

import nerva
from nerva._kernels.memory import empty_batch
from nerva.training import train_batch

SIZES = [(3, 2, 2), (2, 3, 2), (2, 2, 3)]  # D, K, N
T_L, A_L, T_R, A_R = sp.symbols("t_l a_l t_r a_r")
NUMBERS = {T_L: -0.4, A_L: 0.3, T_R: 0.6, A_R: 1.7}  # of the SReLU


def each(f):
    return lambda Z: Z.applyfunc(f)


def kinked(slope):
    return each(lambda z: sp.Piecewise((z, z > 0), (slope * z, True)))


def softmax(Z):
    return sp.Matrix(*Z.shape, lambda k, n: sp.exp(Z[k, n]) / sum(sp.exp(Z[i, n]) for i in range(Z.rows)))


FUNCTIONS = {
    "identity": ("identity", lambda Z: Z),
    "relu": ("relu", kinked(0)),
    "leaky": (nerva.LeakyReLU(0.2), kinked(sp.Rational(1, 5))),
    "all-relu": (nerva.AllReLU(0.6), kinked(sp.Rational(3, 5))),
    "all-relu, second": (nerva.AllReLU(0.6, layer=2), kinked(-sp.Rational(3, 5))),
    "trelu": (nerva.TReLU(0.25), each(lambda z: sp.Piecewise((z, z >= sp.Rational(1, 4)), (0, True)))),
    "srelu": (
        nerva.SReLU(*(NUMBERS[s] for s in (T_L, A_L, T_R, A_R))),
        each(lambda z: sp.Piecewise((T_L + A_L * (z - T_L), z <= T_L), (z, z < T_R), (T_R + A_R * (z - T_R), True))),
    ),
    "tanh": ("tanh", each(sp.tanh)),
    "sigmoid": ("sigmoid", each(lambda z: 1 / (1 + sp.exp(-z)))),
    "silu": ("silu", each(lambda z: z / (1 + sp.exp(-z)))),
    "gelu": ("gelu", each(lambda z: z * (1 + sp.erf(z / sp.sqrt(2))) / 2)),
    "gelu-tanh": (
        "gelu_tanh",
        each(lambda z: z * (1 + sp.tanh(sp.sqrt(2 / sp.pi) * (z + sp.Rational(44715, 10**6) * z**3))) / 2),
    ),
    "softmax": ("softmax", softmax),
    "log-softmax": ("log_softmax", lambda Z: softmax(Z).applyfunc(sp.log)),
}


class Values:
    """Symbols and the numbers they stand for."""

    def __init__(self):
        self.numbers = dict(NUMBERS)

    def matrix(self, name, array):
        """Symbols for an array's numbers; zeros, where there is no weight, stay zeros."""
        array = np.asarray(array)
        matrix = sp.zeros(*array.shape)
        for i, j in product(*map(range, array.shape)):
            if array[i, j] != 0:
                matrix[i, j] = sp.Symbol(f"{name}{i}_{j}")
                self.numbers[matrix[i, j]] = float(array[i, j])
        return matrix

    def at(self, *expressions):
        """The numbers that expressions are."""
        names, numbers = zip(*self.numbers.items(), strict=True)
        return np.array(sp.lambdify(names, expressions, "scipy", cse=True)(*numbers), float)

    def array(self, matrix):
        return self.at(*matrix).reshape(matrix.shape)

    def gradient(self, loss, matrix):
        """The derivatives of a loss by a matrix of symbols, 0 where that holds a 0."""
        return self.at(*(sp.diff(loss, s) if s != 0 else 0 for s in matrix)).reshape(matrix.shape)


def batch(array):
    columns = empty_batch(*array.shape, np.float64)
    columns[:] = array
    return columns


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)


def patterned(D, K, rng):
    """A weight of every row but the last, which has none, and one more."""
    W = np.zeros((K, D))
    W[np.arange(K - 1), rng.integers(0, D, K - 1)] = rng.standard_normal(K - 1)
    W[0, rng.integers(0, D)] = 0.7
    return W


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["sparse", "dense"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_linear_layers(name, kind, size):
    (function, formula), (D, K, N), rng, values = FUNCTIONS[name], size, np.random.default_rng(size), Values()
    if kind == "sparse":
        dense = patterned(D, K, rng)
        layer = nerva.SparseLinear(D, K, weight=nerva.CSR.from_dense(dense), activation=function)
    else:
        dense = rng.standard_normal((K, D))
        layer = nerva.Linear(D, K, activation=function, dtype=np.float64)
        layer.weight = dense
    layer.bias = b = rng.standard_normal(K)
    X, C = rng.standard_normal((D, N)), rng.standard_normal((K, N))
    x, w, bias = values.matrix("x", X), values.matrix("w", dense), values.matrix("b", b[:, None])
    Y = formula(w * x + bias * sp.ones(1, N))
    loss = sum(c * y for c, y in zip(C.ravel(), Y, strict=True))
    close(layer.forward(batch(X)), values.array(Y))
    close(layer.backward(batch(C)), values.gradient(loss, x))
    DW = values.gradient(loss, w)
    close(np.ravel(layer.weight_gradient), DW[dense != 0] if kind == "sparse" else DW.ravel())
    close(layer.bias_gradient, values.gradient(loss, bias)[:, 0])
    if name == "srelu":
        (numbers,) = (p for p in layer.parameters() if p.name == "srelu")
        close(numbers.gradient, values.at(*(sp.diff(loss, s) for s in (T_L, A_L, T_R, A_R))))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_batch_norm(size, training):
    (_, K, N), rng, values = size, np.random.default_rng(size), Values()
    layer = nerva.BatchNorm(K, epsilon=0.01, dtype=np.float64)
    layer.gamma, layer.beta = rng.standard_normal(K), rng.standard_normal(K)
    layer.running_mean[:], layer.running_variance[:] = rng.standard_normal(K), rng.random(K)
    X, C = rng.standard_normal((K, N)), rng.standard_normal((K, N))
    x = values.matrix("x", X)
    gamma, beta = values.matrix("g", layer.gamma[:, None]), values.matrix("b", layer.beta[:, None])
    rows = []
    for k in range(K):
        mean, variance = sum(x.row(k)) / N, sum((s - sum(x.row(k)) / N) ** 2 for s in x.row(k)) / N
        if not training:
            mean, variance = layer.running_mean[k], layer.running_variance[k]
        rows.append([gamma[k] * (s - mean) / sp.sqrt(variance + sp.Rational(1, 100)) + beta[k] for s in x.row(k)])
    Y = sp.Matrix(rows)
    close(layer.forward(batch(X), training=training), values.array(Y))
    if training:
        loss = sum(c * y for c, y in zip(C.ravel(), Y, strict=True))
        close(layer.backward(batch(C)), values.gradient(loss, x))
        for parameter, symbols in zip(layer.parameters(), (gamma, beta), strict=True):
            close(parameter.gradient, values.gradient(loss, symbols)[:, 0])


def test_dropped_weights():
    """The weights that stay are seen in the outputs for unit vectors."""
    rng, values, (K, D) = np.random.default_rng(0), Values(), (4, 5)
    dense = rng.standard_normal((K, D)) * (rng.random((K, D)) < 0.7)
    layer = nerva.SparseLinear(D, K, weight=nerva.CSR.from_dense(dense), drop_connect=0.4, bias=False, rng=1)
    X, C = batch(np.eye(D)), rng.standard_normal((K, D))
    stays = (layer.forward(X) != 0).astype(int)
    assert 0 < stays.sum() < np.count_nonzero(dense)
    w, x = values.matrix("w", dense), sp.Matrix(D, D, lambda i, j: sp.Symbol(f"x{i}_{j}"))
    values.numbers.update({s: float(i == j) for (i, j), s in zip(product(range(D), range(D)), x, strict=True)})
    Y = sp.Matrix(K, D, lambda k, d: w[k, d] * int(stays[k, d]) / sp.Rational(3, 5)) * x
    loss = sum(c * y for c, y in zip(C.ravel(), Y, strict=True))
    close(layer.backward(batch(C)), values.gradient(loss, x))
    close(layer.weight_gradient, values.gradient(loss, w)[dense != 0])


LABELS, ROWS = np.array([1, 0]), np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
WEIGHTS = [0.5, 2.0, 1.5]


def cross(T, Y):
    """-sum T log Y, sample by sample."""
    return [-sum(T[n, k] * sp.log(Y[k, n]) for k in range(3)) for n in range(2)]


def logistic(T, Z, p, negatives=1):
    def each_label(t, z):
        return -p * t * sp.log(1 / (1 + sp.exp(-z))) - negatives * (1 - t) * sp.log(1 - 1 / (1 + sp.exp(-z)))

    return [sum(each_label(T[n, k], Z[k, n]) for k in range(3)) for n in range(2)]


ONE_HOT = np.eye(3)[LABELS]
SMOOTH = 0.9 * ONE_HOT + 0.1 / 3
LOSSES = {  # the loss, its targets, the losses of the samples, and what these are divided by
    "softmax": (nerva.SoftmaxCrossEntropy(), LABELS, lambda Z: cross(ONE_HOT, softmax(Z)), 2),
    "softmax of rows": (nerva.SoftmaxCrossEntropy(), ROWS, lambda Z: cross(ROWS, softmax(Z)), 2),
    "smoothed": (nerva.SoftmaxCrossEntropy(label_smoothing=0.1), LABELS, lambda Z: cross(SMOOTH, softmax(Z)), 2),
    "class weights": (
        nerva.SoftmaxCrossEntropy(class_weights=WEIGHTS),
        LABELS,
        lambda Z: cross(ONE_HOT * WEIGHTS, softmax(Z)),
        2.5,
    ),
    "cross-entropy": (nerva.CrossEntropy(), ROWS, lambda Y: cross(ROWS, Y), 2),
    "likelihood": (nerva.NegativeLogLikelihood(), LABELS, lambda Z: [-Z[1, 0], -Z[0, 1]], 2),
    "likelihood of probabilities": (
        nerva.NegativeLogLikelihood("probabilities"),
        ROWS,
        lambda Y: [-sp.log(sum(ROWS[n, k] * Y[k, n] for k in range(3))) for n in range(2)],
        2,
    ),
    "logistic": (nerva.LogisticCrossEntropy(positive_weights=[3.0]), ROWS, lambda Z: logistic(ROWS, Z, 3), 2),
    "positives": (nerva.LogisticCrossEntropy(negatives=False), ROWS, lambda Z: logistic(ROWS, Z, 1, 0), 2),
    "squared": (
        nerva.SquaredError(),
        ROWS,
        lambda Y: [sum((Y[k, n] - ROWS[n, k]) ** 2 for k in range(3)) for n in range(2)],
        2,
    ),
    "mean squared": (
        nerva.MeanSquaredError(),
        ROWS,
        lambda Y: [sum((Y[k, n] - ROWS[n, k]) ** 2 for k in range(3)) for n in range(2)],
        6,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    (loss, targets, formula, count), values = LOSSES[name], Values()
    Z = np.random.default_rng(3).random((3, 2)) + 0.1
    z = values.matrix("z", Z)
    whole = sum(formula(z)) / count
    value, gradient, _, _ = loss(batch(Z), loss.check_targets(targets, 2, 3))
    close(value, values.at(whole)[0])
    close(gradient, values.gradient(whole, z))


@pytest.mark.parametrize("name", ["relu", "tanh", "srelu", "gelu", "all-relu, second"])
def test_a_network_of_sparse_layers(name):
    (function, formula), rng, values = FUNCTIONS[name], np.random.default_rng(5), Values()
    dense = [patterned(3, 3, rng), patterned(3, 3, rng)]
    layers = [
        nerva.SparseLinear(3, 3, weight=nerva.CSR.from_dense(W), activation=f, bias=False)
        for W, f in zip(dense, (function, "identity"), strict=True)
    ]
    X = rng.standard_normal((3, 2))
    w, v = (values.matrix(letter, W) for letter, W in zip("wv", dense, strict=True))
    loss = sum(cross(ONE_HOT, softmax(v * formula(w * values.matrix("x", X))))) / 2
    model = nerva.Sequential(layers)
    value = train_batch(model, batch(X), LABELS, nerva.SGD(), 0.1, nerva.SoftmaxCrossEntropy(), learn=False).value
    close(value, values.at(loss)[0])
    for layer, symbols, W in zip(layers, (w, v), dense, strict=True):
        close(layer.weight_gradient, values.gradient(loss, symbols)[W != 0])


RATE, MU, DECAY = sp.Rational(1, 10), sp.Rational(9, 10), sp.Rational(1, 20)
B1, B2, EPSILON = sp.Rational(8, 10), sp.Rational(9, 10), sp.Rational(1, 1000)


def descent(w, gradients):
    for g in gradients:
        w -= RATE * (g + DECAY * w)
    return w


def heavy_ball(w, gradients, nesterov):
    v = 0
    for g in gradients:
        d = g + DECAY * w
        v = MU * v + d
        w -= RATE * (d + MU * v if nesterov else v)
    return w


def adam(w, gradients, decoupled):
    m = s = 0
    for t, g in enumerate(gradients, 1):
        if decoupled:
            w -= RATE * DECAY * w
        else:
            g += DECAY * w
        m, s = B1 * m + (1 - B1) * g, B2 * s + (1 - B2) * g**2
        w -= RATE * (m / (1 - B1**t)) / (sp.sqrt(s / (1 - B2**t)) + EPSILON)
    return w


def rmsprop(w, gradients):
    s = 0
    for g in gradients:
        g += DECAY * w
        s = B2 * s + (1 - B2) * g**2
        w -= RATE * g / (sp.sqrt(s) + EPSILON)
    return w


def lion(w, gradients):
    m = 0
    for g in gradients:
        w -= RATE * (sp.sign(B1 * m + (1 - B1) * g) + DECAY * w)
        m = B2 * m + (1 - B2) * g
    return w


OPTIMIZERS = {
    "sgd": (nerva.SGD(weight_decay=0.05), descent),
    "momentum": (nerva.Momentum(0.9, weight_decay=0.05), lambda w, g: heavy_ball(w, g, False)),
    "nesterov": (nerva.Nesterov(0.9, weight_decay=0.05), lambda w, g: heavy_ball(w, g, True)),
    "rmsprop": (nerva.RMSprop(0.9, epsilon=1e-3, weight_decay=0.05), rmsprop),
    "adam": (nerva.Adam(0.8, 0.9, epsilon=1e-3, weight_decay=0.05), lambda w, g: adam(w, g, False)),
    "adamw": (nerva.AdamW(0.8, 0.9, epsilon=1e-3, weight_decay=0.05), lambda w, g: adam(w, g, True)),
    "lion": (nerva.Lion(0.8, 0.9, weight_decay=0.05), lion),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    optimizer, formula = OPTIMIZERS[name]
    numbers, parameter = [0.7, -0.3, 0.2, 0.9], nerva.Parameter("w", np.full(1, 0.5))
    w, *gradients = sp.symbols("w g1:5")
    for t, number in enumerate(numbers, 1):
        parameter.gradient[:] = number
        optimizer.step([parameter], 0.1)
        at = {w: sp.Rational(1, 2), **dict(zip(gradients, map(sp.nsimplify, numbers[:t]), strict=False))}
        close(parameter.values[0], float(sp.N(formula(w, gradients[:t]).subs(at), 30)))
