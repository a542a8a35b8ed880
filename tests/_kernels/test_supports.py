"""Supports: exactly as many positions as asked for, each set of them as likely as any other, reproducible."""

import tracemalloc
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nerva._kernels.csr import CSR
from nerva._kernels.supports import draw_support

# The seeds are fixed, so a test passes always or never; a fair draw falls below this once in ten thousand seeds.
LEAST_P = 1e-4


def positions(rows, columns, count, rng):
    """The positions drawn, as row x columns + column, after checking that they are a support."""
    indptr, indices = draw_support(rows, columns, count, rng)
    assert indptr.dtype == indices.dtype == np.int32
    assert (indptr.shape, indices.shape) == ((rows + 1,), (count,))
    assert (indptr[0], indptr[-1]) == (0, count)
    lengths = np.diff(indptr.astype(np.int64))
    assert (lengths >= 0).all()
    flat = np.repeat(np.arange(rows), lengths) * columns + indices
    assert (np.diff(flat) > 0).all()
    if count:
        assert 0 <= indices.min() <= indices.max() < columns
    return flat


def assert_uniform(counts, expected):
    assert stats.chisquare(counts, expected).pvalue > LEAST_P


@st.composite
def sizes(draw):
    rows, columns = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return rows, columns, draw(st.integers(0, rows * columns))


@given(size=sizes(), seed=st.integers(0, 2**32))
def test_exactly_as_many_as_asked_for(size, seed):
    rows, columns, count = size
    drawn = positions(rows, columns, count, np.random.default_rng(seed))
    assert len(drawn) == count
    # It is what CSR takes.
    CSR((rows, columns), *draw_support(rows, columns, count, np.random.default_rng(seed)), np.ones(count, np.float32))


@pytest.mark.parametrize("shape", [(1, 1), (1, 97), (97, 1), (30, 50)])
def test_from_nothing_to_everything(rng, shape):
    population = shape[0] * shape[1]
    for count in {
        0,
        1,
        population // 100,
        population // 14,
        population // 13,
        population // 2,
        population - 1,
        population,
    }:
        positions(*shape, count, rng)
    np.testing.assert_array_equal(positions(*shape, population, rng), np.arange(population))


@pytest.mark.parametrize("generator", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_the_seed_decides(generator):
    first, second, other = (np.random.Generator(generator(seed)) for seed in (1, 1, 2))
    for count in (50, 5000):
        drawn = positions(100, 200, count, first)
        np.testing.assert_array_equal(drawn, positions(100, 200, count, second))
        assert not np.array_equal(drawn, positions(100, 200, count, other))
        assert not np.array_equal(drawn, positions(100, 200, count, first))
        second = np.random.Generator(generator())
        second.bit_generator.state = first.bit_generator.state


# In a population of N, n positions are drawn by algorithm A where 13 n >= N, by algorithm D below that.
@pytest.mark.parametrize(
    ("rows", "columns", "count", "draws"),
    [
        (2, 3, 2, 6000),
        (6, 1, 2, 6000),
        (1, 6, 3, 6000),
        (2, 3, 5, 3000),
        (3, 3, 1, 4000),
        (1, 27, 2, 20000),
        (5, 8, 2, 30000),
    ],
)
def test_every_set_is_equally_likely(rng, rows, columns, count, draws):
    place = {subset: i for i, subset in enumerate(combinations(range(rows * columns), count))}
    counts = np.zeros(len(place))
    for _ in range(draws):
        indptr, indices = draw_support(rows, columns, count, rng)
        flat = np.repeat(np.arange(rows), np.diff(indptr)) * columns + indices
        counts[place[tuple(flat.tolist())]] += 1
    assert_uniform(counts, np.full(len(place), draws / len(place)))


@pytest.mark.parametrize(
    ("population", "count"),
    [(200, 1), (200, 4), (1000, 3), (200, 15), (400, 28), (400, 31), (200, 40), (200, 100), (200, 197)],
)
def test_every_position_and_every_gap_is_as_likely_as_it_should_be(rng, population, count):
    draws = 6000
    drawn = np.array([draw_support(1, population, count, rng)[1] for _ in range(draws)])
    # Each position is in count / population of the draws. Draws without replacement shrink the statistic.
    expected = draws * count / population
    counts = np.bincount(drawn.ravel(), minlength=population)
    statistic = ((counts - expected) ** 2).sum() / (expected * (1 - count / population)) * (population - 1) / population
    assert stats.chi2.sf(statistic, population - 1) > LEAST_P
    assert stats.chi2.cdf(statistic, population - 1) > LEAST_P
    # Every gap, from the first to the last, has the same law: P(gap = g) = C(N - 1 - g, n - 1) / C(N, n).
    law = np.array([comb(population - 1 - g, count - 1) for g in range(population - count + 1)], dtype=object)
    law = (law / comb(population, count)).astype(float)
    tail = max(np.searchsorted(law.cumsum(), 1 - 10 / draws), 1)
    for gap in {0, 1, count // 2, count - 1} & set(range(count)):
        gaps = drawn[:, gap] - (drawn[:, gap - 1] + 1 if gap else 0)
        observed = np.bincount(np.minimum(gaps, tail), minlength=tail + 1)
        assert_uniform(observed, draws * np.append(law[:tail], law[tail:].sum()))


@pytest.mark.parametrize("density", [0.04, 0.076, 0.08, 0.5])
def test_a_million_gaps_follow_their_law_one_by_one_and_in_pairs(rng, density):
    """Where the rare branches of algorithm D would show: the gaps are all but independent in a sample this large."""
    count = 10**6
    rows, columns = 5000, round(count / density / 5000)
    population = rows * columns
    gaps = np.diff(positions(rows, columns, count, rng), prepend=-1) - 1
    ends = np.unique(np.quantile(gaps, np.linspace(0, 1, 12)).astype(int))[1:]
    # P(gap > g) = C(N - 1 - g, n) / C(N, n), which is the product of 1 - n / (N - i) for i from 0 to g.
    passed = np.cumprod(1 - count / (population - np.arange(ends[-1] + 1.0)))
    law = -np.diff(passed[ends], prepend=1, append=0)
    assert_uniform(np.bincount(np.searchsorted(ends, gaps), minlength=len(law)), count * law)
    pairs = np.searchsorted(ends, gaps[:-1]) * len(law) + np.searchsorted(ends, gaps[1:])
    assert_uniform(np.bincount(pairs, minlength=len(law) ** 2), (count - 1) * np.outer(law, law).ravel())


def test_a_million_by_a_million(rng):
    """A million of 10^12 positions: even over rows and columns, and no memory but the result's."""
    n = 10**6
    tracemalloc.start()
    indptr, indices = draw_support(n, n, n, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * (indptr.nbytes + indices.nbytes)
    rows = np.repeat(np.arange(n), np.diff(indptr))
    assert (np.diff(rows * n + indices) > 0).all()
    for parts in (2, 10, 1000):
        by_row, by_column = rows * parts // n, indices.astype(np.int64) * parts // n
        assert_uniform(np.bincount(by_row, minlength=parts), np.full(parts, n / parts))
        assert_uniform(np.bincount(by_column, minlength=parts), np.full(parts, n / parts))
    quarters = np.bincount(rows * 2 // n * 2 + indices.astype(np.int64) * 2 // n, minlength=4)
    assert_uniform(quarters, np.full(4, n / 4))
    # The lengths of the rows follow the Poisson law, which rows x count this large cannot be told from.
    lengths = np.minimum(np.diff(indptr), 6)
    law = stats.poisson(1).pmf(np.arange(6))
    assert_uniform(np.bincount(lengths, minlength=7), n * np.append(law, 1 - law.sum()))


def test_a_population_beyond_what_a_double_counts(rng):
    rows = 2**28 // 1000
    columns = 2**31 - 1
    indptr, indices = draw_support(rows, columns, 5000, rng)
    CSR((rows, columns), indptr, indices, np.ones(5000, np.float32))
    assert stats.kstest(indices / columns, "uniform").pvalue > LEAST_P
    assert stats.kstest(np.repeat(np.arange(rows), np.diff(indptr)) / rows, "uniform").pvalue > LEAST_P


@pytest.mark.parametrize("density", [0.01, 0.05, 0.0769, 0.08, 0.3, 0.9])
def test_a_layer_is_even_over_rows_and_columns(rng, density):
    rows, columns = 300, 200
    count = round(density * rows * columns)
    flat = np.concatenate([positions(rows, columns, count, rng) for _ in range(20)])
    # Counts of a sample without replacement vary less than independent ones: by the part that is not drawn.
    for counts in (np.bincount(flat // columns), np.bincount(flat % columns)):
        statistic = stats.chisquare(counts).statistic / (1 - density)
        assert stats.chi2.sf(statistic, len(counts) - 1) > LEAST_P
        assert stats.chi2.cdf(statistic, len(counts) - 1) > LEAST_P


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 5, 0), ValueError, "shape"),
        ((5, 0, 0), ValueError, "shape"),
        ((-1, 5, 0), ValueError, "shape"),
        ((2**31, 5, 0), ValueError, "shape"),
        ((5, 2**31, 0), ValueError, "shape"),
        ((4, 5, -1), ValueError, "count"),
        ((4, 5, 21), ValueError, "count"),
        ((2**17, 2**17, 2**31), ValueError, "count"),
        ((4, 5, 2.5), TypeError, "int|real"),
        ((4, 5, None), TypeError, "int|real"),
        ((4.5, 5, 2), TypeError, "int|real"),
    ],
)
def test_impossible_supports_are_refused(rng, arguments, error, message):
    before = rng.bit_generator.state
    with pytest.raises(error, match=message):
        draw_support(*arguments, rng)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("rng", [None, 0, np.random.RandomState(0), np.random.PCG64(0)], ids=repr)
def test_what_is_no_generator_is_refused(rng):
    with pytest.raises(TypeError, match="rng"):
        draw_support(4, 5, 3, rng)
