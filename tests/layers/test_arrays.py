"""Arrays from outside: found by name, and refused unless they fit."""

import numpy as np
import pytest

from nerva.layers.arrays import check_finite, fill, find


def test_an_array_is_found_by_its_name():
    arrays = {"0.bias": np.ones(3)}
    assert find(arrays, "0.bias") is arrays["0.bias"]
    with pytest.raises(ValueError, match=r"it lacks the array 0\.gamma"):
        find(arrays, "0.gamma")


@pytest.mark.parametrize(
    "array", [np.ones(2), np.ones((3, 1)), np.ones(3, np.float32), np.array([1, np.inf, 2]), np.array([1, 2, 3])]
)
def test_what_does_not_fit_fills_nothing(array):
    out = np.zeros(3)
    with pytest.raises(ValueError, match=r"0\.bias must be 3 finite numbers, float64"):
        fill(out, {"0.bias": array}, "0.bias")
    assert not out.any()
    fill(out, {"0.bias": np.arange(3.0)}, "0.bias")
    assert out.tolist() == [0, 1, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(bad):
    check_finite(np.zeros((2, 2)), "a weight")
    with pytest.raises(ValueError, match="a weight is NaN or infinite"):
        check_finite(np.array([[0, 1], [bad, 0]]), "a weight")
