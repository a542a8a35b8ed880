"""Positions drawn at random."""

import numpy as np
import pytest
from scipy import stats

from nerva.topology.grow import distinct


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_ranks_are_drawn_uniformly(count):
    rng = np.random.default_rng(1)
    drawn = np.concatenate([distinct(rng, 10, count) for _ in range(4000)])
    counts = np.bincount(drawn, minlength=10)
    statistic = ((counts - 400 * count) ** 2).sum() / (400 * count * (1 - count / 10)) * 9 / 10
    assert 1e-4 < stats.chi2.sf(statistic, 9) < 1 - 1e-4


def test_no_more_than_there_are():
    for count in (-1, 6):
        with pytest.raises(ValueError, match=f"count is {count}; there are 5"):
            distinct(np.random.default_rng(0), 5, count)
