"""Sparse samples in a compiled network, against the same network layer by layer, and on the samples dense."""

import gc
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva.training.batches import Batches
from nerva.training.samples import Samples
from nerva.training.step import train_draw

from ..bfloat16_reference import needs_bfloat16
from ..compiled_reference import KINDS, SIZES, assert_close, assert_same, counted, layer_by_layer, network

BATCHES = [1, 7, 64, 100, 130, 256]
NETWORKS = {
    **KINDS,
    "dense": {"density": 1.0},
    "dense with DropConnect": {"density": 1.0, "drop_connect": 0.3},
}


def samples(n=330, dtype=np.float64, density=0.2, seed=0):
    """Samples, some without an entry, whose entries are unsorted and some of them duplicates, and labels."""
    rng = np.random.default_rng(seed)
    counts = rng.binomial(SIZES[0], density, n) * (rng.random(n) > 0.1)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    entries = rng.integers(0, SIZES[0], indptr[-1]), rng.standard_normal(indptr[-1]).astype(dtype)
    return sparse.csr_array((entries[1], entries[0], indptr), shape=(n, SIZES[0])), rng.integers(0, SIZES[-1], n)


def train(model, n, X, y, optimizer=None, steps=3, rate=0.05, **settings):
    optimizer = optimizer or nerva.Nesterov(weight_decay=1e-3)
    return [model.train_step(X[:n], y[:n], optimizer, rate, **settings) for _ in range(steps)]


def assert_agree(make, n, tolerance=1e-11, expected=3, optimizer=nerva.Nesterov, **settings):
    """Layer by layer, and with the samples as rows of numbers."""
    X, y = samples(dtype=make().dtype)
    one, other, dense = make(), layer_by_layer(make()), make()
    with counted() as steps:
        losses = train(one, n, X, y, optimizer(), **settings)
    assert steps.train == expected
    with counted() as steps:
        found = one.predict_proba(X[:n], batch_size=n)
    assert steps.outputs == 1
    for model, of in ((other, X), (dense, X.toarray())):
        np.testing.assert_allclose(losses, train(model, n, of, y, optimizer(), **settings), rtol=tolerance)
        assert_close(one, model, tolerance)
        np.testing.assert_allclose(found, model.predict_proba(of[:n], batch_size=n), rtol=1e2 * tolerance)


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("n", BATCHES)
def test_every_network(settings, n, way):
    if n > 1 or "batch_norm" not in settings:
        assert_agree(lambda: network(**settings), n)


def test_in_float32(way):
    for n in (7, 130):
        assert_agree(lambda: network(dtype=np.float32), n, 1e-5)


@pytest.mark.parametrize(
    "optimizer", [nerva.Adam, nerva.Lion, lambda: nerva.SGD(clip_norm=0.05), lambda: nerva.SGD(clip_value=1e-3)]
)
def test_every_optimizer(optimizer, way):
    assert_agree(network, 130, 1e-8, optimizer=optimizer, rate=1e-3)


def test_a_loss_that_is_called(way):
    for n in (7, 256):
        assert_agree(network, n, loss=nerva.LogisticCrossEntropy(classes=True))


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_the_bits_do_not_depend_on_threads(settings, dtype, way):
    found, (X, y) = [], samples(2000)
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        model = network(dtype=dtype, **settings)
        history = model.fit(X, y, epochs=2, batch_size=700, rng=0, validation=(X, y))
        found.append((history["loss"], history["test_loss"], model))
    for losses, test_losses, model in found[1:]:
        assert (losses, test_losses) == found[0][:2]
        assert_same(model, found[0][2])


@needs_bfloat16
@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_in_bfloat16(settings, way):
    X, y = samples(dtype=np.float32)
    found = []
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        model = network(dtype=np.float32, precision="bfloat16", **settings)
        with counted() as steps:
            losses = train(model, 330, X, y, steps=10)
            found.append((losses, model.predict_proba(X), model))
        assert (steps.train, steps.outputs) == (10, 3)
    other = network(dtype=np.float32, **settings)
    np.testing.assert_allclose(found[0][0], train(other, 330, X, y, steps=10), rtol=0.02)
    np.testing.assert_allclose(found[0][1], other.predict_proba(X), atol=0.03)
    for losses, outputs, model in found[1:]:
        assert losses == found[0][0]
        np.testing.assert_array_equal(outputs, found[0][1])
        assert_same(model, found[0][2])


@needs_bfloat16
def test_one_layer_in_bfloat16(way):
    """Whose outputs are of float32."""
    X, y = samples(dtype=np.float32)
    models = [nerva.MLP([SIZES[0], SIZES[-1]], density=0.5, seed=1, precision=p) for p in ("bfloat16", "float32")]
    losses = [train(model, 130, X, y) for model in models]
    np.testing.assert_allclose(*losses, rtol=0.01)


@pytest.mark.parametrize(
    "kind", ["float32", "uint8", "int64", "bool", "csc", "coo", "indices of int64", "no entries", "one column"]
)
def test_every_kind_of_samples(kind):
    X, y = samples()
    match kind:
        case "float32" | "uint8" | "int64" | "bool":
            X.data = (4 * X.data).clip(0, 9).astype(kind)
        case "csc" | "coo":
            X.sum_duplicates()
            X = X.asformat(kind)
        case "indices of int64":
            X = sparse.csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape)
        case "no entries":
            X = sparse.csr_array(X.shape)
        case "one column":
            X.indices[:] = 3
    one, other = network(), layer_by_layer(network())
    settings = {"epochs": 2, "batch_size": 100, "rng": 0, "schedule": 0.01}
    with counted() as steps:
        losses = one.fit(X, y, **settings)["loss"]
    assert steps.train == 8
    np.testing.assert_allclose(other.fit(X, y, **settings)["loss"], losses, rtol=1e-10)
    assert_close(one, other)


def test_dense_and_sparse_samples_in_turn():
    one, other, (X, y) = network(batch_norm=True), layer_by_layer(network(batch_norm=True)), samples()
    for n in (100, 7, 330):
        for of in (X, X.toarray(), X):
            losses = [train(model, n, of, y, steps=1) for model in (one, other)]
            np.testing.assert_allclose(*losses, rtol=1e-10)
            values = [model.evaluate(of, y).loss for model in (one, other)]
            np.testing.assert_allclose(*values, rtol=1e-10)
    assert_close(one, other)


def test_weights_that_are_moved_between_steps():
    one, other, (X, y) = network(), layer_by_layer(network()), samples()
    for model in (one, other):
        model.fit(X, y, epochs=4, batch_size=100, topology=nerva.RigL(every=3), rng=0, schedule=0.02)
        model.layers[0].rewire(np.arange(40), np.empty(0, np.int64))
        train(model, 130, X, y)
    assert_close(one, other, 1e-9)


def test_a_first_layer_that_is_not_linear_is_the_reason():
    model, (X, y) = nerva.Sequential([nerva.Activation("tanh"), nerva.Linear(SIZES[0], SIZES[-1])]), samples()
    assert model.obstacle(100) is None
    with pytest.raises(TypeError):  # nor does such a layer take them
        model.train_step(X, y, nerva.SGD(), 0.1)
    with nerva.profile() as profile, pytest.raises(TypeError):
        model.train_step(X, y, nerva.SGD(), 0.1)
    assert profile.steps == {"samples are sparse, and the first layer is not linear": 1}


@needs_bfloat16
def test_a_first_layer_that_is_not_linear_is_refused_in_bfloat16():
    layers, (X, y) = [nerva.Activation("tanh"), nerva.Linear(SIZES[0], SIZES[-1])], samples()
    model = nerva.Sequential(layers, precision="bfloat16")
    with pytest.raises(ValueError, match="precision is 'bfloat16', but samples are sparse, and the first layer"):
        model.fit(X, y)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_steady_step_allocates_nothing(threads, way):
    nerva.set_num_threads(threads)
    model, optimizer, (X, y), held = network(), nerva.Nesterov(), samples(), []
    batches, loss = Batches(Samples(X, SIZES[0], model.dtype), y, 100, model.dtype), nerva.SoftmaxCrossEntropy()
    tracemalloc.start()
    try:
        for i in range(260):
            if i in (40, 60):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
            train_draw(model, batches, batches.draw(i % 3), optimizer, 0.01, loss)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 20 * 100
    assert held[2] - held[1] < 200 * 50


def test_no_matrix_of_the_samples_is_made():
    """Of 100,000 features, of which a sample has 10: less than a hundredth of them as numbers."""
    rng, D, n = np.random.default_rng(0), 100_000, 256
    X = sparse.csr_array((np.ones(10 * n), rng.integers(0, D, 10 * n), np.arange(n + 1) * 10), shape=(n, D))
    weight = sparse.random_array((8, D), density=0.01, rng=rng, format="csr")
    layer = nerva.SparseLinear(D, 8, weight=nerva.CSR.from_scipy(weight), backend="native")
    model = nerva.Sequential([layer, nerva.Linear(8, SIZES[-1], dtype=np.float64)])
    tracemalloc.start()
    try:
        with counted() as steps:
            model.train_step(X, rng.integers(0, SIZES[-1], n), nerva.SGD(), 0.01)
        assert steps.train == 1
        assert tracemalloc.get_traced_memory()[1] < D * n * 8 / 25
    finally:
        tracemalloc.stop()


def test_a_profile_has_the_phases_of_a_step():
    model, (X, y) = network(), samples()
    with nerva.profile() as profile:
        train(model, 100, X, y)
    assert profile.steps == {"": 3}
    assert [row.phase for row in profile.rows] == ["data", *["forward"] * 3, "loss", *["backward"] * 3, "update"]
    assert all(row.seconds > 0 for row in profile.rows)
