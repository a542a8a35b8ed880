"""The operations of a compiled network: what a program refuses, and each operation against NumPy."""

import numpy as np
import pytest

from nerva._kernels.activations import ACTIVATIONS, FROM_INPUTS, activation, srelu
from nerva._kernels.csr import CSR
from nerva._kernels.dropout import dropout, dropout_vector
from nerva._kernels.operations import (
    Dropping,
    Elementwise,
    Mask,
    Normalization,
    Product,
    Statistics,
    TrainedReLU,
)
from nerva._kernels.plan import Plan
from nerva._kernels.program import Program
from nerva._kernels.updates import Update

N, D, K = 131, 20, 12
KEY = 0x9E3779B97F4A7C15


@pytest.fixture
def weights(rng, dtype):
    """W (K, D), sparse, and b (K,)."""
    W = rng.standard_normal((K, D)) * (rng.random((K, D)) < 0.4)
    return W.astype(dtype), rng.standard_normal(K).astype(dtype)


@pytest.fixture
def batch(rng, dtype):
    """Samples as rows, and their labels."""
    return rng.standard_normal((N, D)).astype(dtype), rng.integers(0, K, N)


def outputs_of(operations, X):
    out = np.zeros((operations[0].weight.shape[0], len(X)), X.dtype)
    Plan(operations, X.dtype).forward(X, np.arange(len(X)), out)
    return out


def step_of(operations, vectors, X, labels, rate=0.1):
    """Take a step of plain gradient descent; `vectors` is the number of vectors of parameters."""
    updates = [(Update("sgd", rate), None, None, None)] * vectors
    return Plan(operations, X.dtype).step(updates, X, np.arange(len(X)), labels)


def close(found, wanted):
    tolerance = 1e-5 if found.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *FROM_INPUTS])
@pytest.mark.parametrize("dense", [False, True])
def test_an_activation_of_its_own(name, dense, weights, batch, instruction_set):
    (W, b), (X, _), code = weights, batch, (ACTIVATIONS | FROM_INPUTS)[name]
    wanted = np.ascontiguousarray(W @ X.T + b[:, None])
    activation(wanted, code, 0.3, wanted)
    found = outputs_of([Product(W if dense else CSR.from_dense(W), b), Elementwise((code, 0.3))], X)
    close(found, wanted)


@pytest.mark.parametrize("sets", [1, K])
def test_an_srelu(sets, weights, batch, rng, instruction_set):
    (W, b), (X, _) = weights, batch
    parameters = rng.standard_normal(4 * sets).astype(W.dtype)
    wanted = np.ascontiguousarray(W @ X.T + b[:, None])
    srelu(wanted, parameters, wanted)
    close(outputs_of([Product(CSR.from_dense(W), b), TrainedReLU(parameters)], X), wanted)


def test_evaluation_drops_nothing(weights, batch, instruction_set):
    (W, b), (X, _) = weights, batch

    def never():
        raise AssertionError("a mask was drawn for an evaluation")

    W = CSR.from_dense(W)
    plain = outputs_of([Product(W, b)], X)
    np.testing.assert_array_equal(outputs_of([Product(W, b, drop=never), Dropping(never)], X), plain)
    np.testing.assert_array_equal(outputs_of([Product(W, b), Dropping(never), Dropping(never)], X), plain)


def softmax_loss(Z, labels):
    Z = Z - Z.max(axis=0)
    logarithms = Z - np.log(np.exp(Z).sum(axis=0))
    return -logarithms[labels, np.arange(len(labels))].mean()


@pytest.mark.parametrize("name", ["identity", "relu", "tanh"])
def test_the_mask_of_a_slice_is_that_of_the_whole_batch(name, weights, batch, instruction_set):
    (W, b), (X, labels), code = weights, batch, ACTIVATIONS[name]
    Y = np.ascontiguousarray(W @ X.T + b[:, None])
    activation(Y, code, 0.0, Y)
    dropout(Y, KEY, 0.4, Y)
    operations = [Product(CSR.from_dense(W), b.copy(), (code, 0.0)), Dropping(lambda: Mask(KEY, 0.4))]
    loss, _ = step_of(operations, 2, X, labels)
    close(np.array(loss, X.dtype), softmax_loss(Y, labels))


@pytest.mark.parametrize("shape", [(K, D), (70, 33), (64, 32)])
def test_weights_are_dropped_and_so_are_their_gradients(shape, rng, dtype, instruction_set):
    """A weight vector of less than a row of the mask, of two and a bit, and of two."""
    W, X, labels = rng.standard_normal(shape).astype(dtype), rng.standard_normal((N, shape[1])), rng.integers(0, 5, N)
    X, kept = X.astype(dtype), np.ones(W.size, dtype)
    dropout_vector(kept, KEY, 0.5, kept)
    sparse, twin, b = CSR.from_dense(W), CSR.from_dense(W), np.zeros(shape[0], dtype)
    Z = (W.reshape(-1) * kept).reshape(shape) @ X.T
    loss, _ = step_of([Product(sparse, b, drop=lambda: (Mask(KEY, 0.5), twin))], 2, X, labels, 0.1)
    np.testing.assert_allclose(loss, softmax_loss(Z.astype(np.float64), labels), rtol=1e-5)
    P = np.exp(Z - Z.max(axis=0))
    P /= P.sum(axis=0)
    P[labels, np.arange(N)] -= 1
    gradient = (P @ X / N).reshape(-1) * kept
    close(sparse.values, W.reshape(-1) - dtype.type(0.1) * gradient)
    np.testing.assert_array_equal(twin.values, W.reshape(-1) * kept)


def test_a_program_refuses_what_does_not_fit():
    W = CSR.from_dense(np.eye(3, 4))
    with pytest.raises(ValueError, match="no product"):
        Program([Elementwise((1, 0.0))], np.float64)
    with pytest.raises(ValueError, match=r"operations\[1\] has shape \(3, 4\); it must take 3 features"):
        Program([Product(W, None), Product(W, None)], np.float64)
    with pytest.raises(ValueError, match="has no activation of code 10"):
        Program([Product(W, None), Elementwise((10, 0.0))], np.float64)
    with pytest.raises(ValueError, match="activation is 5"):  # which no product can compute
        Program([Product(W, None, (5, 0.0))], np.float64)
    with pytest.raises(ValueError, match="has 8 parameters for 3 features"):
        Program([Product(W, None), TrainedReLU(np.zeros(8))], np.float64)


def test_statistics_and_a_normalization_go_together():
    W, ones = CSR.from_dense(np.eye(3, 4)), np.ones(3)
    normalization = Normalization(ones, ones, ones, ones, lambda: (1e-5, 0.1))
    for operations in ([normalization], [Statistics(), Elementwise((1, 0.0))]):
        with pytest.raises(ValueError, match="statistics and a normalization go together"):
            Program([Product(W, None), *operations], np.float64)
    with pytest.raises(ValueError, match="statistics and a normalization go together"):
        Program([Product(W, None), Statistics()], np.float64)


def test_evaluation_normalizes_by_the_running_statistics(weights, batch, rng, instruction_set):
    (W, b), (X, _) = weights, batch
    gamma, beta, mean = rng.standard_normal((3, K)).astype(W.dtype)
    variance = (rng.random(K) + 0.1).astype(W.dtype)
    before = mean.copy(), variance.copy()
    normalization = Normalization(gamma, beta, mean, variance, lambda: (0.01, 0.1), (ACTIVATIONS["tanh"], 0.0))
    found = outputs_of([Product(CSR.from_dense(W), b), Statistics(), normalization], X)
    Z = (W @ X.T + (b - mean)[:, None]) / np.sqrt(variance + 0.01)[:, None]
    close(found, np.tanh(gamma[:, None] * Z + beta[:, None]))
    np.testing.assert_array_equal((mean, variance), before)


def test_there_is_an_update_for_each_vector_of_parameters():
    W, b = CSR.from_dense(np.eye(3, 4)), np.zeros(3)
    with pytest.raises(ValueError, match="updates has 1 entries; there are 2"):
        step_of([Product(W, b)], 1, np.zeros((2, 4)), np.zeros(2, np.int64))
    np.testing.assert_array_equal(W.values, np.ones(3))


def test_parameters_need_not_be_aligned(instruction_set):
    """Threads stream what they update past the caches, which takes aligned memory."""
    memory = np.zeros(8 * 8 + 1)
    W = memory[1:].reshape(8, 8)
    W[:] = np.eye(8)
    X, labels = np.random.default_rng(0).standard_normal((200, 8)), np.arange(200) % 8
    other = W.copy()
    step_of([Product(W, None)], 1, X, labels)
    step_of([Product(other, None)], 1, X, labels)
    np.testing.assert_array_equal(W, other)
