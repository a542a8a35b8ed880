"""CSR: what it accepts and refuses, conversions, and that products always use the current values."""

import copy
import gc
import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nerva._kernels import products
from nerva._kernels.csr import CSR
from nerva._kernels.memory import ALIGNMENT

from ..reference import assert_same_bits, assert_within, product_bound

BACKENDS = ("native", "mkl", "dense")


def draw(rng, K, D, density=0.3, dtype=np.float32):
    """A CSR with standard normal values, and the same dense."""
    dense = np.where(rng.random((K, D)) < density, rng.standard_normal((K, D)), 0).astype(dtype)
    return CSR.from_dense(dense), dense


# ---- construction
VALID = {
    "shape": (3, 4),
    "indptr": np.array([0, 2, 2, 4]),
    "indices": np.array([0, 3, 1, 2]),
    "values": np.arange(4, dtype=np.float32),
}
WRONG = {
    "unsorted row": {"indices": [3, 0, 1, 2]},
    "duplicate": {"indices": [0, 0, 1, 2]},
    "column too large": {"indices": [0, 4, 1, 2]},
    "column negative": {"indices": [-1, 3, 1, 2]},
    "column over int32": {"indices": [0, 2**31, 1, 2]},
    "column that wraps to 0": {"indices": [2**32, 3, 1, 2]},
    "column that wraps below 0": {"indices": [2**31, 3, 1, 2]},
    "indptr that wraps": {"indptr": [0, 2**32 + 2, 2, 4]},
    "column over int64": {"indices": np.array([0, 2**64 - 1, 1, 2], np.uint64)},
    "indices 2-D": {"indices": [[0, 3], [1, 2]]},
    "indices short": {"indices": [0, 3, 1]},
    "indices real": {"indices": [0.0, 3.0, 1.0, 2.0]},
    "indices bool": {"indices": [False, True, False, True]},
    "indptr short": {"indptr": [0, 2, 4]},
    "indptr long": {"indptr": [0, 2, 2, 4, 4]},
    "indptr empty": {"indptr": []},
    "indptr decreasing": {"indptr": [0, 2, 1, 4]},
    "indptr beyond nnz": {"indptr": [0, 5, 5, 4]},
    "indptr negative": {"indptr": [0, -1, 2, 4]},
    "indptr starts late": {"indptr": [1, 2, 2, 4]},
    "indptr ends early": {"indptr": [0, 2, 2, 3]},
    "indptr ends late": {"indptr": [0, 2, 2, 5]},
    "indptr 2-D": {"indptr": [[0, 2, 2, 4]]},
    "indptr real": {"indptr": [0.0, 2.0, 2.0, 4.0]},
    "indptr None": {"indptr": None},
    "no rows": {"shape": (0, 4), "indptr": [0]},
    "no columns": {"shape": (3, 0)},
    "rows negative": {"shape": (-3, 4)},
    "shape of three": {"shape": (3, 4, 1)},
    "shape a number": {"shape": 3},
    "shape None": {"shape": None},
    "shape text": {"shape": ("three", "four")},
    "shape fractional": {"shape": (3.5, 4)},
    "shape infinite": {"shape": (3, np.inf)},
    "rows over int32": {"shape": (2**31, 4)},
    "columns over int32": {"shape": (3, 2**31)},
    "columns over int64": {"shape": (3, 2**70)},
    "values half": {"values": np.arange(4, dtype=np.float16)},
    "values integer": {"values": np.arange(4)},
    "values complex": {"values": np.arange(4, dtype=np.complex64)},
    "values swapped": {"values": np.arange(4, dtype=np.dtype(np.float32).newbyteorder())},
    "values long": {"values": np.arange(5, dtype=np.float32)},
    "values 2-D": {"values": np.ones((4, 1), np.float32)},
    "values None": {"values": None},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_no_sorted_csr_matrix_is_refused(wrong):
    CSR(**VALID)
    with pytest.raises((TypeError, ValueError), match=max(wrong)):
        CSR(**VALID | wrong)


def test_the_largest_shape_is_taken():
    W = CSR((2, 2**31 - 1), [0, 1, 2], [2**31 - 2, 0], np.ones(2, np.float32))
    assert W.shape == (2, 2**31 - 1)
    assert W.density == 2 / (2 * (2**31 - 1))
    np.testing.assert_array_equal(W.indices, [2**31 - 2, 0])


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int64, np.uint64, list])
def test_any_integers_make_a_pattern(integer):
    make = list if integer is list else (lambda array: array.astype(integer))
    W = CSR((3, 4), make(VALID["indptr"]), make(VALID["indices"]), VALID["values"])
    assert W.indptr.dtype == W.indices.dtype == np.int32
    np.testing.assert_array_equal(W.to_dense(), [[0, 0, 0, 1], [0] * 4, [0, 2, 3, 0]])


def test_the_arrays_are_copied_aligned_and_the_pattern_is_read_only(dtype):
    arrays = {name: np.array(VALID[name]) for name in ("indptr", "indices", "values")}
    arrays["values"] = arrays["values"].astype(dtype)
    W = CSR(VALID["shape"], **arrays)
    for array in arrays.values():
        array[:] = 9
    assert W.dtype == dtype == W.values.dtype
    np.testing.assert_array_equal(W.values, VALID["values"])
    for name in ("indptr", "indices"):
        array = getattr(W, name)
        np.testing.assert_array_equal(array, VALID[name])
        for write in (lambda a=array: a.__setitem__(0, 1), lambda a=array: a.setflags(write=True)):
            with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
                write()
        with pytest.raises(AttributeError):
            setattr(W, name, array)
    assert all(array.ctypes.data % ALIGNMENT == 0 for array in (W.indptr, W.indices, W.values))


def test_values_of_another_shape_are_refused(rng):
    W, _ = draw(rng, 5, 6)
    before = W.values.copy()
    for wrong in (np.ones(W.nnz + 1), np.ones((W.nnz, 1)), 1.0):
        with pytest.raises(ValueError, match="values"):
            W.values = wrong
    np.testing.assert_array_equal(W.values, before)


@pytest.mark.parametrize(("columns", "calls", "name"), [(0, 1, "columns"), (1, 0, "calls"), (2**31, 1, "columns")])
def test_impossible_hints_are_refused(rng, columns, calls, name):
    with pytest.raises(ValueError, match=name):
        draw(rng, 3, 3)[0].optimize(columns, calls)


def test_a_matrix_is_made_once(rng):
    """A second __init__ would leave MKL's handle on arrays that are gone."""
    W, dense = draw(rng, 5, 6)
    X, out = np.ones((6, 3), np.float32), np.zeros((5, 3), np.float32)
    products.spmm(W, X, out, backend="mkl")
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        W.__init__(**VALID)
    products.spmm(W, X, out, backend="mkl")
    np.testing.assert_allclose(out, dense @ X, rtol=1e-5)


# ---- attributes and conversion
def test_it_says_what_it_is(rng):
    W = CSR(**VALID)
    assert repr(W) == "<CSR 3 x 4, 4 weights (density 0.3333), float32>"
    assert (W.shape, W.rows, W.columns, W.nnz, len(W), W.density) == ((3, 4), 3, 4, 4, 3, 4 / 12)
    assert W.nbytes == 4 * 4 + 4 * 4 + 4 * 4
    products.spmm_t(W, np.ones((3, 2), np.float32), np.ones((4, 2), np.float32))
    assert W.nbytes == 48 + 5 * 4 + 4 * 4 + 4 * 4
    products.spmm_t(W, np.ones((3, 2), np.float32), np.ones((4, 2), np.float32), "mkl")
    assert W.nbytes == 100 + 4 * 4


DENSE = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0.0, 0.0, 1.0, -2.5, np.inf, -np.inf, np.nan]),
)


def assert_same_matrix(W, other):
    assert (W.shape, W.dtype) == (other.shape, other.dtype)
    for name in ("indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(W, name), getattr(other, name))


@given(dense=DENSE)
def test_round_trips_are_exact(dense):
    W = CSR.from_dense(dense)
    expected = scipy.sparse.csr_array(dense)
    assert W.nnz == np.count_nonzero(dense)
    np.testing.assert_array_equal(W.to_dense(), dense)
    np.testing.assert_array_equal(W.indptr, expected.indptr)
    np.testing.assert_array_equal(W.indices, expected.indices)
    matrix = W.to_scipy()
    assert (matrix.dtype, matrix.shape, matrix.nnz) == (dense.dtype, dense.shape, W.nnz)
    for other in (CSR.from_scipy(matrix), W.copy(), copy.copy(W), copy.deepcopy(W), pickle.loads(pickle.dumps(W))):
        assert_same_matrix(other, W)
    # None of them shares memory with W.
    others = W.copy(), pickle.loads(pickle.dumps(W)), copy.copy(W)
    matrix.data[:] = 7
    W.values[:] = 8
    for other in others:
        np.testing.assert_array_equal(other.to_dense(), dense)


def test_stored_zeros_survive():
    W = CSR((2, 2), [0, 1, 2], [1, 0], np.array([0.0, 3.0], np.float32))
    for other in (W.copy(), CSR.from_scipy(W.to_scipy()), pickle.loads(pickle.dumps(W))):
        assert other.nnz == 2


@pytest.mark.parametrize(
    "form", ["csr_array", "csr_matrix", "csc_array", "coo_array", "bsr_array", "lil_array", "dok_array"]
)
def test_any_scipy_matrix_is_taken(rng, dtype, form):
    _, dense = draw(rng, 6, 8, dtype=dtype)
    W = CSR.from_scipy(getattr(scipy.sparse, form)(dense))
    assert W.dtype == dtype
    np.testing.assert_array_equal(W.to_dense(), dense)


@pytest.mark.parametrize("form", ["coo_array", "csc_array", "csr_array"])
def test_duplicates_are_summed_and_unsorted_rows_sorted(form):
    at = (np.array([1, 0, 1, 1, 1]), np.array([2, 1, 2, 0, 2]))
    matrix = scipy.sparse.coo_array((np.array([1, 2, 4, 8, 16], np.float32), at), shape=(2, 3))
    if form == "csc_array":
        matrix = scipy.sparse.csc_array((matrix.data[[3, 1, 0, 2, 4]], [1, 0, 1, 1, 1], [0, 1, 2, 5]), shape=(2, 3))
    elif form == "csr_array":
        matrix = scipy.sparse.csr_array((matrix.data[[1, 0, 2, 3, 4]], [1, 2, 2, 0, 2], [0, 1, 5]), shape=(2, 3))
    before = matrix.data.copy()
    W = CSR.from_scipy(matrix)
    np.testing.assert_array_equal(W.to_dense(), [[0, 2, 0], [8, 0, 21]])
    np.testing.assert_array_equal(matrix.data, before)
    np.testing.assert_array_equal(W.indices, [1, 0, 2])


@pytest.mark.parametrize("wrong", [np.ones(3, np.float32), np.ones((2, 2, 2), np.float32), np.ones((0, 3), np.float32)])
def test_what_is_no_matrix_makes_no_csr(wrong):
    with pytest.raises(ValueError, match="shape"):
        CSR.from_dense(wrong)


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.complex64])
def test_matrices_of_other_types_make_no_csr(dtype):
    with pytest.raises(TypeError, match="dtype"):
        CSR.from_dense(np.ones((2, 2), dtype))
    if dtype != np.float16:
        with pytest.raises(TypeError, match="dtype"):
            CSR.from_scipy(scipy.sparse.csr_array(np.ones((2, 2), dtype)))


# ---- the handles
def assert_products_see(W, dense, rng, backends=BACKENDS):
    """Each product of W is that of `dense`."""
    K, D = dense.shape
    X, DY = rng.standard_normal((D, 20)).astype(W.dtype), rng.standard_normal((K, 20)).astype(W.dtype)
    dense = dense.astype(np.float64)
    for backend in backends:
        Y, DX = np.full((K, 20), np.nan, W.dtype), np.full((D, 20), np.nan, W.dtype)
        products.spmm(W, X, Y, backend=backend)
        assert_within(Y, dense @ X, product_bound(W.dtype, dense, X), f"{backend} spmm")
        products.spmm_t(W, DY, DX, backend)
        assert_within(DX, dense.T @ DY, product_bound(W.dtype, dense.T, DY), f"{backend} spmm_t")


def _by_item(W):
    for j in range(W.nnz):
        W.values[j] = -j


def _by_setter(W):
    W.values = np.arange(W.nnz)


def _in_place(W):
    W.values *= -2


def _through_a_view(W):
    W.values[::2][...] = 5


def _from_scratch(W):
    W.values.fill(0)


WRITES = {
    "item": _by_item,
    "slice": lambda W: W.values.__setitem__(slice(1, -1), 3),
    "setter": _by_setter,
    "in place": _in_place,
    "a view": _through_a_view,
    "ufunc": lambda W: np.add(W.values, 1, out=W.values),
    "copyto": lambda W: np.copyto(W.values, np.linspace(-1, 1, W.nnz, dtype=W.dtype)),
    "fill": _from_scratch,
    "sddmm": lambda W: products.sddmm(W, np.ones((W.rows, 3), W.dtype), np.ones((W.columns, 3), W.dtype), W.values),
}


# After `optimize`, MKL may use its own copy of the values: without update_handle, these tests fail at the first write.
@pytest.mark.parametrize("optimized", ["never", "first", "between", "after", "always"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_products_use_the_current_values(rng, dtype, write, optimized):
    W, dense = draw(rng, 40, 50, dtype=dtype)
    if optimized in ("first", "always"):
        W.optimize(20)
    assert_products_see(W, dense, rng)
    for turn in range(3):
        if optimized == "always" or (optimized == "between" and turn == 1):
            W.optimize(20, 1000 + turn)
        write(W)
        if optimized == "after" and turn == 0:
            W.optimize(columns=20, calls=100000)
        assert_products_see(W, W.to_dense(), rng)
        dense = W.to_dense()
        assert_products_see(W, dense, rng, ("mkl", "native", "mkl"))


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_matrix_without_weights(rng, dtype, backend, optimized):
    W = CSR((4, 5), np.zeros(5, int), [], np.zeros(0, dtype))
    if optimized:
        W.optimize(20)
    assert_products_see(W, np.zeros((4, 5)), rng, (backend,))
    assert W.to_scipy().nnz == W.values.size == W.density == 0
    assert_same_matrix(pickle.loads(pickle.dumps(W)), W)


def test_handles_are_destroyed(rng):
    """Many matrices with handles come and go; views of their arrays outlive them."""
    kept = []
    for turn in range(300):
        W, dense = draw(rng, 30, 20)
        if turn % 2:
            W.optimize(20)
        if turn % 50 == 0:
            assert_products_see(W, dense, rng)
        else:
            products.spmm(W, np.ones((20, 4), np.float32), np.ones((30, 4), np.float32), backend="mkl")
            products.spmm_t(W, np.ones((30, 4), np.float32), np.ones((20, 4), np.float32), backend="mkl")
        kept.append((W.values, W.indices, dense[dense != 0], np.nonzero(dense)[1]))
        del W
    gc.collect()
    for values, indices, expected_values, expected_indices in kept:
        np.testing.assert_array_equal(values, expected_values)
        np.testing.assert_array_equal(indices, expected_indices)


def test_from_dense_with_a_threshold(dtype):
    array = np.array([[0.5, -0.5, 0.0], [-0.51, 0.1, 2.0]], dtype)
    np.testing.assert_array_equal(CSR.from_dense(array, 0.5).to_dense(), [[0, 0, 0], np.array([-0.51, 0, 2], dtype)])
    assert CSR.from_dense(array, threshold=0.0).nnz == 5
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match="threshold is"):
            CSR.from_dense(array, bad)


def test_replace_checks_first(rng):
    W, _ = draw(rng, 4, 6)
    before = W.copy()
    for arguments, error in [
        (([0, 1, 1, 1, 1], [7], np.ones(1, np.float32)), ValueError),
        (([0, 1, 1, 1], [0], np.ones(1, np.float32)), ValueError),
        (([0, 1, 1, 1, 1], [0], np.ones(1)), TypeError),
        (([0, 1, 1, 1, 1], [0], np.ones(1, int)), TypeError),
    ]:
        with pytest.raises(error):
            W.replace(*arguments)
        for name in ("indptr", "indices", "values"):
            np.testing.assert_array_equal(getattr(W, name), getattr(before, name))


def test_a_twin_shares_the_pattern_and_outlives_its_original(dtype, rng):
    W = CSR.from_dense(np.where(rng.random((6, 7)) < 0.5, rng.standard_normal((6, 7)), 0).astype(dtype))
    other = W.twin()
    assert other.is_twin_of(W)
    assert not W.is_twin_of(other)
    assert not other.is_twin_of(W.copy())
    assert np.shares_memory(other.indices, W.indices)
    assert not other.values.any()
    other.values = W.values * 2
    assert_same_bits(other.to_dense(), W.to_dense() * 2)
    DY, DX = rng.standard_normal((6, 5)).astype(dtype), np.empty((7, 5), dtype)
    wanted = 2 * W.to_dense().T @ DY
    for backend in products.BACKENDS:
        products.spmm_t(other, DY, DX, backend)
        np.testing.assert_allclose(DX, wanted, rtol=1e-4, atol=1e-5)
    del W
    products.spmm_t(other, DY, DX)
    np.testing.assert_allclose(DX, wanted, rtol=1e-4, atol=1e-5)
    assert pickle.loads(pickle.dumps(other)).to_dense().tobytes() == other.to_dense().tobytes()
