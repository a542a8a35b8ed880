"""Whatever is changed of a compiled network between two steps is seen by the next; copies are trained apart."""

import copy
import pickle
import threading

import numpy as np
import pytest

import nerva

from ..compiled_reference import (
    SIZES,
    arrays,
    assert_close,
    assert_same,
    counted,
    images,
    layer_by_layer,
    network,
    pair,
    samples,
)
from ..reference import assert_same_bits


def scale_weights(model):
    model.layers[0].weight.values[:] *= 0.5
    model.layers[2].weight[:] *= 0.5


def set_weights(model):
    model.layers[2].weight = np.linspace(-1, 1, 300).reshape(6, 50)


def set_bias(model):
    model.layers[0].bias[:] = np.linspace(-1, 1, 60)
    model.layers[1].bias = np.linspace(1, -1, 50)


def rewire(model):
    """Other positions, as many as before."""
    layer = model.layers[0]
    empty = np.flatnonzero(layer.dense_weight().reshape(-1) == 0)[:100]
    layer.rewire(np.arange(0, 500, 5), empty, 0.1)


def grow(model):
    """More weights than the plan was made for."""
    layer = model.layers[1]
    layer.rewire(np.empty(0, np.int64), np.flatnonzero(layer.dense_weight().reshape(-1) == 0), 0.01)


def prune(model):
    layer = model.layers[1]
    layer.rewire(np.arange(0, layer.nnz - 1), np.empty(0, np.int64))


def prune_all(model):
    layer = model.layers[0]
    layer.rewire(np.arange(layer.nnz), np.empty(0, np.int64))


def replace_weight(model):
    """Another matrix of another pattern; the optimizer starts anew for it."""
    layer = model.layers[0]
    layer.weight = nerva.SparseLinear(40, 60, density=0.7, rng=5, dtype=layer.dtype).weight


def assign(model):
    for layer, other in zip(model.layers, network(seed=9, dtype=model.dtype).layers, strict=True):
        layer.assign(other)


def change_backend(model):
    model.layers[0].backend = "mkl"


def train_small_batch(model):
    model.train_step(*samples(30), nerva.SGD(), 0.1)


def nothing(model):
    pass


CHANGES = [
    nothing,
    scale_weights,
    set_weights,
    set_bias,
    rewire,
    grow,
    prune,
    prune_all,
    replace_weight,
    assign,
    change_backend,
    train_small_batch,
]


def train(model, optimizer, steps=2):
    X, y = samples()
    return [model.train_step(X[:n], y[:n], optimizer, 0.02) for n in (100, 165, 330)[:steps]]


def compare(change, make_optimizer, make=network):
    one, other = pair(make)
    optimizers, losses = (make_optimizer(), make_optimizer()), []
    for model, optimizer in zip((one, other), optimizers, strict=True):
        losses.append([])
        for _ in range(2):
            losses[-1] += train(model, optimizer)
            change(model)
            losses[-1] += [model.evaluate(*samples(100)).loss, *train(model, optimizer, 3)]
    np.testing.assert_allclose(*losses, rtol=1e-9)
    assert_close(one, other, 1e-9)


@pytest.mark.parametrize("make_optimizer", [nerva.SGD, nerva.Nesterov, lambda: nerva.Adam(epsilon=1e-4)])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_next_step_sees_every_change(change, make_optimizer):
    compare(change, make_optimizer)


BY_MKL = (train_small_batch, change_backend)  # the bits of MKL's products may depend on threads


@pytest.mark.parametrize("change", [change for change in CHANGES if change not in BY_MKL], ids=lambda f: f.__name__)
def test_after_every_change_the_bits_do_not_depend_on_threads(dtype, change):
    results = []
    for threads in (1, 2, 3, 5):
        nerva.set_num_threads(threads)
        model, optimizer, losses = network(dtype=dtype), nerva.Momentum(), []
        X, y = samples()
        for _ in range(2):
            losses += [model.train_step(X[:n], y[:n], optimizer, 0.02) for n in (100, 300)]
            change(model)
        results.append((losses, arrays(model)))
    for losses, vectors in results:
        assert losses == results[0][0]
        for vector, first in zip(vectors, results[0][1], strict=True):
            assert_same_bits(vector, first)


def test_all_of_these_are_compiled_but_one():
    for change in CHANGES:
        model = network()
        train(model, nerva.SGD())
        change(model)
        with counted() as steps:
            train(model, nerva.SGD())
        assert steps.train == (0 if change is change_backend else 2), change.__name__


def test_statistics_that_are_replaced():
    one, other = pair(lambda: network(batch_norm=True))
    for model in (one, other):
        train(model, nerva.SGD())
        for layer in model.layers:
            if isinstance(layer, nerva.BatchNorm):
                layer.running_mean = np.linspace(-1, 1, layer.in_features)
                layer.running_variance = np.linspace(1, 2, layer.in_features)
        train(model, nerva.SGD())
    X, _ = samples()
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-9)
    for mine, right in zip(one.layers, other.layers, strict=True):
        if isinstance(mine, nerva.BatchNorm):
            np.testing.assert_allclose(mine.running_mean, right.running_mean, rtol=1e-9)


def test_another_number_of_threads_between_steps():
    one, other = pair()
    for i, threads in enumerate((1, 3, 2, 5, 1)):
        nerva.set_num_threads(threads)
        losses = [train(model, nerva.SGD(), i % 3 + 1) for model in (one, other)]
        np.testing.assert_allclose(*losses, rtol=1e-10)
    assert_close(one, other)


# ---- copies


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_compiled_model_goes_on_with_the_same_bits(dtype, copied, threads):
    """Wherever the memory of its weights lies, and without touching those of the original."""
    nerva.set_num_threads(threads)
    one, X, y = network(dtype=dtype), *samples()
    for _ in range(2):
        one.train_step(X, y, nerva.Momentum(), 0.01)
    for _ in range(4):  # other addresses each time
        other = copied(one)
        before = [array.copy() for array in arrays(one)]
        losses = [other.train_step(X, y, nerva.Momentum(), 0.01) for _ in range(2)]
        for array, was in zip(arrays(one), before, strict=True):
            assert_same_bits(array, was)
        again = copied(one)
        assert [again.train_step(X, y, nerva.Momentum(), 0.01) for _ in range(2)] == losses
        assert_same(again, other)
    assert [one.train_step(X, y, nerva.Momentum(), 0.01) for _ in range(2)] == losses
    assert_same(one, other)


def test_copied_layers_are_trained_apart():
    one, X, y = network(), *samples()
    one.train_step(X, y, nerva.SGD(), 0.1)
    before = [array.copy() for array in arrays(one)]
    other = nerva.Sequential(copy.deepcopy(one.layers))
    other.train_step(X, y, nerva.SGD(), 0.1)
    for array, was in zip(arrays(one), before, strict=True):
        assert_same_bits(array, was)


def test_astype_and_back():
    one, (X, y) = network(), samples()
    one.fit(X, y, epochs=1)
    single = one.astype(np.float32)
    with counted() as steps:
        losses = [model.fit(X, y, epochs=2, rng=0)["loss"] for model in (one, single)]
    assert steps.train == 2 * 2 * 4
    np.testing.assert_allclose(*losses, rtol=1e-3)
    double = single.astype(np.float64)
    reference = layer_by_layer(single.astype(np.float64))
    for model in (double, reference):
        model.fit(X, y, epochs=1, rng=0)
    assert_close(double, reference)


def test_compacted_and_pruned_models_are_compiled():
    model, (X, y) = network(density=[0.02, 0.02, 1.0]), samples()
    model.fit(X, y, epochs=1)
    for smaller in (model.compact(), nerva.pruned(SIZES, X, y, density=0.1, dtype=np.float64, backend="native")):
        reference = layer_by_layer(copy.deepcopy(smaller))
        for one in (smaller, reference):
            one.fit(X, y, epochs=2, rng=0)
        assert_close(smaller, reference)


def test_models_in_turn():
    """Also of other shapes, and layers of one in the other."""
    models = [network(), network(seed=2), nerva.MLP([40, 30, 6], density=0.5, dtype=np.float64, backend="native")]
    references = [layer_by_layer(copy.deepcopy(model)) for model in models]
    for _ in range(3):
        for one, other in zip(models, references, strict=True):
            losses = [train(model, nerva.SGD()) for model in (one, other)]
            np.testing.assert_allclose(*losses, rtol=1e-10)
    for one, other in zip(models, references, strict=True):
        assert_close(one, other)


def test_layers_in_two_networks():
    one, (X, y) = network(), samples()
    longer = nerva.Sequential([*one.layers, nerva.Linear(6, 6, rng=0, dtype=np.float64)])
    reference = layer_by_layer(copy.deepcopy(longer))
    reference_of_one = layer_by_layer(nerva.Sequential(reference.layers[:3]))
    for _ in range(2):
        for first, second in ((one, longer), (reference_of_one, reference)):
            first.train_step(X, y, nerva.SGD(), 0.1)
            second.train_step(X, y, nerva.SGD(), 0.1)
    assert_close(longer, reference)


def test_models_in_threads_of_their_own():
    models = [network(seed=i, dtype=np.float32) for i in range(3)]
    alone = [copy.deepcopy(model) for model in models]
    X, y = images(300)
    threads = [threading.Thread(target=model.fit, args=(X, y), kwargs={"epochs": 5, "rng": 0}) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model, other in zip(models, alone, strict=True):
        other.fit(X, y, epochs=5, rng=0)
        assert_same(model, other)


def test_one_model_in_several_threads():
    """One step waits for the other: the same steps give the same bits, whichever thread takes them."""
    model, reference, optimizer, (X, y) = network(), network(), nerva.Momentum(), samples()

    def work():
        for _ in range(5):
            model.train_step(X, y, optimizer, 0.01)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    optimizer = nerva.Momentum()
    for _ in range(20):
        reference.train_step(X, y, optimizer, 0.01)
    assert_same(model, reference)
