"""Densities of layers: those of the original Nerva, by hand, and by their properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.topology.distributions import DISTRIBUTIONS, distribute, weight_count

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
