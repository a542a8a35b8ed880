"""Formulas written apart from nerva's: SymPy differentiates them, mpmath evaluates them with 40 digits.

What nerva computes in float64 has to agree to about 1e-12. The formulas are those of the papers that docstrings name.
"""

import mpmath
import numpy as np
import sympy as sp

import nerva

SIZES = [(3, 2, 2), (2, 3, 2), (2, 2, 3)]  # D, K, N

# Where a sparse layer has weights, for K outputs and D inputs: each has an output without any.
PATTERNS = {(2, 3): [[1, 0, 1], [0, 0, 0]], (3, 2): [[0, 1], [0, 0], [1, 1]], (2, 2): [[0, 0], [1, 1]]}
exact = sp.Rational  # of a float: the number that it is, not the decimal it stands for


def matrix(name, rows, columns):
    """A matrix of real symbols."""
    return sp.Matrix(rows, columns, lambda i, j: sp.Symbol(f"{name}_{i}_{j}", real=True))


def compiled(inputs, *outputs):
    """A function of arrays, one for each group of symbols, that gives each group of expressions as a float64 vector."""
    flat = [symbol for group in inputs for symbol in group]
    evaluate = sp.lambdify(flat, [list(group) for group in outputs], "mpmath", cse=True)

    def call(*arrays):
        with mpmath.workdps(40):
            numbers = [mpmath.mpf(float(x)) for array in arrays for x in np.ravel(array)]
            return [np.array([float(x) for x in group]) for group in evaluate(*numbers)]

    return call


def gradients(of, groups):
    """The derivatives by each group of symbols."""
    terms = [(term, term.free_symbols) for term in sp.Add.make_args(of)]
    return [[sum(sp.diff(t, symbol) for t, own in terms if symbol in own) for symbol in group] for group in groups]


def assert_agree(got, wanted):
    """Each array has the numbers of the vector in its place."""
    for i, (one, other) in enumerate(zip(got, wanted, strict=True)):
        np.testing.assert_allclose(np.ravel(one), np.ravel(other), rtol=1e-12, atol=1e-14, err_msg=f"number {i}")


def bent(slope):
    return lambda z: sp.Piecewise((z, z > 0), (exact(slope) * z, True))


def cut(epsilon):
    return lambda z: sp.Piecewise((z, z >= exact(epsilon)), (0, True))


def sigmoid(z):
    return 1 / (1 + sp.exp(-z))


def bent_twice(z, t_l, a_l, t_r, a_r):
    return sp.Piecewise((t_l + a_l * (z - t_l), z <= t_l), (t_r + a_r * (z - t_r), z >= t_r), (z, True))


# Key: the activation, and its formula of a number; of the softmaxes of a column; of the SReLU with its four numbers.
ELEMENTWISE = {
    "identity": ("identity", lambda z: z),
    "relu": ("relu", lambda z: sp.Max(z, 0)),
    "leaky_relu": ("leaky_relu", bent(0.01)),
    "leaky_relu of 0.3": (nerva.LeakyReLU(0.3), bent(0.3)),
    "all_relu": ("all_relu", bent(0.6)),
    "all_relu in an even layer": (nerva.AllReLU(0.3, layer=2), bent(-0.3)),
    "trelu": ("trelu", cut(1e-30)),
    "trelu of 0.5": (nerva.TReLU(0.5), cut(0.5)),
    "tanh": ("tanh", sp.tanh),
    "sigmoid": ("sigmoid", sigmoid),
    "gelu": ("gelu", lambda z: z * (1 + sp.erf(z / sp.sqrt(2))) / 2),
    "gelu_tanh": (
        "gelu_tanh",
        lambda z: z * (1 + sp.tanh(sp.sqrt(2 / sp.pi) * (z + sp.Rational("0.044715") * z**3))) / 2,
    ),
    "silu": ("silu", lambda z: z * sigmoid(z)),
}

COLUMNWISE = {
    "softmax": ("softmax", lambda z: z.applyfunc(sp.exp) / sum(z.applyfunc(sp.exp))),
    "log_softmax": ("log_softmax", lambda z: z - sp.ones(len(z), 1) * sp.log(sum(z.applyfunc(sp.exp)))),
}

SRELUS = {"srelu": ("srelu", bent_twice), "srelu per neuron": (nerva.SReLU(per="neuron"), bent_twice)}
ACTIVATIONS = ELEMENTWISE | COLUMNWISE | SRELUS
START = np.array([-0.3, 0.2, 0.3, 1.7])  # t_l, a_l, t_r, a_r of an SReLU, about


def numbers_of(letter, name, K):
    """The symbols of an SReLU as a list of one group, (4, 1) or (4, K), which is empty for the others."""
    return [matrix(letter, 4, K if name == "srelu per neuron" else 1)] if name in SRELUS else []


def activated(name, Z, numbers):
    """f(Z), symbolically."""
    formula = ACTIVATIONS[name][1]
    if name in COLUMNWISE:
        return sp.Matrix.hstack(*(formula(Z[:, n]) for n in range(Z.cols)))
    if name in SRELUS:
        return sp.Matrix(*Z.shape, lambda k, n: formula(Z[k, n], *numbers[0][:, k % numbers[0].cols]))
    return Z.applyfunc(formula)


def affine(letters, sparse, X, K):
    """W X + b, symbolically, the symbols of the weights that exist, and those of b."""
    W, b = matrix(letters[0], K, X.rows), matrix(letters[1], K, 1)
    if sparse:
        W = W.multiply_elementwise(sp.Matrix(PATTERNS[K, X.rows]))
    return W * X + b * sp.ones(1, X.cols), [w for w in W if w != 0], b


def make(kind, D, K, draws, **settings):
    """A layer whose weights, bias and SReLU's numbers are drawn."""
    if kind == "linear":
        layer = nerva.Linear(D, K, dtype=np.float64, **settings)
    else:
        weight = nerva.CSR.from_dense(np.array(PATTERNS[K, D], np.float64))
        layer = nerva.SparseLinear(D, K, weight=weight, backend=kind, **settings)
    for parameter in layer.parameters():
        n, starts = parameter.values.size, START if parameter.name == "srelu" else np.zeros(1)
        parameter.values[:] = np.repeat(starts, n // len(starts)) + draws.uniform(-1, 1, n) / len(starts) ** 2
    return layer


def cross(t, log):
    return -sum(tk * lk for tk, lk in zip(t, log, strict=True))


def cross_of_logits(t, z, smoothing=0, weights=(1, 1, 1)):
    s, total = exact(smoothing), sum(map(sp.exp, z))
    t = [exact(weight) * ((1 - s) * tk + s / len(z)) for tk, weight in zip(t, weights[: len(z)], strict=True)]
    return cross(t, [sp.log(sp.exp(zk) / total) for zk in z])


def logistic(t, z, positive=(1, 1, 1), negatives=1):
    first = sum(exact(p) * tk * sp.log(sigmoid(zk)) for tk, zk, p in zip(t, z, positive[: len(z)], strict=True))
    return -first - negatives * sum((1 - tk) * sp.log(1 - sigmoid(zk)) for tk, zk in zip(t, z, strict=True))


def squared(t, z):
    return sum((tk - zk) ** 2 for tk, zk in zip(t, z, strict=True))
