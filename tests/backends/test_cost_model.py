"""The choice of backends from made-up costs."""

import numpy as np
import pytest

from nerva.backends import choice
from nerva.backends.choice import choose_backends
from nerva.backends.cost_model import (
    BATCHES,
    DENSITIES,
    FIXED,
    FORWARD,
    INPUT,
    WEIGHT,
    choose,
    is_open,
    seconds,
    work,
)

from ..reference import FAST_DENSE, FAST_MKL, made_up

K, D, N = 512, 1024, 100
FLOAT = np.dtype(np.float32)
NATIVE = FIXED["native"]


def chosen(costs, density, N=N, K=K, D=D):
    return choose(costs, K, D, round(density * K * D), N, FLOAT)


@pytest.mark.parametrize(
    ("density", "wanted"), [(0.01, "native"), (0.2, "native"), (0.5, "native"), (0.6, "dense"), (1.0, "dense")]
)
def test_dense_products_are_for_dense_weights(density, wanted):
    for n in (1, 3, 100, 5000):
        assert chosen(FAST_DENSE, density, n) == FIXED[wanted]


def test_mkl_where_it_is_cheap():
    for density in (0.01, 0.5, 1.0):
        assert chosen(FAST_MKL, density) == FIXED["mkl"]
    assert chosen(made_up(), 0.5) == NATIVE


def test_another_backend_must_be_much_faster():
    assert chosen(made_up(mkl=1 / 1.14), 0.5).forward == "native"
    assert chosen(made_up(mkl=1 / 1.16), 0.5).forward == "mkl"
    assert chosen(made_up(dense=1 / 1.14), 1.0).forward == "native"
    assert chosen(made_up(dense=1 / 1.16), 1.0).forward == "dense"


def test_each_product_is_chosen_for_itself():
    costs = made_up(dense=0.5)
    costs.rates[FORWARD]["dense"] = costs.rates[FORWARD]["mkl"]
    assert chosen(costs, 1.0) == ("native", "dense", "dense")
    costs.rates[WEIGHT]["dense"] = costs.rates[FORWARD]["mkl"]
    assert chosen(costs, 1.0) == ("native", "dense", "native")


def test_batches_are_told_apart():
    costs = made_up()
    for direction in (FORWARD, INPUT, WEIGHT):
        costs.rates[direction]["dense"] = [[3e-11, 3e-11, 0.5e-11, 0.5e-11] for _ in DENSITIES]
    assert [chosen(costs, 1.0, n).forward for n in (1, 16, 20, 90, 100, 512, 10**6)] == ["native"] * 3 + ["dense"] * 4


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
    assert chosen(FAST_DENSE, 1.0, 100, 64, 2**23) == FIXED["dense"]
    assert chosen(FAST_DENSE, 1.0, 100, 64, 2**23 + 1) == NATIVE
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
        (1024, 3072, 31457, 10000, False),
        (1024, 3072, 94372, 1000, True),  # thin, but so much work that measuring is little beside it
        (1024, 3072, 94371, 1000, False),  # below 3 %
    ],
)
def test_when_it_is_measured_at_all(K, D, nnz, N, wanted, monkeypatch):
    asked = []
    monkeypatch.setattr(choice, "costs", lambda dtype: asked.append(dtype) or FAST_MKL)
    assert is_open(K, D, nnz, N) == wanted
    assert choose_backends("auto", K, D, nnz, N, FLOAT) == FIXED["mkl" if wanted else "native"]
    for backend in ("native", "mkl", "dense"):
        assert choose_backends(backend, K, D, nnz, N, FLOAT) == FIXED[backend]
    assert asked == [FLOAT] * wanted
