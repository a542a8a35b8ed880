"""A plan for sparse samples: against a plan for the same samples dense, and against NumPy; and what it refuses."""

import numpy as np
import pytest
from scipy import sparse

from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.csr import CSR
from nerva._kernels.operations import Dropping, Mask, Product
from nerva._kernels.plan import Plan
from nerva._kernels.program import Program
from nerva._kernels.sparse_batch import SparseBatch
from nerva._kernels.updates import Update

from ..plan_reference import ARRAY, Case, gradients_of
from ..reference import assert_same_bits

PATTERNS = ["half", "thin", "one heavy row", "one heavy column", "full", ARRAY]


def case_of(pattern, N, activation="relu", sizes=(70, 40, 10), by_rows=None):
    names = (activation, "identity")
    return Case(sizes, (pattern, "half"), names, (activation != "tanh", True), N, samples=N, by_rows=by_rows)


def network_of(case, dtype, density=0.3):
    """A network whose samples are mostly zeros, each of them once in the batch."""
    network = case.network(dtype)
    rng = np.random.default_rng(1)
    network.source *= rng.random(network.source.shape) < density
    network.rows = np.arange(case.N)
    return network


def as_batch(network):
    return SparseBatch.from_scipy(sparse.csr_array(network.source.astype(network.dtype)), network.dtype)


def plan_of(network):
    case = network.case
    layers = [
        Product(weight, bias, (ACTIVATIONS[name], 0.1 if name == "leaky_relu" else 0.0))
        for weight, bias, name in zip(network.weights, network.biases, case.activations, strict=True)
    ]
    return Plan(layers, network.dtype, by_rows=case.by_rows, sparse=True)


def assert_agree(network, tolerance):
    """Loss, predictions, gradients and outputs; the samples dense are the oracle, which has tests of its own."""
    plan, batch = plan_of(network), as_batch(network)
    found, wanted = gradients_of(network, plan, source=batch), gradients_of(network)
    assert found[0] == pytest.approx(wanted[0], rel=tolerance)
    assert found[1] == wanted[1]
    for mine, right in zip(found[2], wanted[2], strict=True):
        for gradient, other in zip(mine, right, strict=True):
            if gradient is not None:
                size = np.abs(other).max(initial=0)
                np.testing.assert_allclose(gradient, other, rtol=tolerance, atol=tolerance * size)
    outputs = [np.zeros((network.case.sizes[-1], network.case.N), network.dtype) for _ in range(2)]
    assert plan.forward(batch, network.rows, outputs[0])
    network.plan().forward(network.source, network.rows, outputs[1])
    np.testing.assert_allclose(*outputs, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("N", [1, 2, 7, 16, 63, 64, 100, 129, 300, 1100])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_step_agrees_with_that_of_dense_samples(pattern, N, by_rows, dtype, instruction_set):
    assert_agree(network_of(case_of(pattern, N, by_rows=by_rows), dtype), 2e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("sizes", [(70, 40, 10), (1, 33, 5), (200, 1, 3)], ids=str)
def test_every_activation_and_shape(activation, sizes, dtype, instruction_set):
    network = network_of(case_of("full", 100, activation, sizes), dtype)
    assert_agree(network, 2e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_samples_without_an_entry_and_with_all(density, dtype, instruction_set):
    assert_agree(network_of(case_of("half", 100), dtype, density), 2e-5 if dtype == np.float32 else 1e-12)


def test_one_layer_against_numpy(rng, dtype, instruction_set):
    """Its outputs, and the step by softmax cross-entropy, with features that occur twice in a sample."""
    N, D, K = 130, 60, 7
    indptr = np.arange(N + 1) * 5
    X = sparse.csr_array((rng.standard_normal(5 * N).astype(dtype), rng.integers(0, D, 5 * N), indptr), shape=(N, D))
    W, b = (
        (rng.standard_normal((K, D)) * (rng.random((K, D)) < 0.4)).astype(dtype),
        rng.standard_normal(K).astype(dtype),
    )
    weight, labels = CSR.from_dense(W), rng.integers(0, K, N)
    dense, batch = X.toarray().astype(np.float64), SparseBatch.from_scipy(X, dtype)
    Z = W.astype(np.float64) @ dense.T + b[:, None]
    plan, out = Plan([Product(weight, b)], dtype, sparse=True), np.zeros((K, N), dtype)
    assert plan.forward(batch, np.arange(N), out)
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(out, Z, rtol=tolerance, atol=tolerance)
    P = np.exp(Z - Z.max(axis=0))
    P /= P.sum(axis=0)
    P[labels, np.arange(N)] -= 1
    wanted = np.where(W != 0, W - 0.1 * (P @ dense) / N, 0)
    plan.step([(Update("sgd", 0.1), None, None, None)] * 2, batch, np.arange(N), labels)
    np.testing.assert_allclose(weight.to_dense(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("N", [40, 129, 700])
@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_bits_do_not_depend_on_threads(pattern, by_rows, N, dtype, instruction_set):
    found = []
    for threads in (1, 2, 3, 5):
        mkl.set_num_threads(threads)
        network = network_of(case_of(pattern, N, "sigmoid", (300, 200, 10), by_rows), dtype)
        found.append(gradients_of(network, plan_of(network), source=as_batch(network)))
    for loss, correct, gradients in found[1:]:
        assert (loss, correct) == found[0][:2]
        for mine, first in zip(gradients, found[0][2], strict=True):
            for gradient, other in zip(mine, first, strict=True):
                if gradient is not None:
                    assert_same_bits(gradient, other)


# ---- what a plan refuses


def small_plan(dtype=np.float64, rows=3, features=4, **settings):
    return Plan([Product(CSR.from_dense(np.eye(rows, features, dtype=dtype)), None)], dtype, sparse=True, **settings)


def batch_of(n=2, features=4, dtype=np.float64):
    return SparseBatch.from_scipy(sparse.csr_array(np.eye(n, features)), dtype)


@pytest.mark.parametrize(
    ("source", "rows", "error", "message"),
    [
        (np.eye(2, 4), [0, 1], TypeError, "source is ndarray; it must be a SparseBatch"),
        (batch_of(dtype=np.float32), [0, 1], TypeError, "source has dtype float32; it must be float64"),
        (batch_of(features=5), [0, 1], ValueError, r"source has shape \(5, 2\); it must be \(4, 2\)"),
        (batch_of(n=3), [0, 1], ValueError, r"source has shape \(4, 3\); it must be \(4, 2\)"),
        (batch_of(), [0, 2], ValueError, r"rows\[1\] is 2; it must be within 0 to 1"),
        (batch_of(), [-1, 0], ValueError, r"rows\[0\] is -1"),
        (batch_of(n=0), [], ValueError, "rows is empty"),
    ],
)
def test_a_plan_refuses_what_does_not_fit(source, rows, error, message):
    with pytest.raises(error, match=message):
        small_plan().step([], source, np.array(rows, np.int64), np.zeros(2, np.int64))


def test_a_plan_of_dense_samples_refuses_sparse_ones_and_the_scale_of_dense_ones():
    dense = Plan([Product(CSR.from_dense(np.eye(3, 4)), None)], np.float64)
    with pytest.raises(TypeError):
        dense.forward(batch_of(), np.arange(2), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="scale and shift are for dense samples"):
        small_plan().forward(batch_of(), np.arange(2), np.zeros((3, 2)), scale=np.ones(4, np.float32))


def test_a_program_needs_a_product_first():
    operations = [Dropping(lambda: Mask(0, 0.5)), Product(CSR.from_dense(np.eye(3, 4)), None)]
    with pytest.raises(ValueError, match=r"operations\[0\] is dropout; only a product takes sparse samples"):
        Program(operations, np.float64, sparse=True)
