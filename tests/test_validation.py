"""Checks of what a user passes."""

import numpy as np
import pytest

from nerva.validation import real_dtype


@pytest.mark.parametrize("dtype", ["float32", np.float64, np.dtype("f4"), float])
def test_real_dtypes(dtype):
    assert real_dtype(dtype) == np.dtype(dtype)


@pytest.mark.parametrize("dtype", [None, "float16", int, np.complex64, object, "nonsense", 3, np.zeros])
def test_a_dtype_that_is_not_real_is_named(dtype):
    with pytest.raises((TypeError, ValueError), match=r"^dtype is .* float32 or float64"):
        real_dtype(dtype)
