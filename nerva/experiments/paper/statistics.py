"""Intervals of means, differences and spreads, and the test of equivalence. Needs SciPy: the extra 'compare'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np


class Interval(NamedTuple):
    """An estimate, and the confidence interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Equivalence:
    """The paired test of equivalence by two one-sided t-tests (TOST).

    Parameters
    ----------
    count : of pairs
    interval : the mean difference with its 95 % interval
    low, high : of its 90 % interval, which lies within the margin just where the test rejects a difference at 5 %
    p : the larger one of the two tests' p-values
    margin : what difference would matter
    """

    count: int
    interval: Interval
    low: float
    high: float
    p: float
    margin: float

    @property
    def equivalent(self) -> bool:
        """Whether a difference as large as the margin is rejected at 5 %."""
        return self.p < 0.05


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean, with the interval of Student's t around it.

    Raises ValueError for less than two values, ImportError, which names the extra, without SciPy.

    >>> mean_interval([1.0, 2.0, 3.0])
    Interval(value=2.0, low=-0.484..., high=4.484...)
    """
    mean, error, freedom = _mean(values)
    reach = error * float(_distributions().t.ppf(0.5 + confidence / 2, freedom))
    return Interval(mean, mean - reach, mean + reach)


def tost(differences: Sequence[float], margin: float) -> Equivalence:
    """Test whether the mean of paired differences lies within -margin to margin.

    Raises ValueError for less than two differences or a margin that is not positive, ImportError without SciPy.
    D. J. Schuirmann, A comparison of the two one-sided tests procedure and the power approach for assessing the
    equivalence of average bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.

    >>> tost([0.1, -0.1, 0.2, 0.0], 0.5).equivalent
    True
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}; it must be positive")
    mean, error, freedom = _mean(differences)
    if error > 0:
        t = _distributions().t
        p = max(float(t.sf((mean + margin) / error, freedom)), float(t.cdf((mean - margin) / error, freedom)))
    else:  # all differences are the same
        p = 0.0 if abs(mean) < margin else 1.0
    ninety = mean_interval(differences, 0.9)
    return Equivalence(len(differences), mean_interval(differences), ninety.low, ninety.high, p, margin)


def spread_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the standard deviation of normal values, with the interval of chi-squared around it.

    Raises ValueError for less than two values, ImportError without SciPy.

    >>> spread_interval([1.0, 2.0, 3.0])
    Interval(value=1.0, low=0.520..., high=6.284...)
    """
    _, error, freedom = _mean(values)
    spread, chi2 = error * sqrt(len(values)), _distributions().chi2
    low, high = (spread * sqrt(freedom / chi2.ppf(0.5 + side * confidence / 2, freedom)) for side in (1, -1))
    return Interval(spread, float(low), float(high))


def ratio_interval(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the ratio of the standard deviations of two samples of normal values, with its interval, by Fisher's F.

    Raises ValueError for less than two values, or where the second ones are all the same; ImportError without SciPy.

    >>> ratio_interval([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    Interval(value=1.0, low=0.160..., high=6.244...)
    """
    a, b = spread_interval(first), spread_interval(second)
    if b.value == 0:
        raise ValueError("second holds the same value again and again: there is no ratio to its spread")
    f, ratio = _distributions().f, a.value / b.value
    low, high = (ratio / sqrt(f.ppf(0.5 + side * confidence / 2, len(first) - 1, len(second) - 1)) for side in (1, -1))
    return Interval(ratio, float(low), float(high))


def _mean(values: Sequence[float]) -> tuple[float, float, int]:
    """Return the mean, its standard error, and the degrees of freedom."""
    if len(values) < 2:
        raise ValueError(f"values holds {len(values)}; an interval needs two at least")
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) / sqrt(len(array)), len(array) - 1


def _distributions() -> Any:
    try:
        from scipy import stats
    except ImportError:
        raise ImportError("intervals need SciPy: pip install 'nerva-sparse[compare]'") from None
    return stats
