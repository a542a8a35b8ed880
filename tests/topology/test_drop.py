"""The lowest scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva.topology.drop import lowest


@given(seed=st.integers(0, 2**32), n=st.integers(0, 60), kinds=st.integers(1, 60))
def test_the_lowest_and_the_first_of_equals(seed, n, kinds):
    rng = np.random.default_rng(seed)
    scores = rng.integers(kinds, size=n).astype(np.float32)
    count = int(rng.integers(n + 1))
    np.testing.assert_array_equal(lowest(scores, count), np.sort(np.lexsort((np.arange(n), scores))[:count]))


def test_no_choice_among_nan():
    with pytest.raises(ValueError, match="NaN"):
        lowest(np.array([1.0, np.nan]), 1)
