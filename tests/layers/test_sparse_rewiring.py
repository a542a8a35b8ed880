"""A sparse layer rewired: weights, the optimizer's state of them, and the factors of the dense gradient."""

import numpy as np
import pytest
from hypothesis import given

import nerva
from nerva._kernels.csr import CSR
from nerva._kernels.rewiring import empty_positions, flat_positions
from nerva.topology.grow import distinct

from ..topology.problems import batch, problems, random_csr


@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
@given(problem=problems())
def test_state_moves_with_its_weight(dtype, backend, problem):
    K, D, N, nnz, count, seed = problem
    rng = np.random.default_rng(seed)
    layer = nerva.SparseLinear(D, K, weight=random_csr(K, D, nnz, rng, dtype), bias=False, backend=backend)
    W, weight = layer.weight, layer.parameters()[0]
    X, DY = batch(D, N, rng, dtype), batch(K, N, rng, dtype)

    def train():
        layer.forward(X)
        DX = layer.backward(DY).copy()
        nerva.Momentum().step(layer.parameters(), 0.125)
        return DX

    train()
    weight.state["second"] = rng.standard_normal(nnz).astype(dtype)
    before = {"value": W.values.copy(), **{name: vector.copy() for name, vector in weight.state.items()}}
    flat = flat_positions(W)
    dropped = distinct(rng, nnz, int(rng.integers(nnz + 1))) if nnz else np.empty(0, np.int64)
    grown = empty_positions(W, distinct(rng, K * D - nnz, count))
    first = rng.standard_normal(count).astype(dtype)
    layer.rewire(dropped, grown, first)
    assert layer.weight is W
    assert layer.nnz == nnz - len(dropped) + count == len(weight.values)
    assert np.shares_memory(weight.values, W.values) or layer.nnz == 0
    after = {"value": W.values, **weight.state}
    where = {int(p): i for i, p in enumerate(flat_positions(W))}
    kept = np.setdiff1d(np.arange(nnz), dropped)
    for name, vector in before.items():
        old = np.zeros(0 if not len(after[name]) else len(after[name]), dtype)
        for i in kept:
            old[where[int(flat[i])]] = vector[i]
        for p, value in zip(grown, first, strict=True):
            old[where[int(p)]] = value if name == "value" else 0
        np.testing.assert_array_equal(after[name], old)
    # Products, companion and handles are those of the new matrix.
    dense = W.to_dense()
    np.testing.assert_allclose(layer.forward(X), dense @ X, rtol=1e-4, atol=1e-4)
    del weight.state["second"]
    np.testing.assert_allclose(train(), dense.T @ DY, rtol=1e-4, atol=1e-4)
    assert W.values.shape == (layer.nnz,)


def test_where_the_count_is_the_same_nothing_is_allocated_anew(rng):
    layer = nerva.SparseLinear(30, 20, density=0.2, rng=rng)
    values, indices = layer.weight.values, layer.weight.indices
    layer.rewire(np.array([0, 5]), empty_positions(layer.weight, np.array([3, 17])))
    assert np.shares_memory(values, layer.weight.values)
    np.testing.assert_array_equal(indices, layer.weight.indices)
    assert not indices.flags.writeable


@pytest.mark.parametrize("values", [np.ones(3), np.array([np.nan]), np.inf])
def test_wrong_first_values_are_refused(rng, values):
    layer = nerva.SparseLinear(30, 20, density=0.2, rng=rng)
    with pytest.raises(ValueError, match="values"):
        layer.rewire(np.array([0]), empty_positions(layer.weight, np.array([3])), values)


def test_the_factors_are_those_of_the_dense_gradient(rng):
    model = nerva.MLP([9, 8, 7, 4], density=[0.5] * 3, dtype=np.float64)
    X, y = rng.standard_normal((9, 6)), rng.integers(4, size=6)
    with pytest.raises(RuntimeError, match="factors"):
        _ = model.layers[0].dense_gradient_factors
    result = nerva.SoftmaxCrossEntropy()(model.forward(X), y)
    with pytest.raises(RuntimeError, match="factors"):
        _ = model.layers[0].dense_gradient_factors
    model.backward(result.gradient)
    for layer in model.layers:
        X, DZ = layer.dense_gradient_factors
        G = (DZ @ X.T)[np.repeat(np.arange(layer.out_features), np.diff(layer.weight.indptr)), layer.weight.indices]
        np.testing.assert_allclose(G, layer.weight_gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("dropped", "grown", "error", "message"),
    [
        ([5], [], ValueError, "dropped"),
        ([-1], [], ValueError, "dropped"),
        ([1, 1], [], ValueError, "dropped"),
        ([2, 1], [], ValueError, "dropped"),
        ([], [24], ValueError, "grown"),
        ([], [3, 3], ValueError, "grown"),
        ([], [0], ValueError, "grown"),
    ],
)
def test_wrong_positions_are_refused(dropped, grown, error, message):
    W = CSR((4, 6), [0, 2, 2, 4, 5], [0, 3, 1, 2, 5], np.arange(5.0))
    layer = nerva.SparseLinear(6, 4, weight=W)
    arguments = np.array(dropped, np.int64), np.array(grown, np.int64)
    with pytest.raises(error, match=message):
        layer.rewire(*arguments)
    assert W.values.tolist() == [0, 1, 2, 3, 4]
