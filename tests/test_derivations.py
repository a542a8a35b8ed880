"""Every formula against a symbolic one written apart: SymPy differentiates the forward pass, mpmath evaluates it.

What nerva computes in float64 has to agree with 40 digits to about 1e-12. Losses, optimizers and schedules likewise,
from the formulas of the papers their docstrings name.
"""

import copy
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp

import nerva
from nerva.activations import NAMES
from nerva.losses import LOSSES
from nerva.losses.targets import weighted
from nerva.optimizers import OPTIMIZERS

SIZES = [(3, 2, 2), (2, 3, 2), (2, 2, 3)]  # D, K, N
KINDS = ("linear", "native", "mkl", "dense")
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


# ---- activations


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


@cache
def derived(sparse, size, name):
    """Y, DX, DW, Db and the gradient of an SReLU's numbers, as a function of DY, X, W, b and these numbers."""
    D, K, N = size
    X, DY, numbers = matrix("x", D, N), matrix("c", K, N), numbers_of("s", name, K)
    Z, *parameters = affine("wb", sparse, X, K)
    Y = activated(name, Z, numbers)
    groups = [X, *parameters, *numbers]
    return compiled([DY, *groups], Y, *gradients(sum(DY.multiply_elementwise(Y)), groups))


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


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_linear_layer_with_every_activation(kind, name, size):
    D, K, N = size
    rng, last = np.random.default_rng(5), []
    layer = make(kind, D, K, rng, activation=ACTIVATIONS[name][0])
    for _ in range(3):
        X, DY = 2 * rng.standard_normal((D, N)), rng.standard_normal((K, N))
        wanted = derived(kind != "linear", size, name)(DY, X, *(p.values for p in layer.parameters()))
        assert_agree([layer.forward(X).copy(), layer.backward(DY), *(p.gradient for p in layer.parameters())], wanted)
        last.append(wanted[-1])
    if name in SRELUS:
        assert np.any(last, axis=0).reshape(4, -1).any(axis=1).all()  # both outer pieces were reached


@pytest.mark.parametrize(
    ("activation", "z", "slope"),
    [
        ("relu", 0.0, 0.0),
        (nerva.LeakyReLU(0.3), 0.0, 0.3),
        (nerva.AllReLU(0.3, layer=1), 0.0, 0.3),
        (nerva.AllReLU(0.3, layer=2), 0.0, -0.3),
        (nerva.TReLU(0.5), 0.5, 1.0),
        (nerva.TReLU(0.5), 0.0, 0.0),
        (nerva.SReLU(-0.5, 0.2, 0.5, 1.7), -0.5, 0.2),
        (nerva.SReLU(-0.5, 0.2, 0.5, 1.7), 0.5, 1.7),
        (nerva.SReLU(0.5, 0.2, 0.5, 1.7), 0.5, 0.2),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["activation", "linear", "sparse"])
def test_the_slope_at_a_kink_is_the_documented_one(kind, activation, z, slope):
    settings = {"activation": activation, "dtype": np.float64, "init": lambda *_: np.ones(1)}
    layer = nerva.Activation(activation)
    if kind != "activation":
        layer = nerva.Linear(1, 1, **settings) if kind == "linear" else nerva.SparseLinear(1, 1, density=1, **settings)
    layer.forward(np.array([[z]]))
    assert layer.backward(np.array([[2.0]])) == 2 * slope


# ---- normalization and dropout


@pytest.mark.parametrize("size", [(1, 4), (2, 3)], ids=str)
@pytest.mark.parametrize("name", ["identity", "tanh", "gelu"])
def test_batch_normalization(name, size):
    (K, N), rng = size, np.random.default_rng(8)
    X, DY = matrix("x", K, N), matrix("c", K, N)
    gamma, beta, mean, variance = (matrix(letter, K, 1) for letter in "gbmv")
    epsilon, rate = sp.symbols("epsilon rate", positive=True)
    means = [sum(X[k, :]) / N for k in range(K)]
    squares = [sum((x - means[k]) ** 2 for x in X[k, :]) for k in range(K)]

    def outputs(m, v):
        rows = [gamma[k] * (X[k, :] - m[k] * sp.ones(1, N)) / sp.sqrt(v[k] + epsilon) for k in range(K)]
        return activated(name, sp.Matrix.vstack(*rows) + beta * sp.ones(1, N), [])

    Y = outputs(means, [s / N for s in squares])
    moved = [[(1 - rate) * mean[k] + rate * means[k] for k in range(K)]]
    moved += [[(1 - rate) * variance[k] + rate * squares[k] / (N - 1) for k in range(K)]]
    back = gradients(sum(DY.multiply_elementwise(Y)), [X, gamma, beta])
    inputs = [X, DY, gamma, beta, mean, variance, [epsilon, rate]]
    formulas = compiled(inputs, outputs(mean, variance), Y, *back, *moved)

    layer = nerva.BatchNorm(K, momentum=0.3, epsilon=1e-3, activation=name, dtype=np.float64)
    running = [layer.running_mean, layer.running_variance]
    for values in (layer.gamma, layer.beta, *running):
        values[:] = rng.uniform(0.5, 1.5, K)
    x, dy = rng.standard_normal((2, K, N))
    wanted = formulas(x, dy, layer.gamma, layer.beta, *running, [1e-3, 0.3])
    got = [layer.forward(x, training=False).copy(), layer.forward(x).copy(), layer.backward(dy)]
    assert_agree([*got, *(parameter.gradient for parameter in layer.parameters()), *running], wanted)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_dropout(size):
    """Which numbers stay is seen in what comes out."""
    _, K, N = size
    rng, seen, layer = np.random.default_rng(3), set(), nerva.Dropout(0.4, rng=1)
    X, DY, M, p = matrix("x", K, N), matrix("c", K, N), matrix("m", K, N), sp.Symbol("p")
    Y = X.multiply_elementwise(M) / (1 - p)
    formulas = compiled([X, DY, M, [p]], Y, *gradients(sum(DY.multiply_elementwise(Y)), [X]))
    for _ in range(5):
        x, dy = rng.standard_normal((2, K, N))
        y = layer.forward(x).copy()
        assert_agree([y, layer.backward(dy)], formulas(x, dy, y != 0, [0.4]))
        seen |= set(np.ravel(y != 0))
    assert seen == {True, False}
    assert_agree([layer.forward(x, training=False)], [x])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_drop_connect(kind, size):
    """Which weights stay is seen in a copy of the layer, whose first training step has the identity for X."""
    (D, K, N), rng, seen, rate = size, np.random.default_rng(4), set(), 0.4
    for seed in range(4):
        layer = make(kind, D, K, rng, activation="tanh", drop_connect=rate, rng=seed)
        (weight, bias), twin = layer.parameters(), copy.deepcopy(layer)
        twin.bias[:] = 0
        stays = twin.forward(np.eye(D)) != 0
        stays = np.ravel(stays) if kind == "linear" else stays[np.array(PATTERNS[K, D], bool)]
        seen |= set(stays)
        X, DY, scale = rng.standard_normal((D, N)), rng.standard_normal((K, N)), stays / (1 - rate)
        Y, DX, DW, Db = derived(kind != "linear", size, "tanh")(DY, X, scale * weight.values, bias.values)
        got = [layer.forward(X).copy(), layer.backward(DY), weight.gradient, bias.gradient]
        assert_agree(got, [Y, DX, scale * DW, Db])  # by the chain rule: W is the weights times the scale
    assert seen == {True, False}


# ---- losses: the formulas are of one sample, with targets t and outputs z


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


LABELS, ROWS = np.array([2, 0, 1, 2]), np.array([[1, 2, 5], [4, 0, 4], [2, 5, 1], [1, 1, 6]]) / 8
REAL, BITS = np.array([[0.3, -1.2, 2], [1, 0, 0.5], [-0.7, 0.1, 0], [2, 2, -3]]), np.array([[1, 0, 1], [0, 1, 0]] * 2)
WEIGHTS, POSITIVE = np.array([0.5, 2.0, 1.25]), [3.0, 0.5, 1.5]
SOFTMAX, LIKELIHOOD, LOGISTIC = "softmax-cross-entropy", "negative-log-likelihood", "logistic-cross-entropy"
OBJECTIVES = [
    (SOFTMAX, {}, LABELS, cross_of_logits),
    (SOFTMAX, {}, ROWS, cross_of_logits),
    (SOFTMAX, {"label_smoothing": 0.1}, LABELS, lambda t, z: cross_of_logits(t, z, 0.1)),
    (SOFTMAX, {"label_smoothing": 0.1}, ROWS, lambda t, z: cross_of_logits(t, z, 0.1)),
    (SOFTMAX, {"class_weights": WEIGHTS}, LABELS, lambda t, z: cross_of_logits(t, z, 0, WEIGHTS)),
    (SOFTMAX, {"class_weights": WEIGHTS}, ROWS, lambda t, z: cross_of_logits(t, z, 0, WEIGHTS)),
    (SOFTMAX, {"class_weights": WEIGHTS, "label_smoothing": 0.1}, LABELS,
     lambda t, z: cross_of_logits(t, z, 0.1, WEIGHTS)),
    ("cross-entropy", {}, LABELS, lambda t, z: cross(t, map(sp.log, z))),
    ("cross-entropy", {}, ROWS, lambda t, z: cross(t, map(sp.log, z))),
    (LIKELIHOOD, {}, LABELS, cross),
    (LIKELIHOOD, {}, ROWS, cross),
    (LIKELIHOOD, {"of": "probabilities"}, LABELS, lambda t, z: -sp.log(-cross(t, z))),
    (LIKELIHOOD, {"of": "probabilities"}, ROWS, lambda t, z: -sp.log(-cross(t, z))),
    (LOGISTIC, {}, BITS, logistic),
    (LOGISTIC, {}, ROWS, logistic),
    (LOGISTIC, {"classes": True}, LABELS, logistic),
    (LOGISTIC, {"positive_weights": POSITIVE}, BITS, lambda t, z: logistic(t, z, POSITIVE)),
    (LOGISTIC, {"negatives": False}, BITS, lambda t, z: logistic(t, z, negatives=0)),
    (LOGISTIC, {"negatives": False, "positive_weights": POSITIVE}, ROWS, lambda t, z: logistic(t, z, POSITIVE, 0)),
    ("squared-error", {}, REAL, squared),
    ("squared-error", {"classes": True}, LABELS, squared),
    ("mean-squared-error", {}, REAL, lambda t, z: squared(t, z) / 3),
]  # fmt: skip


@pytest.mark.parametrize("sample_weight", [None, (1.0, 0.5, 0.0, 3.0)], ids=["plain", "weighted"])
@pytest.mark.parametrize(("name", "settings", "targets", "formula"), OBJECTIVES)
def test_losses(name, settings, targets, formula, sample_weight):
    loss, t, z = LOSSES[name](**settings), matrix("t", 1, 3), matrix("z", 1, 3)
    of_a_sample = compiled([t, z], [formula(t, z)], *gradients(formula(t, z), [z]))
    of_probabilities = name == "cross-entropy" or "of" in settings
    low, high = (0.05, 1) if of_probabilities else (-2, 0) if name == LIKELIHOOD else (-2, 1)
    Z = np.random.default_rng(6).uniform(low, high, (3, 4))
    rows = np.eye(3)[targets] if targets is LABELS else targets
    values, slopes = zip(*(of_a_sample(*sample) for sample in zip(rows, Z.T, strict=True)), strict=True)
    counts = np.ones(4) if sample_weight is None else np.array(sample_weight)
    # The terms of labels hold their weights already, so that what remains is to divide by their sum.
    total = (counts * WEIGHTS[LABELS] if "class_weights" in settings and targets is LABELS else counts).sum()
    got = loss(Z, weighted(loss.check_targets(targets, 4, 3), sample_weight, 4))
    assert_agree([got.value, got.gradient.T], [counts @ values / total, counts[:, None] * slopes / total])


# ---- networks

NETS = [
    ("linear", "relu", "softmax", "cross-entropy", lambda t, z: cross(t, map(sp.log, z))),
    ("linear", "srelu per neuron", "identity", "squared-error", squared),
    ("linear", "gelu", "log_softmax", "negative-log-likelihood", cross),
    ("native", "tanh", "identity", "softmax-cross-entropy", cross_of_logits),
    ("native", "silu", "srelu", "mean-squared-error", lambda t, z: squared(t, z) / 2),
    ("native", "all_relu", "identity", "logistic-cross-entropy", logistic),
]


@cache
def derived_network(kind, hidden, last, formula):
    """Outputs, loss and the gradients of the parameters of the network below."""
    X, T, M, p = matrix("x", 3, 2), matrix("t", 2, 2), matrix("m", 2, 2), sp.Symbol("p")
    numbers, others = numbers_of("s", hidden, 2), numbers_of("o", last, 2)
    Z, W, b = affine("wb", True, X, 2)
    H = activated(hidden, Z, numbers).multiply_elementwise(M) / (1 - p)
    Z, V, c = affine("vc", kind != "linear", H, 2)
    Y = activated(last, Z, others)
    value = sum(formula(T[n, :], Y[:, n]) for n in range(2)) / 2
    groups = [W, b, *numbers, V, c, *others]
    return compiled([X, T, M, [p], *groups], Y, [value], *gradients(value, groups))


@pytest.mark.parametrize("rate", [0.0, 0.4], ids=["plain", "dropout"])
@pytest.mark.parametrize(("kind", "hidden", "last", "name", "formula"), NETS, ids=[net[1] for net in NETS])
def test_two_layers_from_end_to_end(kind, hidden, last, name, formula, rate):
    """Outputs, loss and gradients, and the same again where the step is taken on the way back."""
    rng, loss = np.random.default_rng(12), LOSSES[name]()
    first, second = make("native", 3, 2, rng, activation=ACTIVATIONS[hidden][0]), make(kind, 2, 2, rng, activation=last)
    model = nerva.Sequential([first, nerva.Dropout(rate, rng=2), second])
    stepped, parameters = copy.deepcopy(model), model.parameters()
    stays = copy.deepcopy(model.layers[1]).forward(np.ones((2, 2))) != 0
    assert set(np.ravel(stays)) == ({True, False} if rate else {True})
    X, labels = rng.standard_normal((3, 2)), np.array([1, 0])
    targets = np.eye(2)[labels] if name.endswith("error") or name == LOGISTIC else labels
    inputs = [X, np.eye(2)[labels], stays, [rate], *(parameter.values for parameter in parameters)]
    Y, value, *slopes = derived_network(kind, hidden, last, formula)(*inputs)

    outputs = model.forward(X)
    result = loss(outputs, loss.check_targets(targets, 2, 2))
    model.backward(result.gradient)
    assert_agree([outputs, result.value, *(parameter.gradient for parameter in parameters)], [Y, value, *slopes])
    assert_agree([stepped.train_step(X.T.copy(), targets, nerva.SGD(), 0.5, loss)], [value])
    wanted = [parameter.values - 0.5 * slope for parameter, slope in zip(parameters, slopes, strict=True)]
    assert_agree([parameter.values for parameter in stepped.parameters()], wanted)


# ---- optimizers: from the papers, the moments as the sums that their recursions stand for


def moment(terms, factor):
    """factor^(t - 1) terms[0] + ... + terms[t - 1]."""
    return sum(factor ** (len(terms) - 1 - i) * term for i, term in enumerate(terms))


def scaled(d, alpha, epsilon):
    """The last gradient by the root of the mean square of all."""
    return d[-1] / (sp.sqrt((1 - alpha) * moment([g**2 for g in d], alpha)) + epsilon)


def without_bias(terms, beta):
    """The moment divided by the sum of its factors: Adam's correction is that."""
    return moment(terms, beta) / moment([1] * len(terms), beta)


# Where a step goes, by all gradients so far. That of Nesterov is how Sutskever's theta + mu v moves, v = -rate moment.
DIRECTIONS = {
    "sgd": lambda d: d[-1],
    "momentum": moment,
    "nesterov": lambda d, mu: (1 + mu) * moment(d, mu) - mu * moment(d[:-1], mu),
    "rmsprop": lambda d, alpha, epsilon, mu: moment([scaled(d[: i + 1], alpha, epsilon) for i in range(len(d))], mu),
    "adam": lambda d, beta1, beta2, epsilon: (
        without_bias(d, beta1) / (sp.sqrt(without_bias([g**2 for g in d], beta2)) + epsilon)
    ),
    "lion": lambda d, beta1, beta2: sp.sign(beta1 * (1 - beta2) * moment(d[:-1], beta2) + (1 - beta1) * d[-1]),
}
DIRECTIONS["adamw"] = DIRECTIONS["adam"]
RULES = [
    ("sgd", {}),
    ("momentum", {"momentum": 0.9}),
    ("nesterov", {"momentum": 0.9}),
    ("rmsprop", {"alpha": 0.9, "epsilon": 1e-3, "momentum": 0.0}),
    ("rmsprop", {"alpha": 0.9, "epsilon": 1e-3, "momentum": 0.8}),
    ("adam", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}),
    ("adamw", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}),
    ("lion", {"beta1": 0.9, "beta2": 0.95}),
]


@pytest.mark.parametrize(("decay", "clip"), [(0.0, None), (0.1, None), (0.1, 0.7)])
@pytest.mark.parametrize(("name", "settings"), RULES)
def test_three_steps_of_an_optimizer(name, settings, decay, clip):
    w, *G = sp.symbols("w g:3", real=True)
    rates, (shrink, *own) = sp.symbols("r:3", positive=True), sp.symbols(f"a:{len(settings) + 1}", positive=True)
    d, points, apart = [], [w], name in ("adamw", "lion")  # the decay of these is no part of the gradient
    for g, rate in zip(G, rates, strict=True):
        w, g = points[-1], g if clip is None else sp.Max(-exact(clip), sp.Min(exact(clip), g))
        d.append(g if apart else g + shrink * w)
        points.append(w - rate * (DIRECTIONS[name](d, *own) + (shrink * w if apart else 0)))
    path = compiled([points[:1], G, rates, [shrink, *own]], points[1:])

    drawn, speeds = np.random.default_rng(9).standard_normal((3, 20)), (0.1, 0.05, 0.2)
    optimizer = OPTIMIZERS[name](weight_decay=decay, clip_value=clip, **settings)
    parameter = nerva.Parameter("weight", np.linspace(-2, 2, 20))
    pairs = zip(parameter.values, drawn.T, strict=True)
    wanted = np.array([path([w], slopes, speeds, [decay, *settings.values()])[0] for w, slopes in pairs])
    for t, speed in enumerate(speeds):
        parameter.gradient[:] = drawn[t]
        optimizer.step([parameter], speed)
        assert_agree([parameter.values], [wanted[:, t]])


# ---- schedules

e = sp.Symbol("epoch", nonnegative=True)


def half_wave(first, last, part):
    """From the first number to the last along half a cosine, as part goes from 0 to 1."""
    return first * sp.cos(sp.pi * part / 2) ** 2 + last * sp.sin(sp.pi * part / 2) ** 2


R, LEAST = exact(0.3), exact(0.02)
SCHEDULES = [
    (nerva.Constant(0.3), R),
    (nerva.MultiStep(0.3, (2, 5), 0.5), sp.Piecewise((R, e < 2), (R / 2, e < 5), (R / 4, True))),
    (nerva.TimeBased(0.3, 0.25), R / (1 + e / 4)),
    (nerva.StepDecay(0.3, 0.5, 3), R / 2 ** sp.floor(e / 3)),
    (nerva.Exponential(0.3, 0.25), R * sp.exp(-e / 4)),
    (nerva.Cosine(0.3, 4, 0.02), sp.Piecewise((half_wave(R, LEAST, e / 4), e < 4), (LEAST, True))),
    (nerva.Cosine(0.3, 4, 0.02, 1.0), half_wave(R, LEAST, e / 4 - sp.floor(e / 4))),
    (nerva.Cosine(0.3, 2, 0.02, 2.0), sp.Piecewise(
        *((half_wave(R, LEAST, (e - 2 * (2**i - 1)) / 2 ** (i + 1)), e < 2 * (2 ** (i + 1) - 1)) for i in range(4)))),
    (nerva.WarmUp(nerva.TimeBased(0.3, 0.25), 4, 0.25),
     R / (1 + e / 4) * sp.Min(1, sp.Rational(1, 4) + 3 * e / 16)),
    (nerva.OneCycle(0.3, 8, 0.25, 10, 1000), sp.Piecewise(
        (half_wave(R / 10, R, e / 2), e < 2), (half_wave(R, R / 1000, (e - 2) / 6), e < 8), (R / 1000, True))),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES, ids=lambda value: type(value).__name__)
def test_schedules(schedule, formula):
    rate, epochs = compiled([[e]], [formula]), (0, 0.5, 1.75, 2, 3.25, 4, 5, 6, 7.5, 8, 11, 13.9, 14, 20)
    assert_agree([schedule(epoch) for epoch in epochs], [rate([epoch]) for epoch in epochs])


def test_nothing_is_left_out():
    assert {kind for kind, _ in ACTIVATIONS.values() if isinstance(kind, str)} == set(NAMES)
    assert {name for name, *_ in OBJECTIVES} == set(LOSSES)
    assert {name for name, *_ in RULES} == set(OPTIMIZERS)
