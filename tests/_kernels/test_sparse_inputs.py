"""The products of a layer with sparse inputs, against those with the same samples dense."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from nerva._kernels import mkl, sparse_inputs
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.csr import CSR

from ..reference import (
    PATTERNS,
    Frame,
    Problem,
    activate,
    as_sparse_batch,
    assert_same_bits,
    assert_within,
    draw_sparse_samples,
    subnormals_are_live,
)

pytestmark = pytest.mark.usefixtures("instruction_set")

KINDS = ("mixed", "empty", "one-hot", "one heavy sample", "one heavy feature")
problems = st.builds(
    Problem,
    K=st.integers(1, 37),
    D=st.integers(1, 40),
    N=st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100]),
    pattern=st.sampled_from(PATTERNS),
    offset=st.integers(0, 3),
    padding=st.integers(0, 5),
    seed=st.integers(0, 2**32 - 1),
)


@given(problem=problems, kind=st.sampled_from(KINDS), activation=st.sampled_from(list(ACTIVATIONS)), bias=st.booleans())
def test_products_are_those_of_the_dense_samples(dtype, problem, kind, activation, bias):
    W, dense, _, _, b = problem.arrays(dtype)
    X, samples = draw_sparse_samples(np.random.default_rng(problem.seed), problem.N, problem.D, kind, dtype)
    batch = as_sparse_batch(X, dtype)
    assert batch.shape == (problem.D, problem.N)
    plus = b.array[:, None].astype(np.float64) if bias else 0.0
    Z = dense.astype(np.float64) @ samples.T + plus
    # Where numbers of one place cancel, what is rounded is each of them.
    magnitude = abs(sparse.csr_array((abs(X.data), X.indices, X.indptr), shape=X.shape).toarray().astype(np.float64))
    terms = X.nnz + 8
    bound = terms * np.finfo(dtype).eps * (abs(dense) @ magnitude.T + abs(plus)) + np.finfo(dtype).tiny
    slack = 8 * np.finfo(dtype).eps
    wide = Frame(dense, dtype, problem.offset, problem.padding)
    for weight in (W, wide.array):
        out = problem.out(problem.K, problem.N, dtype=dtype)
        sparse_inputs.product(weight, batch, out.array, b.array if bias else None, ACTIVATIONS[activation], 0.01)
        wanted = activate(activation, Z, 0.01)
        assert_within(out.array, wanted, bound + slack * abs(wanted), "product")
        out.assert_intact_outside("product")
    b.assert_unchanged("bias")
    wide.assert_unchanged("weight")
    assert subnormals_are_live()


@given(problem=problems, kind=st.sampled_from(KINDS))
def test_gradients_are_those_of_the_dense_samples(dtype, problem, kind):
    W, dense, _, DZ, _ = problem.arrays(dtype)
    X, samples = draw_sparse_samples(np.random.default_rng(problem.seed), problem.N, problem.D, kind, dtype)
    batch = as_sparse_batch(X, dtype)
    wanted = DZ.array.astype(np.float64) @ samples
    magnitude = abs(sparse.csr_array((abs(X.data), X.indices, X.indptr), shape=X.shape).toarray().astype(np.float64))
    bound = (X.nnz + 8) * np.finfo(dtype).eps * (abs(DZ.array) @ magnitude) + np.finfo(dtype).tiny
    rows = np.repeat(np.arange(problem.K), np.diff(W.indptr))
    out = problem.out(W.nnz, dtype=dtype)
    sparse_inputs.gradient(W, DZ.array, batch, out.array)
    assert_within(out.array, wanted[rows, W.indices], bound[rows, W.indices], "gradient on the pattern")
    out.assert_intact_outside("gradient on the pattern")
    out = problem.out(problem.K, problem.D, dtype=dtype)
    sparse_inputs.gradient(dense, DZ.array, batch, out.array)
    assert_within(out.array, wanted, bound, "whole gradient")
    out.assert_intact_outside("whole gradient")
    absent = np.setdiff1d(np.arange(problem.D), X.indices)
    assert not out.array[:, absent].any()
    DZ.assert_unchanged("DZ")
    assert subnormals_are_live()


def test_bits_do_not_depend_on_the_threads(dtype, rng):
    K, D, N = 130, 700, 150
    dense = np.where(rng.random((K, D)) < 0.2, rng.standard_normal((K, D)), 0).astype(dtype)
    W = CSR.from_dense(dense)
    DZ = np.ascontiguousarray(rng.standard_normal((K, N)), dtype)
    for kind in KINDS:
        X, _ = draw_sparse_samples(rng, N, D, kind, dtype)
        results = []
        for count in (1, 2, 3, 7):
            mkl.set_num_threads(count)
            for _ in range(3):  # after a late team, kernels run on one thread for a while
                batch = as_sparse_batch(X, dtype)
                Y, Y2 = np.full((K, N), np.nan, dtype), np.full((K, N), np.nan, dtype)
                G, G2 = np.full(W.nnz, np.nan, dtype), np.full((K, D), np.nan, dtype)
                sparse_inputs.product(W, batch, Y, None, ACTIVATIONS["tanh"])
                sparse_inputs.product(dense, batch, Y2, None, ACTIVATIONS["tanh"])
                sparse_inputs.gradient(W, DZ, batch, G)
                sparse_inputs.gradient(dense, DZ, batch, G2)
                results.append((Y, Y2, G, G2))
        for other in results[1:]:
            for got, wanted in zip(other, results[0], strict=True):
                assert_same_bits(got, wanted, kind)


def test_subnormals_are_flushed(dtype):
    tiny = np.finfo(dtype).tiny
    X = sparse.csr_array(np.array([[0.25]], dtype))
    batch = as_sparse_batch(X, dtype)
    W = CSR.from_dense(np.array([[tiny]], dtype))
    for weight in (W, W.to_dense()):
        out = np.ones((1, 1), dtype)
        sparse_inputs.product(weight, batch, out)
        assert out[0, 0] == 0
        out = np.ones(1, dtype) if weight is W else np.ones((1, 1), dtype)
        sparse_inputs.gradient(weight, np.array([[tiny]], dtype), batch, out)
        assert not out.any()


def test_nothing_but_the_features_of_the_batch_is_read(dtype):
    """A NaN in the weights of other features does not spread."""
    weight = np.array([[1.0, np.nan, 2.0]], dtype)
    batch = as_sparse_batch(sparse.csr_array(np.array([[3.0, 0, 0], [0, 0, 4.0]], dtype)), dtype)
    for W in (weight, CSR((1, 3), [0, 3], [0, 1, 2], weight[0])):
        out = np.empty((1, 2), dtype)
        sparse_inputs.product(W, batch, out)
        np.testing.assert_array_equal(out, [[3.0, 8.0]])


def test_products_take_no_wrong_arrays(rng):
    X, _ = draw_sparse_samples(rng, 4, 3)
    batch, W = as_sparse_batch(X, np.float32), CSR.from_dense(np.ones((2, 3), np.float32))
    out, DZ, G = np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32), np.zeros(6, np.float32)
    other = CSR.from_dense(np.ones((2, 5), np.float32))
    shared = np.zeros(20, np.float32)
    for call, error, message in (
        (lambda: sparse_inputs.product(W, X, out), TypeError, "X"),
        (lambda: sparse_inputs.product(W, None, out), TypeError, "X"),
        (lambda: sparse_inputs.product(other, batch, out), ValueError, r"X has shape \(3, 4\); it must be \(5, any\)"),
        (lambda: sparse_inputs.product(W, as_sparse_batch(X, np.float64), out), TypeError, "X has dtype float64"),
        (lambda: sparse_inputs.product("W", batch, out), TypeError, "W is str"),
        (lambda: sparse_inputs.product(np.ones((2, 5), np.float32), batch, out), ValueError, "W has shape"),
        (lambda: sparse_inputs.product(np.ones((2, 3)), batch, out), TypeError, "W has dtype float64"),
        (lambda: sparse_inputs.product(W, batch, out[:, :3]), ValueError, "out has shape"),
        (lambda: sparse_inputs.product(W, batch, out.astype(float)), TypeError, "out has dtype"),
        (lambda: sparse_inputs.product(W, batch, out, np.ones(3, np.float32)), ValueError, "bias has shape"),
        (lambda: sparse_inputs.product(W, batch, out, out[0, :2]), ValueError, "out overlaps bias"),
        (lambda: sparse_inputs.product(W, batch, out, None, 17), ValueError, "activation is 17"),
        (
            lambda: sparse_inputs.product(shared[:6].reshape(2, 3), batch, shared[4:12].reshape(2, 4)),
            ValueError,
            "out overlaps W",
        ),
        (lambda: sparse_inputs.gradient(other, DZ, batch, G), ValueError, "X has shape"),
        (lambda: sparse_inputs.gradient(W, DZ[:1], batch, G), ValueError, "DZ has shape"),
        (lambda: sparse_inputs.gradient(W, DZ[:, :3], batch, G), ValueError, "DZ has shape"),
        (lambda: sparse_inputs.gradient(W, DZ, batch, G[:5]), ValueError, "out has shape"),
        (lambda: sparse_inputs.gradient(W, G[:4].reshape(1, 4), batch, G), ValueError, "DZ has shape"),
        (lambda: sparse_inputs.gradient(np.ones((2, 3), np.float32), DZ, batch, G), ValueError, "out has shape"),
        (lambda: sparse_inputs.gradient(np.ones((3, 3), np.float32), DZ, batch, G), ValueError, "W has shape"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert not out.any()
    assert not G.any()
