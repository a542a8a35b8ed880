"""Sparse inputs: layers and networks that train on them, as on the same samples dense."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva._kernels import sparse_inputs
from nerva._kernels.activations import ACTIVATIONS
from nerva.training.batches import Batches
from nerva.training.samples import Samples

from ..reference import as_sparse_batch, assert_same_bits, draw_sparse_samples

pytestmark = pytest.mark.usefixtures("instruction_set")


def test_memory_is_taken_once(dtype, rng):
    X, _ = draw_sparse_samples(rng, 200, 50, dtype=dtype)
    samples = Samples(X, 50, dtype)
    held = set()
    for batch, _ in (pair for _ in range(5) for pair in Batches(samples, None, 16, dtype, rng)):
        sparse_inputs.gradient(
            np.ones((1, 50), dtype), np.ones((1, batch.shape[1]), dtype), batch, np.ones((1, 50), dtype)
        )
        held.add(batch.nbytes)
    assert len(held) == 1


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
    X, dense = draw_sparse_samples(rng, 21, 30, dtype=dtype)
    DY = np.ascontiguousarray(rng.standard_normal((9, 21)), dtype)
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    results = []
    for inputs in (as_sparse_batch(X, dtype), np.ascontiguousarray(dense.T, dtype)):
        Y = layer.forward(inputs).copy()
        layer.backward(DY, input_gradient=False)
        results.append((Y, layer.weight_gradient.copy(), layer.bias_gradient.copy()))
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_gradients_are_the_slopes_of_the_loss(make, rng):
    layer = make(activation="tanh", dtype=np.float64)
    X, _ = draw_sparse_samples(rng, 12, 30)
    batch, DY = as_sparse_batch(X, np.float64), rng.standard_normal((9, 12))

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
    X, _ = draw_sparse_samples(rng, 5, 30)
    with pytest.raises(TypeError, match="X has dtype float64; it must be float32"):
        layer.forward(as_sparse_batch(X, np.float64))
    with pytest.raises(ValueError, match=r"X has shape \(29, 5\); it must be \(30, any\)"):
        layer.forward(as_sparse_batch(draw_sparse_samples(rng, 5, 29)[0], np.float32))
    layer.forward(as_sparse_batch(X, np.float32))
    with pytest.raises(ValueError, match="input_gradient is True, but X was sparse"):
        layer.backward(np.ones((9, 5), np.float32))


# ---- networks
def networks(dtype, density):
    return nerva.MLP([40, 16, 4], density=density, dtype=dtype, seed=3)


@pytest.fixture
def words(rng):
    """Bags of words with labels that can be learnt: SciPy CSR, the same dense, labels."""
    X, dense = draw_sparse_samples(rng, 230, 40)
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
    X, _ = draw_sparse_samples(rng, 20, 40)
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
    history = model.fit(X, y, epochs=15, batch_size=200, optimizer=nerva.Momentum(0.9), schedule=0.1)
    assert history["loss"][-1] < history["loss"][0]
    assert model.layers[0]._outputs.nbytes < 1 << 20
    assert model.layers[0]._input_gradients.nbytes == 0
    loss, accuracy = model.evaluate(X, y)
    assert np.isfinite(loss)
    assert accuracy > 0.8


def test_a_sparse_vector_is_refused():
    model = nerva.MLP([4, 3])
    for X in (sparse.coo_array(np.ones(4)), sparse.csr_array(np.ones(4))):
        with pytest.raises(ValueError, match=r"X has shape \(4,\); it must be \(samples, 4\)"):
            model.predict(X)
