"""DropConnect: weights dropped in training, in every linear layer and by every backend."""

import copy
import pickle

import numpy as np
import pytest

import nerva

from ..reference import assert_same_bits, stays


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


@pytest.mark.parametrize("kind", ["linear", "native", "mkl", "dense", "auto"])
def test_weights_dropped(kind, dtype, rng):
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
        DX = layer.backward(DY)
        np.testing.assert_allclose(DX, W.T @ DZ, rtol=1e-4, atol=1e-5)
        gradient = (DZ @ X.T)[positions(layer)] * mask
        np.testing.assert_allclose(layer.parameters()[0].gradient, gradient, rtol=1e-4, atol=1e-4)
        assert not layer.parameters()[0].gradient[mask == 0].any()
        nerva.SGD().step(layer.parameters(), 0.1)
        np.testing.assert_allclose(flat(layer), before - 0.1 * gradient, rtol=1e-4, atol=1e-5)


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
