"""The products against NumPy: correct in every shape, nothing written but the output, the same bits on any threads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl, products
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.csr import CSR

from ..reference import (
    PATTERNS,
    Call,
    Frame,
    Problem,
    activate,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
    product_bound,
    subnormals_are_live,
)

BACKENDS = ("native", "mkl", "dense")
SAMPLED = ("native", "dense")  # of the product on a pattern
THREADS = (1, 2, 3)

WIDTHS = st.one_of(
    st.integers(1, 300), st.sampled_from([n + i for n in (4, 8, 16, 32, 64, 128, 256) for i in (-1, 0, 1)])
)


@st.composite
def problems(draw):
    pattern = draw(st.sampled_from(PATTERNS))
    most_inputs = 400 if pattern == "one heavy row" else 24
    most_outputs = 400 if pattern == "one heavy column" else 24
    return Problem(
        draw(st.integers(1, most_outputs)),
        draw(st.integers(1, most_inputs)),
        draw(WIDTHS),
        pattern,
        draw(st.integers(0, 17)),
        draw(st.integers(0, 17)),
        draw(st.integers(0, 2**32)),
    )


def assert_product(backend, run, make_out, wanted, bound, inputs, W):
    """run(out) comes within the bound on 1, 2 and 3 threads, with the same bits where the kernel is our own."""
    values = W.values.copy()
    results = []
    for threads in THREADS:
        mkl.set_num_threads(threads)
        out = make_out()
        run(out.array)
        assert_within(out.array, wanted, bound, f"{threads} threads")
        out.assert_intact_outside(f"{threads} threads")
        results.append(out.array)
    if backend == "native":
        for threads, result in zip(THREADS, results, strict=True):
            assert_same_bits(result, results[0], f"{threads} threads against 1")
    for frame in inputs:
        frame.assert_unchanged("an input")
    assert_same_bits(W.values, values, "the weights")


def assert_spmm(problem, dtype, backend, activation="identity", alpha=0.0, biased=False):
    W, dense, X, _, bias = problem.arrays(dtype)
    b = bias.array[:, None].astype(np.float64) if biased else 0.0
    before = dense.astype(np.float64) @ X.array.astype(np.float64) + b
    wanted = activate(activation, before, dtype.type(alpha))
    bound = product_bound(dtype, dense, X.array, b) * max(1, alpha) + 8 * np.finfo(dtype).eps * np.abs(wanted)
    assert_product(
        backend,
        lambda out: products.spmm(
            W, X.array, out, bias.array if biased else None, ACTIVATIONS[activation], alpha, backend
        ),
        lambda: problem.out(problem.K, problem.N, dtype=dtype),
        wanted,
        bound,
        (X, bias),
        W,
    )


def assert_spmm_t(problem, dtype, backend):
    W, dense, _, DY, _ = problem.arrays(dtype)
    assert_product(
        backend,
        lambda out: products.spmm_t(W, DY.array, out, backend),
        lambda: problem.out(problem.D, problem.N, dtype=dtype),
        dense.T.astype(np.float64) @ DY.array.astype(np.float64),
        product_bound(dtype, dense.T, DY.array),
        (DY,),
        W,
    )


def assert_sddmm(problem, dtype, backend="native"):
    W, dense, X, DY, _ = problem.arrays(dtype)
    at = np.nonzero(dense)
    assert_product(
        backend,
        lambda out: products.sddmm(W, DY.array, X.array, out, backend),
        lambda: problem.out(W.nnz, dtype=dtype),
        (DY.array.astype(np.float64) @ X.array.T.astype(np.float64))[at],
        product_bound(dtype, DY.array, X.array.T)[at],
        (DY, X),
        W,
    )


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    problem=problems(),
    activation=st.sampled_from(list(ACTIVATIONS)),
    alpha=st.sampled_from([0.0, 0.1, 1.5]),
    biased=st.booleans(),
)
def test_spmm(instruction_set, dtype, backend, problem, activation, alpha, biased):
    assert_spmm(problem, dtype, backend, activation, alpha, biased)


@pytest.mark.parametrize("backend", BACKENDS)
@given(problem=problems())
def test_spmm_t(instruction_set, dtype, backend, problem):
    assert_spmm_t(problem, dtype, backend)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_batch_of_one(instruction_set, dtype, pattern, padding):
    problem = Problem(70, 90, 1, pattern, padding, padding, 5)
    assert_spmm(problem, dtype, "native", "leaky_relu", 0.5, biased=True)
    assert_spmm_t(problem, dtype, "native")
    assert_sddmm(problem, dtype, "native")


@pytest.mark.parametrize("backend", SAMPLED)
@given(problem=problems())
def test_sddmm(instruction_set, dtype, backend, problem):
    assert_sddmm(problem, dtype, backend)


# Far more work than SERIAL in team.c, so that threads share it: by rows, or, where one row has it all and the batch is
# wide enough, by the batch; and, transposed, the same of the columns.
LARGE = [
    Problem(50, 60, 100, "half"),
    Problem(5, 3000, 200, "one heavy row", 3, 5),
    Problem(3000, 5, 200, "one heavy column", 5, 3),
    Problem(5, 20000, 1, "one heavy row"),
    Problem(1, 500, 77, "full"),
    Problem(500, 1, 77, "full"),
    Problem(3000, 4, 33, "last row only"),
    Problem(300, 300, 100, "thin", 1, 1),
]


@pytest.mark.parametrize("problem", LARGE, ids=str)
def test_large_products_are_right_and_the_same_bits_on_any_threads(instruction_set, dtype, problem):
    for backend in BACKENDS:
        assert_spmm(problem, dtype, backend, "tanh", biased=True)
        assert_spmm_t(problem, dtype, backend)
    for backend in SAMPLED:
        assert_sddmm(problem, dtype, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_with_and_without_bias(instruction_set, dtype, backend, activation):
    for biased in (False, True):
        assert_spmm(Problem(30, 20, 45, "half"), dtype, backend, activation, 0.25, biased)


@pytest.mark.parametrize("backend", ["native", "mkl"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_and_infinity_pass_through(instruction_set, dtype, backend, activation):
    W, dense, X, DY, _ = Problem(12, 10, 40, "half").arrays(dtype)
    X.array[3, 5], X.array[4, 6], X.array[5, 7], DY.array[2, 3] = np.nan, np.inf, -np.inf, np.nan
    out = np.zeros((12, 40), dtype)
    products.spmm(W, X.array, out, None, ACTIVATIONS[activation], 0.5, backend)
    with np.errstate(invalid="ignore"):
        terms = dense[:, :, None] * X.array.astype(np.float64)
    wanted = activate(activation, np.where(dense[:, :, None] != 0, terms, 0).sum(1), 0.5)
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-5)
    assert np.isnan(out).sum() == np.count_nonzero(dense[:, 3])
    DX, G = np.zeros((10, 40), dtype), np.zeros(W.nnz, dtype)
    products.spmm_t(W, DY.array, DX, backend)
    np.testing.assert_array_equal(np.isnan(DX), (dense[2] != 0)[:, None] & (np.arange(40) == 3))
    products.sddmm(W, DY.array, X.array, G)
    rows, columns = np.nonzero(dense)
    np.testing.assert_array_equal(np.isnan(G), (rows == 2) | (columns == 3))
    np.testing.assert_array_equal(np.isinf(G), (rows != 2) & ((columns == 4) | (columns == 5)))


def test_subnormals_are_flushed_inside_and_live_outside(instruction_set, dtype):
    tiny, small = np.finfo(dtype).tiny / 4, np.sqrt(np.finfo(dtype).tiny) / 10
    # Subnormal weights and inputs, even where the product would be normal, and a subnormal product.
    for w, x in ((1, tiny), (tiny, 1), (1e6, tiny), (tiny, 1e6), (small, small)):
        W = CSR.from_dense(np.full((40, 50), w, dtype))
        X, DY = np.full((50, 60), x, dtype), np.full((40, 60), x, dtype)
        for threads in THREADS:
            mkl.set_num_threads(threads)
            outs = np.ones((40, 60), dtype), np.ones((50, 60), dtype)
            products.spmm(W, X, outs[0], None, ACTIVATIONS["relu"])
            products.spmm_t(W, DY, outs[1])
            assert not outs[0].any()
            assert not outs[1].any()
            assert subnormals_are_live()
    gradient = np.ones(W.nnz, dtype)
    products.sddmm(W, DY, X, gradient)
    assert not gradient.any()
    for backend in BACKENDS:
        products.spmm(W, X, outs[0], None, ACTIVATIONS["sigmoid"], 0.0, backend)
        assert subnormals_are_live()


@given(
    sizes=st.tuples(st.integers(0, 20), st.integers(1, 20), st.integers(0, 40)),
    turned=st.tuples(st.booleans(), st.booleans()),
    factors=st.sampled_from([(1, 0), (-0.5, 0), (2, 1), (1, -1.5), (0, 0), (0, 2)]),
    frame=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_gemm(dtype, sizes, turned, factors, frame):
    (m, k, n), (alpha, beta), rng = sizes, factors, np.random.default_rng(sum(sizes))
    A = Frame(rng.standard_normal((k, m) if turned[0] else (m, k)), dtype, *frame)
    B = Frame(rng.standard_normal((n, k) if turned[1] else (k, n)), dtype, *frame[::-1])
    start = rng.standard_normal((m, n)) if beta else np.full((m, n), np.nan)
    out = Frame(start, dtype, *frame)
    a, b = (x.array.astype(np.float64).T if t else x.array for x, t in zip((A, B), turned, strict=True))
    before = beta * out.array.astype(np.float64) if beta else 0
    products.gemm(A.array, B.array, out.array, *turned, alpha, beta)
    assert_within(out.array, alpha * (a @ b) + before, max(1, abs(alpha)) * product_bound(dtype, a, b, before))
    out.assert_intact_outside()
    A.assert_unchanged()
    B.assert_unchanged()


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_gemm_over_an_empty_sum(dtype, beta):
    out = np.full((3, 4), 2.0 if beta else np.nan, dtype)
    products.gemm(np.ones((3, 0), dtype), np.ones((0, 4), dtype), out, beta=beta)
    np.testing.assert_array_equal(out, 2 * beta)


# ---- refusals
def right_calls(dtype):
    rng = np.random.default_rng(1)
    W = CSR.from_dense(rng.standard_normal((4, 6)).astype(dtype))
    X, DY, bias, G = (rng.standard_normal(shape).astype(dtype) for shape in ((6, 5), (4, 5), 4, 24))
    calls = {
        "gemm": Call(products.gemm, {"A": DY.T.copy(), "B": DY, "out": np.ones((5, 5), dtype)}, ("out",)),
        "sddmm": Call(products.sddmm, {"W": W, "DY": DY, "X": X, "out": G}, ("out",)),
        "sddmm dense": Call(products.sddmm, {"W": W, "DY": DY, "X": X, "out": G, "backend": "dense"}, ("out",)),
    }
    for backend in BACKENDS:
        forward = {"W": W, "X": X, "out": DY.copy(), "bias": bias, "activation": 1, "backend": backend}
        backward = {"W": W, "DY": DY, "out": X.copy(), "backend": backend}
        calls[f"spmm {backend}"] = Call(products.spmm, forward, ("out",))
        calls[f"spmm_t {backend}"] = Call(products.spmm_t, backward, ("out",))
    return calls


@pytest.mark.parametrize("name", right_calls(np.dtype(np.float32)))
def test_wrong_arrays_are_refused(dtype, name):
    call = right_calls(dtype)[name]
    call()
    assert_refuses_wrong_arrays(call, optional=("bias",))


@pytest.mark.parametrize("name", [name for name in right_calls(np.dtype(np.float32)) if name != "gemm"])
@pytest.mark.parametrize("W", [None, np.eye(4, 6), "W"])
def test_weights_that_are_not_csr_are_refused(name, W):
    with pytest.raises(TypeError, match="'W'"):
        right_calls(np.dtype(np.float32))[name](W=W)


@pytest.mark.parametrize("name", ["spmm native", "spmm_t native", "sddmm"])
@pytest.mark.parametrize("backend", ["", "MKL", "cuda", None, 1])
def test_unknown_backends_are_refused(name, backend):
    call = right_calls(np.dtype(np.float32))[name]
    before = call.arguments["out"].copy()
    with pytest.raises((TypeError, ValueError), match="backend"):
        call(backend=backend)
    assert_same_bits(call.arguments["out"], before)


def test_mkl_has_no_product_on_a_pattern():
    call = right_calls(np.dtype(np.float32))["sddmm"]
    before = call.arguments["out"].copy()
    with pytest.raises(ValueError, match="backend"):
        call(backend="mkl")
    assert_same_bits(call.arguments["out"], before)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", [-1, 5, 2**31 - 1])
def test_unknown_activations_are_refused(backend, activation):
    call = right_calls(np.dtype(np.float32))[f"spmm {backend}"]
    before = call.arguments["out"].copy()
    with pytest.raises(ValueError, match="activation"):
        call(activation=activation)
    assert_same_bits(call.arguments["out"], before)


# Outputs that overlap an input, wholly or in part: both are slices of one block, `shift` elements apart.
@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        *((f"{product} {backend}", x) for product, x in (("spmm", "X"), ("spmm_t", "DY")) for backend in BACKENDS),
        *(("gemm", argument) for argument in ("A", "B")),
        *((name, argument) for name in ("sddmm", "sddmm dense") for argument in ("DY", "X")),
        ("spmm native", "bias"),
    ],
)
def test_an_output_on_an_input_is_refused(name, argument, shift):
    call = right_calls(np.dtype(np.float32))[name]
    right, out = call.arguments[argument], call.arguments["out"]
    block = np.ones(right.size + out.size, np.float32)
    overlapping = {argument: block[shift : shift + right.size].reshape(right.shape)}
    overlapping["out"] = block[: out.size].reshape(out.shape)
    with pytest.raises(ValueError, match=r"out overlaps"):
        call(**overlapping)
    assert (block == 1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_output_beside_an_input_is_taken(dtype, backend):
    W, dense, X, *_ = Problem(6, 6, 8, "half").arrays(dtype)
    block = np.zeros((12, 8), dtype)
    block[:6] = X.array
    products.spmm(W, block[:6], block[6:], backend=backend)
    assert_within(block[6:], dense.astype(np.float64) @ X.array, product_bound(dtype, dense, X.array))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_batch_is_nothing_to_do(dtype, backend):
    W = CSR.from_dense(np.eye(4, 6, dtype=dtype))
    products.spmm(W, np.ones((6, 0), dtype), np.ones((4, 0), dtype), backend=backend)
    products.spmm_t(W, np.ones((4, 0), dtype), np.ones((6, 0), dtype), backend)
    if backend in SAMPLED:
        gradient = np.ones(W.nnz, dtype)
        products.sddmm(W, np.ones((4, 0), dtype), np.ones((6, 0), dtype), gradient, backend)
        assert not gradient.any()
    gradient = np.ones(4, dtype)
    products.sddmm(W, np.ones((4, 0), dtype), np.ones((6, 0), dtype), gradient)
    assert not gradient.any()
