"""Intervals and the test of equivalence, beside numbers of tables and beside SciPy's own tests."""

import sys

import numpy as np
import pytest
from scipy import stats

from nerva.experiments.paper.statistics import Interval, mean_interval, ratio_interval, spread_interval, tost

DIFFERENCES = [0.3, -0.1, 0.2, 0.0, 0.4, -0.2, 0.1, 0.1, 0.3, -0.1]


def test_an_interval_by_the_table_of_student():
    # Ten values: mean 0.1, s = 0.2 exactly; t of 9 degrees of freedom is 2.262 at 97.5 % and 1.833 at 95 %.
    s = np.std(DIFFERENCES, ddof=1)
    assert s == pytest.approx(0.2)
    ninety_five, ninety = mean_interval(DIFFERENCES), mean_interval(DIFFERENCES, 0.9)
    assert ninety_five == pytest.approx((0.1, 0.1 - 2.262 * 0.2 / 10**0.5, 0.1 + 2.262 * 0.2 / 10**0.5), abs=1e-4)
    assert ninety == pytest.approx((0.1, 0.1 - 1.833 * 0.2 / 10**0.5, 0.1 + 1.833 * 0.2 / 10**0.5), abs=1e-4)


@pytest.mark.parametrize("margin", [0.1, 0.2, 0.21, 0.5])
def test_equivalence_is_two_one_sided_tests(margin):
    found = tost(DIFFERENCES, margin)
    below = stats.ttest_1samp(DIFFERENCES, -margin, alternative="greater").pvalue
    above = stats.ttest_1samp(DIFFERENCES, margin, alternative="less").pvalue
    assert found.p == pytest.approx(max(below, above))
    assert found.count == 10
    assert found.interval == mean_interval(DIFFERENCES)
    # The 90 % interval reaches up to 0.1 + 1.833 x 0.0632 = 0.216.
    assert (found.low, found.high) == pytest.approx((-0.016, 0.216), abs=1e-3)
    assert found.equivalent == (margin > 0.216)


def test_the_lower_test_counts_too():
    found = tost([-value for value in DIFFERENCES], 0.2)
    assert found.p == pytest.approx(tost(DIFFERENCES, 0.2).p)


def test_the_interval_of_a_spread_by_the_table_of_chi_squared():
    # Of 9 degrees of freedom chi-squared is 19.02 at 97.5 % and 2.700 at 2.5 %.
    found = spread_interval(DIFFERENCES)
    assert found == pytest.approx((0.2, 0.2 * (9 / 19.023) ** 0.5, 0.2 * (9 / 2.700) ** 0.5), rel=1e-3)


def test_the_ratio_of_two_spreads_by_the_table_of_fisher():
    # Of 9 and 9 degrees of freedom F is 4.026 at 97.5 %.
    found = ratio_interval([3 * value for value in DIFFERENCES], DIFFERENCES)
    assert found == pytest.approx((3.0, 3.0 / 4.026**0.5, 3.0 * 4.026**0.5), rel=1e-3)


def test_a_ratio_covers_its_interval_for_samples_of_two_sizes():
    found, other = ratio_interval(DIFFERENCES[:4], DIFFERENCES), ratio_interval(DIFFERENCES, DIFFERENCES[:4])
    assert found == pytest.approx((1 / other.value, 1 / other.high, 1 / other.low))


@pytest.mark.parametrize(("value", "p", "equivalent"), [(0.0, 0.0, True), (-0.25, 0.0, True), (0.5, 1.0, False)])
def test_differences_that_are_all_the_same(value, p, equivalent):
    found = tost([value] * 3, 0.5)
    assert (found.p, found.equivalent, found.interval) == (p, equivalent, Interval(value, value, value))


@pytest.mark.parametrize("few", [[], [1.0]])
@pytest.mark.parametrize("function", [mean_interval, spread_interval, lambda values: tost(values, 0.5)])
def test_an_interval_needs_two_values(function, few):
    with pytest.raises(ValueError, match=f"values holds {len(few)}"):
        function(few)


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_is_positive(margin):
    with pytest.raises(ValueError, match=f"margin is {margin}"):
        tost(DIFFERENCES, margin)


def test_a_ratio_to_no_spread_is_refused():
    with pytest.raises(ValueError, match="the same value"):
        ratio_interval(DIFFERENCES, [1.0, 1.0])


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"nerva-sparse\[compare\]"):
        mean_interval(DIFFERENCES)
