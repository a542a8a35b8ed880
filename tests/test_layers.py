"""Linear and SparseLinear against NumPy's float64: forward, backward, what they refuse, and what they leave alone."""

import copy
import pickle

import numpy as np
import pytest

import nerva
from nerva._kernels import isa
from nerva._kernels.activations import ACTIVATIONS
from nerva.activations import NAMES, code_of

from .reference import PATTERNS, activate, activation_slope, assert_same_bits, assert_within, draw_mask, product_bound

KINDS = ("linear", "native", "mkl", "dense", "auto")
D, K = 13, 9


def make(kind, in_features=D, out_features=K, *, density=0.4, rng=0, **settings):
    """A layer of this kind with a bias that is not zero."""
    if kind == "linear":
        layer = nerva.Linear(in_features, out_features, rng=rng, **settings)
    else:
        layer = nerva.SparseLinear(in_features, out_features, density=density, rng=rng, backend=kind, **settings)
    if layer.bias is not None:
        layer.bias[:] = np.random.default_rng(99).standard_normal(out_features)
    return layer


def dense(layer):
    """The weights as a float64 matrix."""
    weight = layer.weight if isinstance(layer, nerva.Linear) else layer.weight.to_dense()
    return weight.astype(np.float64)


def on_pattern(layer, matrix):
    """The entries of a matrix (K, D) where the layer has weights, in their order, shaped as its weight gradient."""
    if isinstance(layer, nerva.Linear):
        return matrix
    rows = np.repeat(np.arange(layer.out_features), np.diff(layer.weight.indptr))
    return matrix[rows, layer.weight.indices]


def batch(layer, N, seed=1):
    """X and DY for the layer."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, N)).astype(layer.dtype) for n in (layer.in_features, layer.out_features)]


def assert_right(layer, N):
    """Forward and backward give what the formulas give in float64, and leave X and DY as they were."""
    X, DY = batch(layer, N)
    before = X.tobytes(), DY.tobytes()
    W, b = dense(layer), 0 if layer.bias is None else layer.bias[:, None].astype(np.float64)
    Z, (_, alpha) = W @ X.astype(np.float64) + b, code_of(layer.activation)
    Y = layer.forward(X)
    assert Y.shape == (layer.out_features, N)
    assert Y.dtype == layer.dtype
    tolerance = product_bound(layer.dtype, W, X, b)
    assert_within(Y, activate(layer.activation, Z, alpha), tolerance + 8 * np.finfo(layer.dtype).eps, "Y")
    DZ = DY * activation_slope(layer.activation, Y, alpha)
    rounded = (4 * np.finfo(layer.dtype).eps) * np.abs(DY).astype(np.float64)
    DX = layer.backward(DY)
    assert_within(DX, W.T @ DZ, product_bound(layer.dtype, W.T, DZ) + np.abs(W.T) @ rounded, "DX")
    DW, bound = DZ @ X.T, product_bound(layer.dtype, DZ, X.T) + rounded @ np.abs(X.T)
    assert_within(layer.weight_gradient, on_pattern(layer, DW), on_pattern(layer, bound), "DW")
    if layer.bias is None:
        assert layer.bias_gradient is None
    else:
        ones = np.ones((N, 1))
        assert_within(
            layer.bias_gradient, DZ.sum(axis=1), (product_bound(layer.dtype, DZ, ones) + rounded @ ones)[:, 0], "Db"
        )
    assert (X.tobytes(), DY.tobytes()) == before


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_numpy_agrees(kind, activation, bias, dtype):
    layer = make(kind, activation=activation, bias=bias, dtype=dtype)
    for N in (5, 150, 1, 16, 0, 3):  # one after the other: buffers grow, shrink, and are used again
        assert_right(layer, N)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("backend", KINDS[1:])
def test_numpy_agrees_on_awkward_patterns(backend, pattern, dtype, rng):
    mask = draw_mask(rng, K, D, pattern)
    weight = nerva.CSR.from_dense(np.where(mask, rng.uniform(0.1, 1, mask.shape), 0).astype(dtype))
    layer = nerva.SparseLinear(D, K, weight=weight, activation="tanh", backend=backend)
    assert layer.weight is weight
    assert layer.dtype == dtype
    assert layer.nnz == mask.sum()
    for N in (1, 20):
        assert_right(layer, N)


@pytest.mark.parametrize(("density", "nnz"), [(0.0, 0), (0.05, 6), (0.5, 59), (1.0, 117), (np.float32(0.25), 29)])
@pytest.mark.parametrize("backend", KINDS[1:])
def test_a_density_gives_so_many_weights(backend, density, nnz):
    layer = make(backend, density=density, dtype=np.float64)
    assert layer.nnz == layer.weight.nnz == layer.weight_gradient.size == nnz
    assert layer.density == pytest.approx(nnz / (D * K))
    assert_right(layer, 4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_narrow_layers(kind, shape, dtype):
    layer = make(kind, *shape, density=1.0, activation="sigmoid", dtype=dtype)
    for N in (1, 33):
        assert_right(layer, N)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_central_differences(kind, activation, bias):
    layer = make(kind, 6, 5, density=0.5, rng=3, activation=activation, bias=bias, dtype=np.float64)
    X, DY = batch(layer, 4, seed=5)
    layer.forward(X)
    DX = layer.backward(DY)
    gradients = [parameter.gradient.copy() for parameter in layer.parameters()]
    assert len(gradients) == 1 + bias + (activation == "srelu")
    numbers = [parameter.values for parameter in layer.parameters()] + [X.reshape(-1)]
    assert len(numbers[0]) == layer.nnz < 30 or kind == "linear"
    step = 1e-6
    for values, gradient in zip(numbers, [*gradients, DX.reshape(-1)], strict=True):
        for i in range(len(values)):
            before, slopes = values[i], []
            for sign in (1, -1):
                values[i] = before + sign * step
                slopes.append(np.sum(DY * layer.forward(X, training=False)))
            values[i] = before
            assert gradient[i] == pytest.approx((slopes[0] - slopes[1]) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_needs_the_input_gradient(kind):
    with_it, without = make(kind, activation="relu"), make(kind, activation="relu")
    X, DY = batch(with_it, 7)
    for layer in (with_it, without):
        layer.forward(X)
    assert with_it.backward(DY) is not None
    assert without.backward(DY, input_gradient=False) is None
    for one, other in zip(with_it.parameters(), without.parameters(), strict=True):
        assert_same_bits(one.gradient, other.gradient, one.name)


@pytest.mark.parametrize("N", [0, 1, 100, 128, 200])
@pytest.mark.parametrize(
    "optimizer", [nerva.SGD(weight_decay=0.1), nerva.Momentum(), nerva.Nesterov(weight_decay=0.1)], ids=repr
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_taken_on_the_way_back_is_that_of_the_optimizer(kind, optimizer, N, dtype):
    fused, apart = (make(kind, activation="tanh", dtype=dtype) for _ in range(2))
    other = copy.copy(optimizer)
    X, DY = batch(fused, N)
    for rate in (0.1, 0.01):
        assert_same_bits(fused.forward(X), apart.forward(X), "Y")
        assert_same_bits(fused.backward(DY, step=optimizer.at(rate)), apart.backward(DY), "DX")
        other.step(apart.parameters(), rate)
    for one, two in zip(fused.parameters(), apart.parameters(), strict=True):
        assert_same_bits(one.values, two.values, one.name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_layer_returns_is_its_own_and_is_used_again(kind):
    layer = make(kind, activation="relu")
    X, DY = batch(layer, 20)
    Y, DX = layer.forward(X), layer.backward(DY)
    assert np.shares_memory(Y, layer.forward(X))
    assert np.shares_memory(DX, layer.backward(DY))
    assert not any(np.shares_memory(mine, yours) for mine in (Y, DX) for yours in (X, DY))


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_x_and_dy_may_be_read_only_and_part_of_larger_arrays(kind, activation, dtype):
    layer = make(kind, activation=activation, dtype=dtype)
    X, DY = batch(layer, 7)
    wanted = layer.forward(X).copy(), layer.backward(DY).copy()
    X, DY = (np.pad(array, ((1, 2), (3, 5)))[1:-2, 3:-5] for array in (X, DY))
    for array in (X, DY):
        array.flags.writeable = False
    assert_same_bits(layer.forward(X).copy(), wanted[0], "Y")
    assert_same_bits(layer.backward(DY).copy(), wanted[1], "DX")


@pytest.mark.parametrize("kind", KINDS)
def test_backward_needs_a_forward_in_training(kind):
    layer = make(kind)
    X, DY = batch(layer, 3)
    for prepare in (lambda: None, lambda: layer.forward(X, training=False)):
        prepare()
        with pytest.raises(RuntimeError, match="forward"):
            layer.backward(DY)
    assert not any(parameter.gradient.any() for parameter in layer.parameters())
    assert_same_bits(layer.forward(X, training=False).copy(), layer.forward(X))
    layer.backward(DY)


@pytest.mark.parametrize(
    "clone", [lambda pair: pickle.loads(pickle.dumps(pair)), copy.deepcopy], ids=["pickle", "deep"]
)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_on_as_the_original(kind, bias, clone, dtype):
    def train(layer, optimizer, steps):
        X, DY = batch(layer, 6)
        for _ in range(steps):
            layer.forward(X)
            layer.backward(DY)
            optimizer.step(layer.parameters(), 0.1)
        return layer.forward(X, training=False).copy()

    layer, optimizer = make(kind, activation="leaky_relu", bias=bias, dtype=dtype), nerva.Nesterov()
    before = train(layer, optimizer, 2)
    twin, twins_optimizer = clone((layer, optimizer))
    assert not np.shares_memory(twin.parameters()[0].values, layer.parameters()[0].values)
    assert repr(twin) == repr(layer)
    with pytest.raises(RuntimeError, match="forward"):
        twin.backward(batch(twin, 6)[1])
    assert_same_bits(train(twin, twins_optimizer, 0), before, "the copy")
    after = train(twin, twins_optimizer, 2)
    assert np.abs(after - before).max() > 0.01
    assert_same_bits(train(layer, optimizer, 0), before, "the original, after steps of the copy")
    assert_same_bits(train(layer, optimizer, 2), after, "both, after the same steps")
    assert_same_bits(on_pattern(twin, dense(twin)), on_pattern(layer, dense(layer)), "weights")


@pytest.mark.parametrize("there", isa.supported())
@pytest.mark.parametrize("here", isa.supported())
def test_a_layer_moves_from_one_processor_to_another(here, there, dtype):
    before = isa.chosen()
    try:
        isa.choose(here)
        layer = make("native", dtype=dtype)
        X, DY = batch(layer, 400 // dtype.itemsize)  # which fits the registers of one, not of the other
        optimizer = nerva.SGD()
        isa.choose(there)
        layer.forward(X)
        layer.backward(DY)
        wanted = layer.weight.values - 0.5 * layer.weight_gradient
        layer.forward(X)
        layer.backward(DY, step=optimizer.at(0.5))
    finally:
        isa.choose(before)
    np.testing.assert_allclose(layer.weight.values, wanted, rtol=1e-5)


def test_bytes_are_those_of_the_arrays():
    layer = make("native", dtype=np.float64)
    n = layer.nnz
    weight = (8 + 4) * n + 4 * (K + 1)
    assert layer.nbytes == weight + 8 * K
    X, DY = batch(layer, 5)
    layer.forward(X)
    layer.backward(DY, input_gradient=False)
    assert layer.nbytes == weight + 8 * n + 2 * 8 * K  # gradients
    layer.backward(DY)
    companion = 4 * (D + 1) + 2 * 4 * n
    assert layer.nbytes == weight + companion + 8 * n + 2 * 8 * K
    nerva.Nesterov().step(layer.parameters(), 0.1)
    assert layer.nbytes == weight + companion + 2 * 8 * n + 3 * 8 * K
    assert make("linear").nbytes == 4 * (D * K + K)
    assert make("linear", bias=False).nbytes == 4 * D * K


def test_repr_tells_shape_density_activation_and_dtype():
    sparse = nerva.SparseLinear(100, 50, density=0.1, activation="relu", dtype="float64")
    assert repr(sparse) == "SparseLinear(100, 50, density=0.1, activation='relu', dtype='float64')"
    assert repr(nerva.Linear(3, 2)) == "Linear(3, 2, density=1, activation='identity', dtype='float32')"


# ---- what is refused

WRONG_OF_BOTH = [
    ({"in_features": 0}, ValueError, "in_features"),
    ({"in_features": 2**31}, ValueError, "in_features"),
    ({"in_features": 3.0}, TypeError, "in_features"),
    ({"out_features": -1}, ValueError, "out_features"),
    ({"out_features": "9"}, TypeError, "out_features"),
    ({"activation": "swish"}, ValueError, "activation"),
    ({"activation": None}, ValueError, "activation"),
    ({"activation": ["relu"]}, (TypeError, ValueError), "activation"),
    ({"init": "glorot"}, ValueError, "init"),
    ({"init": 0}, TypeError, "init"),
    ({"init": lambda rng, fan_in, fan_out, count, dtype: np.zeros(count + 1)}, ValueError, "init"),
    ({"init": lambda rng, fan_in, fan_out, count, dtype: np.full(count, np.nan)}, ValueError, "init"),
    ({"rng": "seed"}, TypeError, "rng"),
    ({"rng": -1}, ValueError, "rng"),
    ({"rng": np.random.RandomState(0)}, TypeError, "rng"),
    ({"dtype": np.float16}, ValueError, "dtype"),
    ({"dtype": "int32"}, ValueError, "dtype"),
    ({"dtype": "number"}, TypeError, "dtype"),
]
GIVEN = nerva.CSR.from_dense(np.eye(K, D, dtype=np.float32))
WRONG_OF_SPARSE = [
    ({"density": None}, TypeError, "density"),
    ({"density": 1.5}, ValueError, "density"),
    ({"density": -0.1}, ValueError, "density"),
    ({"density": np.nan}, ValueError, "density"),
    ({"density": "thin"}, TypeError, "density"),
    ({"density": "0.5"}, TypeError, "density"),
    ({"backend": "cuda"}, ValueError, "backend"),
    ({"backend": None}, ValueError, "backend"),
    ({"in_features": 10**6, "out_features": 10**6, "density": 0.5}, ValueError, "weights"),
    ({"weight": GIVEN}, ValueError, "weight"),
    ({"weight": GIVEN, "density": None, "init": "he"}, ValueError, "weight"),
    ({"weight": GIVEN.to_dense(), "density": None}, TypeError, "weight"),
    ({"weight": GIVEN, "density": None, "in_features": D + 1}, ValueError, "weight"),
    ({"weight": GIVEN, "density": None, "dtype": np.float64}, TypeError, "weight"),
    ({"weight": GIVEN, "density": None, "dtype": "number"}, TypeError, "dtype"),
]


@pytest.mark.parametrize(
    ("layer", "changed", "error", "name"),
    [(nerva.Linear, *case) for case in WRONG_OF_BOTH]
    + [(nerva.SparseLinear, *case) for case in WRONG_OF_BOTH + WRONG_OF_SPARSE],
)
def test_a_wrong_argument_is_named(layer, changed, error, name):
    right = {"in_features": D, "out_features": K} | ({"density": 0.5} if layer is nerva.SparseLinear else {})
    with pytest.raises(error, match=rf"\b{name}\b"):
        layer(**right | changed)


SPOILED = {
    "a list": lambda A: A.tolist(),
    "nothing": lambda A: None,
    "another dtype": lambda A: A.astype(np.float64),
    "integers": lambda A: A.astype(np.int32),
    "a vector": lambda A: A[:, 0],
    "three axes": lambda A: A[None],
    "fewer rows": lambda A: A[1:],
    "more rows": lambda A: np.vstack([A, A]),
    "transposed": lambda A: np.asfortranarray(A),
    "backwards": lambda A: A[:, ::-1],
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_x_is_named_and_leaves_the_layer_alone(kind, spoil):
    layer = make(kind, activation="relu")
    X, DY = batch(layer, 6)
    Y = layer.forward(X)
    before = Y.copy()
    with pytest.raises((TypeError, ValueError), match=r"\bX\b"):
        layer.forward(spoil(X))
    assert_same_bits(Y, before, "the outputs before")
    layer.backward(DY)
    assert np.any(layer.bias_gradient)


@pytest.mark.parametrize("spoil", [*SPOILED.values(), lambda A: A[:, 1:]], ids=[*SPOILED, "another batch"])
@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_dy_is_named_and_leaves_the_layer_alone(kind, activation, spoil):
    layer = make(kind, activation=activation)
    X, DY = batch(layer, 6)
    layer.forward(X)
    layer.backward(DY)
    before = [(parameter.values.copy(), parameter.gradient.copy()) for parameter in layer.parameters()]
    for step in (None, nerva.SGD().at(0.1)):
        with pytest.raises((TypeError, ValueError), match=r"\bDY\b"):
            layer.backward(spoil(DY), step=step)
    for parameter, (values, gradient) in zip(layer.parameters(), before, strict=True):
        assert_same_bits(parameter.values, values, parameter.name)
        assert_same_bits(parameter.gradient, gradient, parameter.name)
