"""Dropout of outputs and of weights: how many stay, that seed and step alone decide which, and the gradients."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.dropout import drop, drop_backward, drop_vector

from .reference import (
    Call,
    Frame,
    activate,
    activation_slope,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
)

FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))
MASK64 = 2**64 - 1


def stays(key, row, N, rate):
    """Which of the N numbers of a row stay, by the definition, in Python's integers."""
    x = (key + 0x9E3779B97F4A7C15 * (row + 1)) & MASK64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK64
    x ^= x >> 31
    start, stride = x & 0xFFFFFFFF, x >> 32 | 1
    if (stride ^ stride >> 1).bit_count() < 12:
        stride ^= 0xAAAAAAAA
    places = (start + np.arange(N, dtype=np.uint64) * stride) & 0xFFFFFFFF
    places = (places ^ places >> 16) * 0x7FEB352D & 0xFFFFFFFF
    places = (places ^ places >> 15) * 0x846CA68B & 0xFFFFFFFF
    return (places ^ places >> 16) <= max(int((1 - rate) * 2**32) - 1, 0)


# ---- the kernels
@given(
    size=st.tuples(st.integers(0, 9), st.integers(0, 140)),
    frames=st.tuples(FRAMES, FRAMES),
    key=st.integers(0, MASK64),
    rate=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
    name=st.sampled_from(list(ACTIVATIONS)),
    in_place=st.booleans(),
)
def test_both_ways(instruction_set, dtype, size, frames, key, rate, name, in_place):
    rng, (K, N) = np.random.default_rng(size), size
    X = Frame(rng.standard_normal(size), dtype, *frames[0])
    mask = np.array([stays(key, k, N, rate) for k in range(K)]).reshape(size) / (1 - rate)
    wanted, exact = X.array * mask, X.array.astype(np.float64)
    out = X if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    drop(X.array, key, rate, out.array)
    eps = 4 * np.finfo(dtype).eps
    assert_within(out.array, wanted, eps * np.abs(wanted))
    out.assert_intact_outside()
    Y = Frame(activate(name, rng.standard_normal(size), 0.1), dtype, *frames[1])
    DY = Frame(exact, dtype, *frames[0])
    DZ = DY if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    Db = Frame(np.full(K, np.nan), dtype, 1)
    wanted = exact * mask * activation_slope(name, Y.array, dtype.type(0.1))
    drop_backward(DY.array, Y.array, key, rate, ACTIVATIONS[name], 0.1, DZ.array, Db.array)
    assert_within(DZ.array, wanted, eps * np.abs(exact * mask) + np.finfo(dtype).tiny, "DZ")
    assert_within(Db.array, wanted.sum(1), (N + 4) * eps * np.abs(exact * mask).sum(1) + np.finfo(dtype).tiny, "Db")
    for frame in (DZ, Db):
        frame.assert_intact_outside()


@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 5000])
def test_a_vector_is_rows_of_1024(instruction_set, dtype, rng, n):
    x, out = Frame(rng.standard_normal(n), dtype, 3), Frame(np.full(n, np.nan), dtype, 5)
    drop_vector(x.array, 77, 0.25, out.array)
    mask = np.concatenate([stays(77, row, 1024, 0.25) for row in range(n // 1024 + 1)])[:n]
    assert_within(out.array, x.array * mask / 0.75, 1e-6)
    assert_same_bits(out.array == 0, ~mask | (x.array == 0))
    out.assert_intact_outside()
    x.assert_unchanged()
    drop_vector(x.array, 77, 0.25, x.array)
    assert_same_bits(x.array, out.array)


def test_what_is_dropped_is_zero_even_of_infinity(instruction_set, dtype):
    X, out = np.full((4, 100), np.inf, dtype), np.empty((4, 100), dtype)
    X[::2] = np.nan
    drop(X, 5, 0.5, out)
    assert (out == 0).sum() > 100
    assert np.isposinf(out[1][out[1] != 0]).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_chances_are_even_and_independent(rate):
    """Over places, rows and keys as many stay as should, and neighbours tell nothing of each other."""
    ones, masks = np.ones((400, 500), np.float32), []
    for key in (0, 1, 2, 2**63, MASK64):
        out = np.empty_like(ones)
        drop(ones, key, rate, out)
        masks.append(out != 0)
    masks = np.array(masks)
    deviation = np.sqrt(rate * (1 - rate))
    assert abs(masks.mean() - (1 - rate)) < 5 * deviation / np.sqrt(masks.size)
    for axis, bound in ((0, 0.4), (1, 6), (2, 6)):  # each place over keys is five draws only
        means = masks.mean(axis)
        if axis:
            assert np.abs(means - (1 - rate)).max() < bound * deviation / np.sqrt(masks.shape[axis])
    noise = (masks - (1 - rate)) / deviation
    for axis in range(3):
        for lag in range(1, 2 if axis == 0 else 40):
            ahead = np.take(noise, range(lag, noise.shape[axis]), axis)
            behind = np.take(noise, range(noise.shape[axis] - lag), axis)
            assert abs((ahead * behind).mean()) < 6 / np.sqrt(ahead.size), (axis, lag)


def test_the_same_bits_on_any_threads(instruction_set, dtype, rng):
    X, Y, results = rng.standard_normal((101, 333)).astype(dtype), rng.standard_normal((101, 333)).astype(dtype), []
    x = rng.standard_normal(100_000).astype(dtype)
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        outs = [np.empty_like(X), np.empty_like(X), np.empty(101, dtype), np.empty_like(x)]
        drop(X, 3, 0.3, outs[0])
        drop_backward(X, Y, 3, 0.3, 1, 0.0, outs[1], outs[2])
        drop_vector(x, 3, 0.3, outs[3])
        results.append(outs)
    for outs in results[1:]:
        for array, first in zip(outs, results[0], strict=True):
            assert_same_bits(array, first)


def right_calls(dtype):
    one, flat = np.ones((4, 5), dtype), np.ones(7, dtype)
    back = {"DY": one, "Y": one + 1, "key": 1, "rate": 0.5, "activation": 1, "alpha": 0.0, "DZ": one + 2}
    return {
        "drop": Call(drop, {"X": one, "key": 1, "rate": 0.5, "out": one + 1}, ("out",)),
        "drop_backward": Call(drop_backward, back | {"Db": np.ones(4, dtype)}, ("DZ", "Db")),
        "drop_vector": Call(drop_vector, {"x": flat, "key": 1, "rate": 0.5, "out": flat + 1}, ("out",)),
    }


@pytest.mark.parametrize("name", ["drop", "drop_backward", "drop_vector"])
def test_wrong_arguments_are_refused(dtype, name):
    call = right_calls(dtype)[name]
    call()
    assert_refuses_wrong_arrays(call, optional=("Db",))
    for rate in (-0.1, 1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="rate"):
            call(rate=rate)
    for key in (-1, 2**64, "key"):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            call(key=key)


# ---- the layer
def test_the_layer(dtype, rng):
    layer, X = nerva.Dropout(0.4, rng=3), rng.standard_normal((30, 50)).astype(dtype)
    assert layer.forward(X, training=False) is X
    Y = layer.forward(X).copy()
    kept = Y != 0
    assert 0.5 < kept.mean() < 0.7
    np.testing.assert_allclose(Y[kept], X[kept] / 0.6, rtol=1e-6)
    DY = rng.standard_normal(X.shape).astype(dtype)
    np.testing.assert_allclose(layer.backward(DY), np.where(kept, DY / 0.6, 0), rtol=1e-6)
    again = layer.forward(X).copy()
    assert not np.array_equal(Y, again)
    same = nerva.Dropout(0.4, rng=3)
    assert_same_bits(same.forward(X).copy(), Y)
    for twin in (copy.deepcopy(same), pickle.loads(pickle.dumps(same))):
        assert_same_bits(twin.forward(X).copy(), again, "a copy goes on where the original stood")
    idle = nerva.Dropout(0.0)
    assert idle.forward(X) is X
    assert idle.backward(DY) is DY
    assert idle.backward(DY, input_gradient=False) is None


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1, np.nan, "0.5", None, True])
def test_wrong_rates_are_named(rate):
    for make, name in (
        (lambda: nerva.Dropout(rate), "rate"),
        (lambda: nerva.Linear(3, 2, drop_connect=rate), "drop_connect"),
        (lambda: nerva.SparseLinear(3, 2, density=0.5, drop_connect=rate), "drop_connect"),
        (lambda: nerva.MLP([3, 2, 2], dropout=rate), "dropout"),
        (lambda: nerva.MLP([3, 2, 2], drop_connect=rate), "drop_connect"),
    ):
        with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
            make()


def test_a_layer_has_settled_on_its_features_and_dtype():
    layer = nerva.Dropout(0.5)
    layer.forward(np.ones((4, 3), np.float32))
    with pytest.raises(ValueError, match="shape"):
        layer.forward(np.ones((5, 3), np.float32))
    with pytest.raises(TypeError, match="dtype"):
        layer.forward(np.ones((4, 3)))
    for X in (None, [[1.0]], np.ones(3), np.ones((2, 2), int), np.ones((4, 6))[:, ::2]):
        with pytest.raises((TypeError, ValueError), match="X"):
            nerva.Dropout(0.5).forward(X)


# ---- DropConnect
def make(kind, **settings):
    if kind == "linear":
        return nerva.Linear(13, 9, rng=5, drop_connect=0.3, **settings)
    return nerva.SparseLinear(13, 9, density=0.5, rng=5, backend=kind, drop_connect=0.3, **settings)


def flat(layer):
    return layer.parameters()[0].values


def positions(layer):
    """Where the weights are in a matrix (K, D)."""
    if isinstance(layer, nerva.Linear):
        return np.divmod(np.arange(9 * 13), 13)
    return np.repeat(np.arange(9), np.diff(layer.weight.indptr)), layer.weight.indices


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("kind", ["linear", "native", "mkl", "dense", "auto"])
def test_weights_dropped(kind, stepped, dtype, rng):
    layer = make(kind, activation="tanh", bias=False, dtype=dtype)
    X, DY = rng.standard_normal((13, 20)).astype(dtype), rng.standard_normal((9, 20)).astype(dtype)
    seed = layer._keys.seed
    for step in (1, 2):
        before = flat(layer).astype(np.float64)
        Y = layer.forward(X).copy()
        assert layer._keys.count == step
        assert layer._keys.seed == seed
        mask = np.concatenate([stays(layer._keys.now, row, 1024, 0.3) for row in range(2)])[: len(before)] / 0.7
        W = np.zeros((9, 13))
        W[positions(layer)] = before * mask
        wanted = np.tanh(W @ X)
        np.testing.assert_allclose(Y, wanted, rtol=1e-4, atol=1e-5)
        assert_same_bits(flat(layer).astype(np.float64), before, "the weights themselves")
        DZ = DY * (1 - wanted**2)
        DX = layer.backward(DY, step=nerva.SGD().at(0.1) if stepped else None)
        np.testing.assert_allclose(DX, W.T @ DZ, rtol=1e-4, atol=1e-5)
        gradient = (DZ @ X.T)[positions(layer)] * mask
        if stepped:
            np.testing.assert_allclose(flat(layer), before - 0.1 * gradient, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_allclose(layer.parameters()[0].gradient, gradient, rtol=1e-4, atol=1e-4)
            assert not layer.parameters()[0].gradient[mask == 0].any()


@pytest.mark.parametrize("kind", ["linear", "native", "mkl", "dense"])
def test_no_weight_is_dropped_in_evaluation(kind, rng):
    layer, X = make(kind), rng.standard_normal((13, 4)).astype(np.float32)
    W = np.zeros((9, 13))
    W[positions(layer)] = flat(layer)
    layer.forward(X)
    np.testing.assert_allclose(layer.forward(X, training=False), W @ X, rtol=1e-4, atol=1e-5)


def test_it_holds_one_more_vector_of_weights_and_no_second_pattern(rng):
    layer, plain = make("native"), nerva.SparseLinear(13, 9, density=0.5, rng=5)
    X, DY = rng.standard_normal((13, 20)).astype(np.float32), rng.standard_normal((9, 20)).astype(np.float32)
    assert_same_bits(flat(layer), flat(plain), "the seed of masks is drawn last")
    for one in (layer, plain):
        one.forward(X)
        one.backward(DY)
    assert layer.nbytes == plain.nbytes + 4 * layer.nnz


def test_the_weight_may_be_replaced_and_the_layer_copied(rng):
    layer, X = make("native"), rng.standard_normal((13, 4)).astype(np.float32)
    layer.forward(X)
    twins = [pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)]
    wanted = layer.forward(X).copy()
    for twin in twins:
        assert_same_bits(twin.forward(X).copy(), wanted)
        assert repr(twin) == repr(layer)
    layer.weight = nerva.CSR.from_dense(np.eye(9, 13, dtype=np.float32))
    Y = layer.forward(X)
    kept = stays(layer._keys.now, 0, 9, 0.3)
    np.testing.assert_allclose(Y, X[:9] * kept[:, None] / 0.7, rtol=1e-6)


def test_a_twin_shares_the_pattern_and_outlives_its_original(dtype, rng):
    W = nerva.CSR.from_dense(np.where(rng.random((6, 7)) < 0.5, rng.standard_normal((6, 7)), 0).astype(dtype))
    other = W.twin()
    assert other.is_twin_of(W)
    assert not W.is_twin_of(other)
    assert not other.is_twin_of(W.copy())
    assert np.shares_memory(other.indices, W.indices)
    assert not other.values.any()
    other.values = W.values * 2
    assert_same_bits(other.to_dense(), W.to_dense() * 2)
    from nerva._kernels import products

    DY, DX = rng.standard_normal((6, 5)).astype(dtype), np.empty((7, 5), dtype)
    wanted = 2 * W.to_dense().T @ DY
    for backend in products.BACKENDS:
        products.spmm_t(other, DY, DX, backend)
        np.testing.assert_allclose(DX, wanted, rtol=1e-4, atol=1e-5)
    del W
    products.spmm_t(other, DY, DX)
    np.testing.assert_allclose(DX, wanted, rtol=1e-4, atol=1e-5)
    assert pickle.loads(pickle.dumps(other)).to_dense().tobytes() == other.to_dense().tobytes()
