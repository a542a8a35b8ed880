"""Sparse inputs: batches of sparse samples, a layer's products with them, and networks that train on them."""

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import nerva
from nerva._kernels import mkl, sparse_inputs
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.sparse_inputs import SparseBatch
from nerva.training.batches import Batches
from nerva.training.samples import Samples

from .reference import (
    PATTERNS,
    Frame,
    Problem,
    activate,
    assert_same_bits,
    assert_within,
    subnormals_are_live,
)

pytestmark = pytest.mark.usefixtures("instruction_set")


# ---- sparse samples, as awkward as they come
def draw_samples(rng, n, features, kind="mixed", dtype=np.float64):
    """CSR data of n samples, and the same dense in float64: unsorted, with repeats, explicit zeros and empty rows."""
    lengths = {
        "mixed": rng.integers(0, 9, n) * (rng.random(n) < 0.8),
        "empty": np.zeros(n, int),
        "one-hot": np.ones(n, int),
        "one heavy sample": np.where(np.arange(n) == n // 2, 3 * features, 1),
        "one heavy feature": np.full(n, 3),
    }[kind]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = rng.integers(0, features, indptr[-1])
    if kind == "one heavy feature":
        indices[::3] = features - 1
    data = rng.standard_normal(indptr[-1]) * (rng.random(indptr[-1]) < 0.9)
    if np.dtype(dtype).kind != "f":
        data = rng.integers(0, 5, indptr[-1])
    data = data.astype(dtype)
    dense = np.zeros((n, features))
    np.add.at(dense, (np.repeat(np.arange(n), lengths), indices), data.astype(np.float64))
    return sparse.csr_array((data, indices.astype(np.int32), indptr), shape=(n, features)), dense


def as_batch(X, dtype, rows=None):
    """All samples of CSR data, or some, as a batch."""
    batch = SparseBatch(X.shape[1], dtype)
    rows = np.arange(X.shape[0]) if rows is None else np.asarray(rows)
    batch.gather(X.indptr.astype(np.int64), X.indices, X.data, rows)
    return batch


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


# ---- the products
@given(problem=problems, kind=st.sampled_from(KINDS), activation=st.sampled_from(list(ACTIVATIONS)), bias=st.booleans())
def test_products_are_those_of_the_dense_samples(dtype, problem, kind, activation, bias):
    W, dense, _, _, b = problem.arrays(dtype)
    X, samples = draw_samples(np.random.default_rng(problem.seed), problem.N, problem.D, kind, dtype)
    batch = as_batch(X, dtype)
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
    X, samples = draw_samples(np.random.default_rng(problem.seed), problem.N, problem.D, kind, dtype)
    batch = as_batch(X, dtype)
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
    W = nerva.CSR.from_dense(dense)
    DZ = np.ascontiguousarray(rng.standard_normal((K, N)), dtype)
    for kind in KINDS:
        X, _ = draw_samples(rng, N, D, kind, dtype)
        results = []
        for count in (1, 2, 3, 7):
            mkl.set_num_threads(count)
            for _ in range(3):  # a team that is late works alone for a while
                batch = as_batch(X, dtype)
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
    batch = as_batch(X, dtype)
    W = nerva.CSR.from_dense(np.array([[tiny]], dtype))
    for weight in (W, W.to_dense()):
        out = np.ones((1, 1), dtype)
        sparse_inputs.product(weight, batch, out)
        assert out[0, 0] == 0
        out = np.ones(1, dtype) if weight is W else np.ones((1, 1), dtype)
        sparse_inputs.gradient(weight, np.array([[tiny]], dtype), batch, out)
        assert not out.any()


def test_nothing_but_the_features_of_the_batch_is_read(dtype):
    """A NaN in the weights of another feature stays there."""
    weight = np.array([[1.0, np.nan, 2.0]], dtype)
    batch = as_batch(sparse.csr_array(np.array([[3.0, 0, 0], [0, 0, 4.0]], dtype)), dtype)
    for W in (weight, nerva.CSR((1, 3), [0, 3], [0, 1, 2], weight[0])):
        out = np.empty((1, 2), dtype)
        sparse_inputs.product(W, batch, out)
        np.testing.assert_array_equal(out, [[3.0, 8.0]])


# ---- the batch
@pytest.mark.parametrize("values", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("indices", [np.int32, np.int64])
def test_samples_are_gathered_in_any_order(dtype, rng, values, indices):
    X, dense = draw_samples(rng, 50, 30, dtype=values)
    batch = SparseBatch(30, dtype)
    memory = None
    for size in (40, 7, 40, 1, 0):
        rows = rng.integers(0, 50, size)
        batch.gather(X.indptr.astype(np.int64), X.indices.astype(indices), X.data, rows)
        assert (batch.shape, batch.dtype) == ((30, size), dtype)
        assert batch.nnz == np.diff(X.indptr)[rows].sum()
        out = np.empty((30, size), dtype)
        sparse_inputs.product(np.eye(30, dtype=dtype), batch, out)
        np.testing.assert_allclose(out, dense[rows].T, rtol=1e-6, atol=1e-6)
        whole = np.full((2, 30), np.nan, dtype)
        sparse_inputs.gradient(np.ones((2, 30), dtype), np.ones((2, size), dtype), batch, whole)
        np.testing.assert_allclose(whole, np.tile(dense[rows].sum(axis=0), (2, 1)), rtol=1e-5, atol=1e-5)
        memory = memory or batch.nbytes
    assert repr(batch) == f"<SparseBatch 30 x 0, 0 entries, {dtype}>"


def test_memory_is_taken_once(dtype, rng):
    X, _ = draw_samples(rng, 200, 50, dtype=dtype)
    samples = Samples(X, 50, dtype)
    held = set()
    for batch, _ in (pair for _ in range(5) for pair in Batches(samples, None, 16, dtype, rng)):
        sparse_inputs.gradient(
            np.ones((1, 50), dtype), np.ones((1, batch.shape[1]), dtype), batch, np.ones((1, 50), dtype)
        )
        held.add(batch.nbytes)
    assert len(held) == 1


def test_a_batch_takes_no_wrong_data():
    good = {
        "indptr": np.array([0, 2, 3]),
        "indices": np.array([0, 2, 1], np.int32),
        "values": np.ones(3, np.float32),
        "rows": np.array([1, 0]),
    }
    batch = SparseBatch(3, np.float32)
    batch.gather(**good)
    wrong = [
        ("indptr", [0, 2, 3], TypeError, "indptr is list"),
        ("indptr", np.array([0, 2, 3], np.int32), TypeError, "indptr has dtype int32"),
        ("indptr", np.array([0, 2, 4]), ValueError, r"indptr\[2\] is 4 after 2; it must ascend from 0 to at most 3"),
        ("indptr", np.array([0, 4, 3]), ValueError, r"indptr\[2\] is 3 after 4"),
        ("indptr", np.array([-1, 2, 3]), ValueError, r"indptr\[1\] is 2 after -1"),
        ("indptr", np.empty(0, np.int64), ValueError, r"rows\[0\] is 1"),
        ("indices", np.array([0, 3, 1], np.int32), ValueError, r"indices\[1\] is 3; it must be within 0 to 2"),
        ("indices", np.array([0, -1, 1]), ValueError, r"indices\[1\] is -1"),
        ("indices", np.array([0, 2**32, 1]), ValueError, r"indices\[1\] is 4294967296"),
        ("indices", np.array([0, 2, 1], np.int16), TypeError, "indices has dtype int16"),
        ("indices", np.zeros(6, np.int32)[::2], ValueError, "indices has stride 8"),
        ("values", np.ones(2, np.float32), ValueError, r"values has shape \(2,\)"),
        ("values", np.ones(3, np.int64), TypeError, "values has dtype int64"),
        ("values", np.ones(3, ">f4"), TypeError, "values has dtype >f4"),
        ("rows", np.array([0, 2]), ValueError, r"rows\[1\] is 2; it must be within 0 to 1"),
        ("rows", np.array([-1]), ValueError, r"rows\[0\] is -1"),
        ("rows", np.array([0], np.int32), TypeError, "rows has dtype int32"),
    ]
    for name, value, error, message in wrong:
        with pytest.raises(error, match=message):
            batch.gather(**(good | {name: value}))
        assert (batch.shape, batch.nnz) == ((3, 2), 3)
    for arguments, error, message in (
        ((3, np.int32), TypeError, "dtype is int32"),
        ((0, np.float32), ValueError, "features is 0; it must be within 1"),
        ((2**31, np.float32), ValueError, "features is 2147483648"),
        ((3, np.float32, -1), ValueError, "samples is -1"),
    ):
        with pytest.raises(error, match=message):
            SparseBatch(*arguments)
    with pytest.raises(RuntimeError, match="made once"):
        batch.__init__(3, np.float32)


def test_a_batch_is_made_of_a_sparse_matrix_and_pickled(dtype, rng):
    X, dense = draw_samples(rng, 9, 5)
    for samples in (X, X.tocoo(), sparse.csc_matrix(X), X.astype(np.int64), X.astype(np.uint8)):
        batch = nerva.SparseBatch.from_scipy(samples, dtype)
        for each in (batch, pickle.loads(pickle.dumps(batch))):
            out = np.empty((5, 9), dtype)
            sparse_inputs.product(np.eye(5, dtype=dtype), each, out)
            np.testing.assert_allclose(out, samples.toarray().T, rtol=1e-6, atol=1e-6)
    with pytest.raises(TypeError, match="X is ndarray; it must be a SciPy sparse"):
        nerva.SparseBatch.from_scipy(dense)
    X.indices[:] = 5
    with pytest.raises(ValueError, match=r"indices\[0\] is 5"):
        nerva.SparseBatch.from_scipy(X)


def test_products_take_no_wrong_arrays(rng):
    X, _ = draw_samples(rng, 4, 3)
    batch, W = as_batch(X, np.float32), nerva.CSR.from_dense(np.ones((2, 3), np.float32))
    out, DZ, G = np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32), np.zeros(6, np.float32)
    other = nerva.CSR.from_dense(np.ones((2, 5), np.float32))
    shared = np.zeros(20, np.float32)
    for call, error, message in (
        (lambda: sparse_inputs.product(W, X, out), TypeError, "X"),
        (lambda: sparse_inputs.product(W, None, out), TypeError, "X"),
        (lambda: sparse_inputs.product(other, batch, out), ValueError, r"X has shape \(3, 4\); it must be \(5, any\)"),
        (lambda: sparse_inputs.product(W, as_batch(X, np.float64), out), TypeError, "X has dtype float64"),
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


def test_threads_may_share_a_batch(rng):
    X, _ = draw_samples(rng, 300, 40)
    batch, W, wrong = SparseBatch(40, np.float64), np.ones((1, 40)), []
    indptr = X.indptr.astype(np.int64)

    def work(seed):
        rows = np.random.default_rng(seed)
        for _ in range(200):
            batch.gather(indptr, X.indices, X.data, rows.integers(0, 300, rows.integers(1, 300)))
            try:
                out = np.empty((1, batch.shape[1]))
                sparse_inputs.product(W, batch, out)
                sparse_inputs.gradient(W, out, batch, np.empty((1, 40)))
            except ValueError:  # another thread has gathered other samples meanwhile
                pass
            except BaseException as error:
                wrong.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


# ---- layers
LAYERS = {
    "dense": lambda **settings: nerva.Linear(30, 9, rng=0, **settings),
    "sparse": lambda **settings: nerva.SparseLinear(30, 9, density=0.3, rng=0, **settings),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_a_layer_does_the_same_with_sparse_and_dense_inputs(dtype, rng, make, activation):
    layer = make(activation=activation, dtype=dtype)
    layer.bias = rng.standard_normal(9)
    X, dense = draw_samples(rng, 21, 30, dtype=dtype)
    DY = np.ascontiguousarray(rng.standard_normal((9, 21)), dtype)
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    results = []
    for inputs in (as_batch(X, dtype), np.ascontiguousarray(dense.T, dtype)):
        Y = layer.forward(inputs).copy()
        layer.backward(DY, input_gradient=False)
        results.append((Y, layer.weight_gradient.copy(), layer.bias_gradient.copy()))
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_gradients_are_the_slopes_of_the_loss(make, rng):
    layer = make(activation="tanh", dtype=np.float64)
    X, _ = draw_samples(rng, 12, 30)
    batch, DY = as_batch(X, np.float64), rng.standard_normal((9, 12))

    def loss():
        return float((layer.forward(batch) * DY).sum())

    loss()
    layer.backward(DY, input_gradient=False)
    for parameter in layer.parameters():
        for i in range(parameter.values.size):
            value, h = parameter.values[i], 1e-5
            parameter.values[i] = value + h
            up = loss()
            parameter.values[i] = value - h
            slope = (up - loss()) / (2 * h)
            parameter.values[i] = value
            assert parameter.gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_layer_refuses_what_does_not_fit(make, rng):
    layer = make()
    X, _ = draw_samples(rng, 5, 30)
    with pytest.raises(TypeError, match="X has dtype float64; it must be float32"):
        layer.forward(as_batch(X, np.float64))
    with pytest.raises(ValueError, match=r"X has shape \(29, 5\); it must be \(30, any\)"):
        layer.forward(as_batch(draw_samples(rng, 5, 29)[0], np.float32))
    layer.forward(as_batch(X, np.float32))
    with pytest.raises(ValueError, match="input_gradient is True, but X was sparse"):
        layer.backward(np.ones((9, 5), np.float32))


# ---- networks
def networks(dtype, density):
    return nerva.MLP([40, 16, 4], density=density, dtype=dtype, seed=3)


@pytest.fixture
def words(rng):
    """Bags of words with labels that can be learnt: SciPy CSR, the same dense, labels."""
    X, dense = draw_samples(rng, 230, 40)
    return X, dense, np.argmax(dense[:, :4] + 0.1, axis=1)


@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize(
    "optimizer", [nerva.SGD(), nerva.Momentum(0.9), nerva.Nesterov(0.9, weight_decay=1e-3)], ids=["sgd", "mom", "nest"]
)
def test_training_goes_as_with_dense_samples(density, optimizer, words):
    X, dense, y = words
    results = []
    for samples in (X, dense):
        model = networks(np.float64, density)
        stepper = pickle.loads(pickle.dumps(optimizer))
        history = model.fit(
            samples, y, validation=(samples, y), epochs=3, batch_size=32, optimizer=stepper, schedule=0.1, rng=0
        )
        loss = model.train_step(samples, y, stepper, 0.05)
        values = [p.values.copy() for p in model.parameters()]
        results.append((history["loss"], loss, model.evaluate(samples, y), model.predict_proba(samples), *values))
        assert model.predict(samples).tolist() == model.predict_proba(samples).argmax(axis=1).tolist()
        assert model.predict(samples[:1]).shape == (1,)
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "topology",
    [nerva.RigL(every=3), nerva.RigL(every=4, accumulate=2), nerva.SRigL(every=4), nerva.GraNet(0.1, every=4)],
    ids=["rigl", "accumulated", "srigl", "granet"],
)
def test_weights_grow_as_with_dense_samples(topology, words):
    X, dense, y = words
    models = [networks(np.float64, [0.3, 0.5]) for _ in range(2)]
    for model, samples in zip(models, (X, dense), strict=True):
        model.fit(samples, y, epochs=3, batch_size=32, schedule=0.1, rng=0, topology=copy.deepcopy(topology))
    for got, wanted in zip(*(model.layers for model in models), strict=True):
        np.testing.assert_array_equal(got.weight.indptr, wanted.weight.indptr)
        np.testing.assert_array_equal(got.weight.indices, wanted.weight.indices)
        np.testing.assert_allclose(got.weight.values, wanted.weight.values, rtol=1e-9, atol=1e-11)
    assert not np.array_equal(
        models[0].layers[0].weight.indices, networks(np.float64, [0.3, 0.5]).layers[0].weight.indices
    )


def test_a_batch_is_made_dense(rng, dtype):
    X, dense = draw_samples(rng, 23, 11, dtype=dtype)
    found = SparseBatch.from_scipy(X, dtype).to_dense()
    assert (found.dtype, found.shape) == (dtype, (11, 23))
    np.testing.assert_allclose(found, dense.T, rtol=1e-6)


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_array,
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.coo_array,
        lambda X: sparse.csr_array(X).astype(np.float32),
        lambda X: sparse.csr_array(X).astype(np.int64),
        lambda X: sparse.csr_array(X).astype(np.uint8),
        lambda X: sparse.csr_array(X).astype(bool),
    ],
)
def test_every_sparse_format_and_type_is_taken(convert, rng, dtype):
    dense = rng.integers(0, 2, (30, 40)) * (rng.random((30, 40)) < 0.2)
    model = networks(dtype, 0.4)
    wanted = model.predict_proba(dense.astype(dtype))
    np.testing.assert_allclose(model.predict_proba(convert(dense.astype(float))), wanted, rtol=1e-5, atol=1e-6)


def test_the_samples_are_not_copied(rng):
    X, _ = draw_samples(rng, 20, 40)
    samples = Samples(X, 40, np.float32).sparse
    assert np.shares_memory(samples.data, X.data)
    assert np.shares_memory(samples.indices, X.indices)


def broken(**changes):
    """A CSR matrix with arrays that SciPy itself would not have let in."""
    X = sparse.csr_array(np.eye(6, 40) + np.eye(6, 40, 2))
    for name, value in changes.items():
        setattr(X, name, value)
    return X


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (sparse.csr_array(np.eye(6, 39)), ValueError, r"X has shape \(6, 39\); it must be \(samples, 40\)"),
        (sparse.csr_array((0, 40)), ValueError, "it holds no samples"),
        (broken(data=np.full(12, np.nan)), ValueError, r"X\[0, 0\] is nan; every number must be finite"),
        (broken(data=np.where(np.arange(12) == 7, np.inf, 1)), ValueError, r"X\[3, 5\] is inf"),
        (broken(data=np.where(np.arange(12) == 7, 1e300, 1)), ValueError, r"X\[3, 5\] is 1e\+300.*float32"),
        (broken(data=np.ones(12, complex)), TypeError, "X.data is complex128"),
        (broken(data=np.ones(12, np.float16)), TypeError, "X.data is float16"),
        (broken(data=np.ones(11)), ValueError, "X.data has length 11, X.indices 12"),
        (broken(indices=np.full(12, 40, np.int32)), ValueError, r"X.indices\[0\] is 40; it must be within 0 to 39"),
        (broken(indices=np.full(12, -1, np.int32)), ValueError, r"X.indices\[0\] is -1"),
        (broken(indices=np.zeros(12)), TypeError, "X.indices is float64"),
        (broken(indptr=np.array([0, 2, 1, 6, 8, 10, 12])), ValueError, r"X.indptr\[2\] is 1; it must ascend"),
        (broken(indptr=np.array([0, 2, 4, 6, 8, 10, 13])), ValueError, r"X.indptr\[6\] is 13; .* at most 12"),
        (broken(indptr=np.array([-1, 2, 4, 6, 8, 10, 12])), ValueError, r"X.indptr\[0\] is -1"),
        (broken(indptr=np.array([0, 12])), ValueError, r"X.indptr has length 2; it must be samples \+ 1 = 7"),
    ],
)
def test_broken_samples_are_refused(X, error, message):
    model, y = networks(np.float32, 0.4), np.zeros(6, int)
    before = [p.values.copy() for p in model.parameters()]
    for call in (
        lambda: model.fit(X, y, epochs=1),
        lambda: model.train_step(X, y, nerva.SGD(), 0.1),
        lambda: model.evaluate(X, y),
        lambda: model.predict(X),
        lambda: model.predict_proba(X),
    ):
        with pytest.raises(error, match=message):
            call()
    for parameter, values in zip(model.parameters(), before, strict=True):
        assert_same_bits(parameter.values, values)


def test_broken_matrices_of_other_formats_are_refused():
    model = networks(np.float32, 0.4)
    columns, pairs = sparse.csc_array(np.eye(6, 40)), sparse.coo_array(np.eye(6, 40))
    columns.indices[2] = 6
    pairs.row[2] = -1
    for X in (columns, pairs):
        with pytest.raises(ValueError, match="X is no sparse matrix: "):
            model.predict(X)


def test_images_alone_are_augmented(words):
    X, _, y = words
    with pytest.raises(ValueError, match="augment is given, but X is sparse"):
        networks(np.float64, 0.4).fit(X, y, augment=nerva.Augment((1, 5, 8), padding=1))


@pytest.mark.parametrize("density", [0.01, 1.0])
def test_a_hundred_thousand_features_train(density, rng):
    """Made dense, a batch alone would take 80 MB, and the data 800 MB."""
    n, D = 2_000, 100_000
    indices = rng.integers(0, D, (n, 20))
    y = rng.integers(0, 2, n)
    indices[:, :10] = rng.integers(0, 500, (n, 10)) + 500 * y[:, None]
    X = sparse.csr_array((np.ones(20 * n, np.float32), indices.ravel(), np.arange(0, 20 * n + 1, 20)), shape=(n, D))
    model = nerva.MLP([D, 64, 2], density=[density, 1.0], seed=0)
    history = model.fit(X, y, epochs=3, batch_size=200, optimizer=nerva.Momentum(0.9), schedule=0.1)
    assert history["loss"][-1] < history["loss"][0]
    assert model.layers[0]._outputs.nbytes < 1 << 20
    assert model.layers[0]._input_gradients.nbytes == 0
    loss, accuracy = model.evaluate(X, y)
    assert np.isfinite(loss)
    assert accuracy > 0.8
