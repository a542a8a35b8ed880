"""The choice of backends from made-up costs, and that layers get the right results whatever is chosen."""

import copy
import pickle
import time

import numpy as np
import pytest

import nerva
from nerva._kernels import mkl
from nerva.backends import calibration
from nerva.backends.cost_model import (
    BATCHES,
    CANDIDATES,
    DENSITIES,
    FIXED,
    FORWARD,
    INPUT,
    WEIGHT,
    BackendChoice,
    choose,
    is_open,
    seconds,
    work,
)
from nerva.layers import sparse

from .reference import assert_same_bits, made_up
from .test_layers import assert_right, batch

K, D, N = 512, 1024, 100
FLOAT = np.dtype(np.float32)
NATIVE = FIXED["native"]
# By weight and sample: a gemm twice as fast as own kernels, and the same of MKL's sparse products.
FAST_DENSE = made_up(dense=0.5, step=0.01)
FAST_MKL = made_up(mkl=0.5)


def plan(costs, density, N=N, K=K, D=D):
    return choose(costs, K, D, round(density * K * D), N, FLOAT)


@pytest.mark.parametrize(
    ("density", "wanted"), [(0.01, "native"), (0.2, "native"), (0.5, "native"), (0.6, "dense"), (1.0, "dense")]
)
def test_dense_products_are_for_dense_weights(density, wanted):
    for n in (1, 3, 100, 5000):
        assert plan(FAST_DENSE, density, n) == FIXED[wanted]


def test_mkl_where_it_is_cheap():
    for density in (0.01, 0.5, 1.0):
        assert plan(FAST_MKL, density) == FIXED["mkl"]
    assert plan(made_up(), 0.5) == NATIVE


def test_another_backend_must_be_much_faster():
    assert plan(made_up(mkl=1 / 1.14), 0.5).forward == "native"
    assert plan(made_up(mkl=1 / 1.16), 0.5).forward == "mkl"
    assert plan(made_up(dense=1 / 1.14), 1.0).forward == "native"
    assert plan(made_up(dense=1 / 1.16), 1.0).forward == "dense"


def test_each_product_is_chosen_for_itself():
    costs = made_up(dense=0.5)
    costs.rates[FORWARD]["dense"] = costs.rates[FORWARD]["mkl"]
    assert plan(costs, 1.0) == ("native", ("dense", "dense"), "dense")
    costs.rates[WEIGHT]["dense"] = costs.rates[FORWARD]["mkl"]
    assert plan(costs, 1.0) == ("native", ("dense", "native"), "native")


def test_a_step_that_is_not_fused_costs():
    """By dense products the way back takes 50 units for each of both directions instead of 100, and the step more."""
    for units, both, alone in ((10, "dense", "dense"), (45, "dense", "native"), (80, "native", "native")):
        found = plan(made_up(dense=0.5, step=units), 1.0)
        assert found == ("dense", (both, both), alone)


def test_batches_are_told_apart():
    costs = made_up()
    for direction in (FORWARD, INPUT, WEIGHT):
        costs.rates[direction]["dense"] = [[3e-11, 3e-11, 0.5e-11, 0.5e-11] for _ in DENSITIES]
    assert [plan(costs, 1.0, n).forward for n in (1, 16, 20, 90, 100, 512, 10**6)] == ["native"] * 3 + ["dense"] * 4


def test_rates_are_those_measured_and_between_them_in_between():
    costs = made_up()
    costs.rates[FORWARD]["dense"] = [[1.0 + i + 10.0 * j for j in range(4)] for i in range(4)]
    for i, density in enumerate(DENSITIES):
        for j, n in enumerate(BATCHES):
            nnz = density * K * D  # not rounded, as a density is met to the last digit
            assert seconds(costs, FORWARD, "dense", K, D, nnz, n) == pytest.approx(K * D * n * (1 + i + 10 * j))
    rate = seconds(costs, FORWARD, "dense", K, D, 0.375 * K * D, 50) / (K * D * 50)
    assert 12 < rate < 23
    for n, beyond in ((512, 10**5), (100, 100)):
        for density, sparser in ((0.05, 0.001), (1.0, 1.0)):
            rates = [
                seconds(costs, FORWARD, "dense", K, D, d * K * D, m) / (K * D * m)
                for d, m in ((density, n), (sparser, beyond))
            ]
            assert rates[0] == pytest.approx(rates[1])


def test_work_counts_rows_and_weights():
    assert work(FORWARD, "native", 10, 20, 50, 3) == (50 + 4 * 10) * 3
    assert work(INPUT, "mkl", 10, 20, 50, 3) == (50 + 4 * 20) * 3
    assert work(WEIGHT, "native", 10, 20, 50, 3) == 50 * 3
    assert work(WEIGHT, "dense", 10, 20, 50, 3) == 10 * 20 * 3


def test_a_block_beyond_two_gib_is_never_chosen():
    assert plan(FAST_DENSE, 1.0, 100, 64, 2**23) == FIXED["dense"]
    assert plan(FAST_DENSE, 1.0, 100, 64, 2**23 + 1) == NATIVE
    assert choose(FAST_DENSE, 64, 2**23, 64 * 2**23, 100, np.dtype(np.float64)) == NATIVE


@pytest.mark.parametrize(
    ("K", "D", "nnz", "N", "wanted"),
    [
        (512, 1024, 0, 100, False),
        (512, 1024, 2**19, 0, False),
        (512, 1024, 2**18, 15, False),  # little work
        (512, 1024, 2**18, 16, True),
        (10, 10**6, 10**7, 100, False),  # narrow
        (10**6, 63, 10**7, 100, False),
        (1024, 3072, 31457, 100, False),  # thin
        (1024, 3072, 31457, 1000, False),
        (1024, 3072, 31457, 10000, True),  # thin, but so much work that measuring is little beside it
    ],
)
def test_when_it_is_measured_at_all(K, D, nnz, N, wanted, monkeypatch):
    asked = []
    monkeypatch.setattr(calibration, "costs", lambda dtype: asked.append(dtype) or FAST_MKL)
    assert is_open(K, D, nnz, N) == wanted
    assert calibration.choose_backends("auto", K, D, nnz, N, FLOAT) == FIXED["mkl" if wanted else "native"]
    for backend in ("native", "mkl", "dense"):
        assert calibration.choose_backends(backend, K, D, nnz, N, FLOAT) == FIXED[backend]
    assert asked == [FLOAT] * wanted


# ---- layers


def mixed(forward, by_input, by_weight):
    """Costs by which `auto` takes these backends."""
    costs = made_up()
    for direction, backend in ((FORWARD, forward), (INPUT, by_input), (WEIGHT, by_weight)):
        costs.rates[direction][backend] = [[1e-14] * len(BATCHES) for _ in DENSITIES]
    return costs


@pytest.fixture
def always_open(monkeypatch):
    """Let the smallest layer ask for costs, which are given by calling this."""
    monkeypatch.setattr(calibration, "is_open", lambda K, D, nnz, N: nnz * N > 0)
    return lambda costs: monkeypatch.setattr(calibration, "costs", lambda dtype: costs)


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
    assert layer._choice(5) == (forward, (by_input, by_weight), by_weight)
    optimizers = nerva.Nesterov(weight_decay=0.1), nerva.Nesterov(weight_decay=0.1)
    for N in (7, 130):
        X, DY = batch(layer, N)
        for input_gradient in (True, False):
            for one, optimizer in zip((layer, wanted), optimizers, strict=True):
                one.forward(X)
                one.backward(DY, input_gradient=input_gradient, step=optimizer.at(0.01))
    for one, two in zip(layer.parameters(), wanted.parameters(), strict=True):
        np.testing.assert_allclose(one.values, two.values, rtol=1e-4, atol=1e-4)


def test_the_products_go_where_the_plan_says(monkeypatch):
    """And the way back in one where all of it is native."""
    called, choice = [], BackendChoice("mkl", ("dense", "dense"), "native")
    monkeypatch.setattr(calibration, "choose_backends", lambda *_: choice)

    def record(name, real):
        def call(*arguments, **keywords):
            called.append((name, None if keywords else arguments[-1]))  # the backend, which sparse_backward has none of
            return real(*arguments, **keywords)

        monkeypatch.setattr(sparse.products, name, call)

    for name in ("spmm", "sddmm", "spmm_t", "sparse_backward"):
        record(name, getattr(sparse.products, name))
    layer = nerva.SparseLinear(23, 17, density=0.4)
    X, DY = batch(layer, 5)
    layer.forward(X)
    layer.backward(DY)
    assert called == [("spmm", "mkl"), ("sddmm", "dense"), ("spmm_t", "dense")]
    layer.backward(DY, input_gradient=False)
    assert called[3:] == [("sparse_backward", None)]
    choice, layer.weight, called[:] = BackendChoice("native", ("native", "native"), "dense"), layer.weight, []
    layer.forward(X)
    layer.backward(DY)
    layer.backward(DY, input_gradient=False)
    assert called == [("spmm", "native"), ("sparse_backward", None), ("sddmm", "dense")]


def test_the_choice_is_made_once_for_a_batch_and_threads(always_open, monkeypatch):
    always_open(FAST_MKL)
    asked = []
    real = calibration.choose_backends
    monkeypatch.setattr(
        calibration, "choose_backends", lambda *arguments: asked.append(arguments[4]) or real(*arguments)
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
