"""Initial weights: their variance and law by the papers, the fans they get, wrong ones."""

import math

import numpy as np
import pytest

import nerva
from nerva.initializers import INITIALIZERS, initial_values

from .reference import assert_same_bits

FANS = [(3072, 1024), (10, 200_000), (5, 3)]
COUNT = 40_000


def draw(name, fans=(300, 100), count=COUNT, dtype=np.float64, seed=0):
    return initial_values(name, np.random.default_rng(seed), *fans, count, np.dtype(dtype))


@pytest.mark.parametrize("fans", FANS)
def test_xavier_is_uniform(fans, dtype):
    values, bound = draw("xavier", fans, dtype=dtype), math.sqrt(6 / sum(fans))
    assert values.dtype == dtype
    assert np.abs(values).max() <= bound * (1 + np.finfo(dtype).eps)
    shares, _ = np.histogram(values, bins=10, range=(-bound, bound))
    assert np.abs(shares / COUNT - 0.1).max() < 5 * math.sqrt(0.09 / COUNT)


# The variance of each, from its paper: uniform on (-a, a) has a^2 / 3.
VARIANCES = {
    "xavier": lambda D, K: 2 / (D + K),
    "xavier-normal": lambda D, K: 2 / (D + K),
    "he": lambda D, K: 2 / D,
    "he-uniform": lambda D, K: 2 / D,
    "lecun": lambda D, K: 1 / D,
    "lecun-uniform": lambda D, K: 1 / D,
    "pytorch": lambda D, K: 1 / (3 * D),
    "uniform": lambda D, K: 1 / 3,
    "zeros": lambda D, K: 0,
}


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("fans", FANS)
def test_the_variance_is_that_of_the_paper_and_the_law_is_named(name, fans):
    values, variance = draw(name, fans), VARIANCES[name](*fans)
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert abs(values.mean()) <= 5 * math.sqrt(variance / COUNT)
    if variance:
        normal = np.abs(values).max() > 2 * math.sqrt(variance)
        assert normal == (name in ("xavier-normal", "he", "lecun"))


@pytest.mark.parametrize("fans", FANS)
def test_he_is_normal(fans, dtype):
    values, deviation = draw("he", fans, dtype=dtype), math.sqrt(2 / fans[0])
    assert values.dtype == dtype
    within = [np.mean(np.abs(values) < n * deviation) for n in (1, 2, 3)]
    assert within == pytest.approx([0.6827, 0.9545, 0.9973], abs=5 * math.sqrt(0.25 / COUNT))
    assert abs(values.mean()) < 5 * deviation / math.sqrt(COUNT)


def test_zeros():
    assert not draw("zeros").any()
    assert draw("zeros", count=0).shape == (0,)


@pytest.mark.parametrize("name", ["xavier", "he"])
def test_a_seed_gives_the_same_values(name, dtype):
    assert_same_bits(draw(name, dtype=dtype), draw(name, dtype=dtype))
    assert not np.array_equal(draw(name), draw(name, seed=1))
    assert len(np.unique(draw(name))) == COUNT


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_an_initializer_is_told_the_fans_of_the_dense_layer(density, dtype):
    calls = []

    def count_up(rng, fan_in, fan_out, count, dtype):
        calls.append((type(rng), fan_in, fan_out, count, dtype))
        return list(range(count))

    model = nerva.MLP([30, 20], density=density, init=count_up, fan="dense", dtype=dtype)
    count = round(density * 600)
    assert calls == [(np.random.Generator, 30, 20, count, dtype)]
    assert_same_bits(model.parameters()[0].values, np.arange(count, dtype=dtype))


@pytest.mark.parametrize(
    "layer", [nerva.Linear(30, 20, rng=3), nerva.SparseLinear(30, 20, density=0.5, rng=3)], ids=["dense", "sparse"]
)
def test_a_layer_starts_with_xavier_and_no_bias(layer):
    values = layer.parameters()[0].values
    assert not layer.bias.any()
    assert 0.9 * math.sqrt(6 / 50) < np.abs(values).max() <= math.sqrt(6 / 50) * 1.000001


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        ("golden", ValueError, "init is 'golden'.*xavier, .*he, .*zeros"),
        (3, TypeError, "init is 3"),
        (None, TypeError, "init is None"),
        (lambda *_: np.zeros(COUNT - 1), ValueError, r"init returned shape \(39999,\).*\(40000,\)"),
        (lambda *_: np.zeros((COUNT, 1)), ValueError, "init returned shape"),
        (lambda *_: 0.0, ValueError, "init returned shape"),
        (lambda *_: np.full(COUNT, np.inf), ValueError, "init .*finite"),
    ],
)
def test_a_wrong_initializer_is_named(init, error, message):
    with pytest.raises(error, match=message):
        draw(init)


def test_the_names_of_initializers():
    assert all(callable(getattr(nerva.initializers, name.replace("-", "_"))) for name in INITIALIZERS)


@pytest.mark.parametrize("name", ["xavier", "xavier-normal", "he", "he-uniform", "lecun", "lecun-uniform", "pytorch"])
@pytest.mark.parametrize("fan", [0, -1, float("nan")])
def test_fans_are_above_zero(name, fan):
    with pytest.raises(ValueError, match=r"fan_in( [+] fan_out)? is .*; it must be finite and above 0"):
        nerva.initializers.INITIALIZERS[name](np.random.default_rng(0), fan, 0, 3, np.dtype("float32"))
