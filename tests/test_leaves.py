"""The leaves: densities, first weights, learning rates, and what an optimizer sees of a layer."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.initializers import INITIALIZERS, initial_values
from nerva.parameters import Parameter
from nerva.schedules import as_schedule, check_not_negative
from nerva.topology.distributions import DISTRIBUTIONS, distribute, weight_count
from nerva.validation import real_dtype

from .reference import assert_same_bits

SIZES = [3072, 1024, 512, 10]
SHAPES = [(3072, 1024), (1024, 512), (512, 10)]

# What the original framework prints for SIZES: density of the whole, of each layer, weights of each layer.
ORIGINAL = [
    (0.5, (0.423651, 0.953214, 1), (1332689, 499759, 5120)),
    (0.2, (0.16875, 0.379688, 1), (530842, 199066, 5120)),
    (0.1, (0.083783, 0.188512, 1), (263559, 98835, 5120)),
    (0.05, (0.0413, 0.092924, 1), (129918, 48719, 5120)),
    (0.01, (0.007776, 0.017496, 0.608859), (24461, 9173, 3117)),
    (0.005, (0.003888, 0.008748, 0.304429), (12231, 4586, 1559)),
    (0.001, (0.000778, 0.00175, 0.060886), (2446, 917, 312)),
]


# ---- density


@pytest.mark.parametrize(("density", "densities", "weights"), ORIGINAL)
def test_erdos_renyi_is_that_of_the_original(density, densities, weights):
    found = nerva.erdos_renyi(SHAPES, density)
    assert [round(d, 6) for d in found] == list(densities)
    assert [weight_count(d, K, D) for d, (D, K) in zip(found, SHAPES, strict=True)] == list(weights)
    model = nerva.MLP(SIZES, density=density, init="zeros")
    assert [layer.nnz for layer in model.layers] == list(weights)
    assert model.nnz == sum(weights)
    assert abs(model.nnz - density * model.dense_size) <= len(SHAPES) / 2


@given(
    shapes=st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 4000)), min_size=1, max_size=6),
    density=st.floats(0, 1),
)
def test_erdos_renyi_shares_out_all_there_is(shapes, density):
    densities = nerva.erdos_renyi(shapes, density)
    assert len(densities) == len(shapes)
    assert all(0 <= d <= 1 for d in densities)
    total = sum(d * D * K for d, (D, K) in zip(densities, shapes, strict=True))
    assert total == pytest.approx(density * sum(D * K for D, K in shapes), rel=1e-9)
    # All layers that are not full have one eps, which would be more than full for the others.
    each = [(d, d * D * K / (D + K)) for d, (D, K) in zip(densities, shapes, strict=True)]
    eps = [e for d, e in each if d < 1]
    assert not eps or max(eps) == pytest.approx(min(eps), rel=1e-9)
    assert all(e <= max(eps) * (1 + 1e-9) for d, e in each if d == 1 and eps)


@pytest.mark.parametrize(
    ("shapes", "density", "wanted"),
    [
        ([(100, 100)], 0.3, [0.3]),
        ([(100, 100)] * 3, 0.3, [0.3] * 3),
        ([(1000, 10), (10, 1000)], 0.5, [0.5, 0.5]),
        ([(100, 100), (1, 100)], 0.5, [(0.5 * 10100 - 100) / 10000, 1]),  # one layer is full
        ([(100, 100), (10, 10), (2, 5)], 0.5, [(0.5 * 10110 - 110) / 10000, 1, 1]),  # two, one after the other
        ([(7, 3), (3, 2)], 1.0, [1, 1]),
        ([(7, 3), (3, 2)], 0.0, [0, 0]),
        ([], 0.5, []),
    ],
)
def test_erdos_renyi_by_hand(shapes, density, wanted):
    assert nerva.erdos_renyi(shapes, density) == pytest.approx(wanted)


@pytest.mark.parametrize("density", [0, 0.25, 1])
def test_uniform(density):
    assert nerva.uniform(SHAPES, density) == [density] * 3
    assert distribute("uniform", SHAPES, density) == [density] * 3
    assert distribute("erdos-renyi", SHAPES, density) == nerva.erdos_renyi(SHAPES, density)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize(
    ("density", "error"),
    [
        *[(density, ValueError) for density in (-0.01, 1.01, math.nan, math.inf)],
        *[(density, TypeError) for density in (None, "half", [0.5])],
    ],
)
def test_a_wrong_density_is_named(distribution, density, error):
    with pytest.raises(error, match=r"^density is .* within 0 to 1"):
        distribution(SHAPES, density)


def test_an_unknown_distribution_is_named():
    with pytest.raises(ValueError, match=r"distribution is 'golden'.*erdos-renyi, .*uniform"):
        distribute("golden", SHAPES, 0.5)


@pytest.mark.parametrize(
    ("density", "K", "D", "count"),
    [
        *[(0, 9, 9, 0), (1, 9, 9, 81), (0.5, 3, 3, 5), (0.5, 1, 1, 1), (0.1, 5, 5, 3), (0.099, 5, 5, 2)],
        *[(1e-5, 10**6, 10**6, 10**7), (1.0, 46341, 46341, 46341**2), (0.29, 10, 10, 29), (1 - 1e-16, 3, 3, 9)],
    ],
)
def test_weights_are_counted_with_halves_up(density, K, D, count):
    assert weight_count(density, K, D) == count


@given(density=st.floats(0, 1), K=st.integers(1, 60), D=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_a_support_has_exactly_so_many_weights(density, K, D, seed):
    layer = nerva.SparseLinear(D, K, density=density, rng=seed)
    assert abs(layer.nnz - density * K * D) <= 0.5 + 1e-9
    mask = np.zeros((K, D), bool)
    mask[np.repeat(np.arange(K), np.diff(layer.weight.indptr)), layer.weight.indices] = True
    assert mask.sum() == layer.nnz == weight_count(density, K, D)


# ---- initializers

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


# ---- schedules


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 0.4), (1.99, 0.4), (2, 0.2), (2.01, 0.2), (4.99, 0.2), (5.0, 0.1), (1000, 0.1)]
)
def test_multi_step_falls_at_its_milestones(epoch, rate):
    assert nerva.MultiStep(0.4, milestones=[2, 5], gamma=0.5)(epoch) == pytest.approx(rate)
    assert nerva.MultiStep(0.4, milestones=np.array([2, 5]), gamma=0.5)(epoch) == pytest.approx(rate)


def test_schedules_and_what_becomes_one():
    assert nerva.MultiStep(0.1, ())(99) == nerva.Constant(0.1)(99) == as_schedule(0.1)(0) == 0.1
    assert nerva.MultiStep(0.1, [0, 0])(0) == pytest.approx(0.001)
    assert as_schedule(np.float32(0.5))(3.3) == 0.5
    assert as_schedule(0)(1) == 0
    assert as_schedule(math.sqrt) is math.sqrt
    multi = nerva.MultiStep(0.1, [1])
    assert as_schedule(multi) is multi


@pytest.mark.parametrize(
    ("make", "error", "name"),
    [
        (lambda: nerva.Constant(-1), ValueError, "rate"),
        (lambda: nerva.Constant(math.nan), ValueError, "rate"),
        (lambda: nerva.Constant("0.1"), TypeError, "rate"),
        (lambda: nerva.Constant("fast"), TypeError, "rate"),
        (lambda: nerva.MultiStep(math.inf, [1]), ValueError, "rate"),
        (lambda: nerva.MultiStep(0.1, [1], gamma=-0.1), ValueError, "gamma"),
        (lambda: nerva.MultiStep(0.1, [1], gamma=None), TypeError, "gamma"),
        (lambda: nerva.MultiStep(0.1, [5, 2]), ValueError, "milestones"),
        (lambda: nerva.MultiStep(0.1, [-1, 2]), ValueError, "milestones"),
        (lambda: nerva.MultiStep(0.1, [1, math.nan]), ValueError, "milestones"),
        (lambda: nerva.MultiStep(0.1, ["1"]), TypeError, "milestones"),
        (lambda: nerva.MultiStep(0.1, 50), TypeError, "milestones"),
        (lambda: as_schedule(-0.1), ValueError, "schedule"),
        (lambda: as_schedule(None), TypeError, "schedule"),
        (lambda: as_schedule("constant"), TypeError, "schedule"),
        (lambda: check_not_negative([1.0, 2.0], "gamma"), TypeError, "gamma"),
    ],
)
def test_a_wrong_rate_is_named(make, error, name):
    with pytest.raises(error, match=rf"^{name} is"):
        make()


# ---- parameters


def test_a_parameter_takes_memory_when_it_is_asked_for(dtype):
    values = np.arange(7, dtype=dtype)
    parameter = Parameter("weight", values)
    assert parameter.values is values
    assert parameter.nbytes == 7 * dtype.itemsize
    gradient = parameter.gradient
    assert gradient.shape == (7,)
    assert gradient.dtype == dtype
    assert not gradient.any()
    assert parameter.gradient is gradient
    assert parameter.nbytes == 2 * 7 * dtype.itemsize
    parameter.claim(None, "first", "second")
    assert parameter.nbytes == 4 * 7 * dtype.itemsize


def test_state_belongs_to_the_last_who_claimed_it():
    parameter, one, other = Parameter("weight", np.zeros(3)), object(), object()
    state = parameter.claim(one, "momentum")
    state["momentum"][:] = 5
    assert parameter.claim(one, "momentum")["momentum"].tolist() == [5, 5, 5]
    assert parameter.claim(other, "momentum")["momentum"].tolist() == [0, 0, 0]
    assert parameter.claim(one, "momentum")["momentum"].tolist() == [0, 0, 0]
    assert parameter.owner is one
    assert set(parameter.claim(one, "momentum", "square")) == set(parameter.state) == {"momentum", "square"}


@pytest.mark.parametrize("dtype", ["float32", np.float64, np.dtype("f4"), float])
def test_real_dtypes(dtype):
    assert real_dtype(dtype) == np.dtype(dtype)


@pytest.mark.parametrize("dtype", [None, "float16", int, np.complex64, object, "nonsense", 3, np.zeros])
def test_a_dtype_that_is_not_real_is_named(dtype):
    with pytest.raises((TypeError, ValueError), match=r"^dtype is .* float32 or float64"):
        real_dtype(dtype)
