"""The data that the methods are trained on."""

import numpy as np
import pytest

from .comparison import BATCH, SIZES, STEPS


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((STEPS * BATCH, SIZES[0]))
    return X, (X @ rng.standard_normal((SIZES[0], SIZES[-1]))).argmax(axis=1)
