"""The largest elements of a vector, against a sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels.selection import largest


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 300),
    kinds=st.integers(1, 40),
    scale=st.sampled_from([0.0, 1.0, 1e-42, 1e30]),
    placed=st.booleans(),
)
def test_the_largest(dtype, seed, n, kinds, scale, placed):
    """Of either sign, with ties, zeros of both signs, subnormals and infinities."""
    rng = np.random.default_rng(seed)
    values = (rng.choice(rng.standard_normal(kinds), n) * scale).astype(dtype)
    values[rng.random(n) < 0.1] *= -0.0
    with np.errstate(all="ignore"):
        values[rng.random(n) < 0.02] = np.inf * rng.choice([-1, 1])
    positions = rng.permutation(3 * n)[:n] if placed else None
    order = np.lexsort((np.arange(n) if positions is None else positions, -values))
    for count in {0, 1, n // 3, n - 1, n} & set(range(n + 1)):
        np.testing.assert_array_equal(largest(values, count, positions), np.sort(order[:count]))


def test_wrong_values_are_refused():
    values = np.array([1.0, np.nan, 3.0])
    for wrong, error, message in [
        ((values, 4), ValueError, "count is 4; there are 3"),
        ((values, -1), ValueError, "count is -1"),
        ((values, 1), ValueError, "NaN"),
        ((np.arange(3), 1), TypeError, "values has dtype int64"),
        ((values[::2], 1), ValueError, "contiguous"),
        ((values, 1, np.arange(2)), ValueError, "positions"),
        ((values, 1, np.arange(3.0)), TypeError, "positions"),
    ]:
        with pytest.raises(error, match=message):
            largest(*wrong)
