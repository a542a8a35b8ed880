"""Prediction of the classes of one sample and of a hundred; 99 % sparse."""

from typing import Any

import pytest

from harness.workloads import samples
from peers import PREDICTIONS


@pytest.mark.parametrize("count", [1, 100])
def test_predict(compared: Any, count: int) -> None:
    compared("predict, samples", str(count), PREDICTIONS, samples(count), "µs")
