"""Sparse layers by any backends: the right results whatever is chosen, and each choice made once."""

import copy
import pickle
import time

import numpy as np
import pytest

import nerva
from nerva._kernels import mkl
from nerva.backends import choice as backend_choice
from nerva.backends.cost_model import BATCHES, CANDIDATES, DENSITIES, FIXED, FORWARD, INPUT, WEIGHT, BackendChoice
from nerva.layers import sparse

from ..layer_reference import assert_right, batch
from ..reference import FAST_DENSE, FAST_MKL, assert_same_bits, made_up


def mixed(forward, by_input, by_weight):
    """Costs by which `auto` takes these backends."""
    costs = made_up()
    for direction, backend in ((FORWARD, forward), (INPUT, by_input), (WEIGHT, by_weight)):
        costs.rates[direction][backend] = [[1e-14] * len(BATCHES) for _ in DENSITIES]
    return costs


@pytest.fixture
def always_open(monkeypatch):
    """Let the smallest layer ask for costs, which are given by calling this."""
    monkeypatch.setattr(backend_choice, "is_open", lambda K, D, nnz, N: nnz * N > 0)
    return lambda costs: monkeypatch.setattr(backend_choice, "costs", lambda dtype: costs)


@pytest.mark.parametrize("by_weight", CANDIDATES[WEIGHT])
@pytest.mark.parametrize("by_input", CANDIDATES[INPUT])
@pytest.mark.parametrize("forward", CANDIDATES[FORWARD])
def test_auto_is_right_whatever_is_chosen(forward, by_input, by_weight, dtype, always_open):
    always_open(mixed(forward, by_input, by_weight))
    layer, wanted = (
        nerva.SparseLinear(23, 17, density=0.4, activation="tanh", rng=0, dtype=dtype, backend=backend)
        for backend in ("auto", "native")
    )
    for N in (5, 130, 0, 1):
        assert_right(layer, N)
    assert layer._choice(5) == (forward, by_input, by_weight)
    optimizers = nerva.Nesterov(weight_decay=0.1), nerva.Nesterov(weight_decay=0.1)
    for N in (7, 130):
        X, DY = batch(layer, N)
        for input_gradient in (True, False):
            for one, optimizer in zip((layer, wanted), optimizers, strict=True):
                one.forward(X)
                one.backward(DY, input_gradient=input_gradient)
                optimizer.step(one.parameters(), 0.01)
    for one, two in zip(layer.parameters(), wanted.parameters(), strict=True):
        np.testing.assert_allclose(one.values, two.values, rtol=1e-4, atol=1e-4)


def test_the_products_are_of_the_backends_chosen(monkeypatch):
    called, choice = [], BackendChoice("mkl", "dense", "native")
    monkeypatch.setattr(backend_choice, "choose_backends", lambda *_: choice)

    def record(name, real):
        def call(*arguments):
            called.append((name, arguments[-1]))
            return real(*arguments)

        monkeypatch.setattr(sparse.products, name, call)

    for name in ("spmm", "sddmm", "spmm_t"):
        record(name, getattr(sparse.products, name))
    layer = nerva.SparseLinear(23, 17, density=0.4)
    X, DY = batch(layer, 5)
    layer.forward(X)
    layer.backward(DY)
    assert called == [("spmm", "mkl"), ("sddmm", "native"), ("spmm_t", "dense")]
    choice, layer.weight, called[:] = BackendChoice("native", "native", "dense"), layer.weight, []
    layer.forward(X)
    layer.backward(DY, input_gradient=False)
    assert called == [("spmm", "native"), ("sddmm", "dense")]


def test_the_choice_is_made_once_for_a_batch_and_threads(always_open, monkeypatch):
    always_open(FAST_MKL)
    asked = []
    real = backend_choice.choose_backends
    monkeypatch.setattr(
        backend_choice, "choose_backends", lambda *arguments: asked.append(arguments[4]) or real(*arguments)
    )
    layer = nerva.SparseLinear(23, 17, density=0.4)
    for N in (5, 5, 6, 5, 6):
        X, DY = batch(layer, N)
        layer.forward(X)
        layer.backward(DY)
    assert asked == [5, 6]
    mkl.set_num_threads(1 if mkl.get_num_threads() > 1 else 2)
    layer.forward(X)
    assert asked == [5, 6, 6]
    layer.weight = layer.weight.copy()
    layer.forward(X)
    assert asked == [5, 6, 6, 6]
    for N in range(200):
        layer.forward(batch(layer, N)[0])
    assert len(layer._choices) <= 64


def test_another_backend_may_be_set():
    layer = nerva.SparseLinear(23, 17, density=0.4)
    for backend in ("native", "dense", "mkl"):
        layer.backend = backend
        assert layer._choice(5) == FIXED[backend]
    layer.backend = "cuda"
    with pytest.raises(ValueError, match="backend"):
        layer.forward(batch(layer, 5)[0])


@pytest.mark.parametrize("clone", [lambda layer: pickle.loads(pickle.dumps(layer)), copy.deepcopy, copy.copy])
def test_a_copy_chooses_for_itself(clone, always_open):
    layer = nerva.SparseLinear(23, 17, density=0.4)
    X, _ = batch(layer, 5)
    always_open(FAST_MKL)
    layer.forward(X)
    always_open(made_up())
    twin = clone(layer)
    assert (twin._choice(5).forward, layer._choice(5).forward) == ("native", "mkl")
    np.testing.assert_allclose(twin.forward(X), layer.forward(X), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("costs", [made_up(), FAST_DENSE, FAST_MKL], ids=["native", "dense", "mkl"])
def test_the_same_costs_give_the_same_bits(costs, always_open):
    always_open(costs)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 40)).astype(np.float32), rng.integers(0, 3, 300)

    def run():
        model = nerva.MLP([40, 90, 70, 3], density=[0.9, 0.95, 0.9], seed=1)
        history = model.fit(X, y, epochs=2, batch_size=64, rng=2)
        return model, history["loss"]

    (one, losses), (two, again) = run(), run()
    assert losses == again
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert_same_bits(a.values, b.values)


def test_dense_memory_is_counted():
    layers = [nerva.SparseLinear(50, 40, density=0.5, rng=0, backend=backend) for backend in ("native", "dense")]
    for layer in layers:
        X, DY = batch(layer, 5)
        before = layer.nbytes
        layer.forward(X)
        layer.backward(DY, input_gradient=False)
    assert layers[1].nbytes == layers[0].nbytes + 4 * 50 * 40
    assert before < layers[1].nbytes
    assert pickle.loads(pickle.dumps(layers[1])).nbytes == layers[0].nbytes  # taken again when needed


def test_a_known_choice_takes_no_time():
    layer = nerva.SparseLinear(23, 17, density=0.4)
    layer._choice(100)

    def best(runs=2000):
        start = time.perf_counter()
        for _ in range(runs):
            layer._choice(100)
        return (time.perf_counter() - start) / runs

    assert min(best() for _ in range(5)) < 5e-6  # 0.3 on a quiet machine
