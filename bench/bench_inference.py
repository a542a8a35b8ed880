"""Classes of one sample and of a hundred, by a network that is 99 % sparse."""

from typing import Any

import pytest
from peers import PREDICTIONS
from workloads import samples


@pytest.mark.parametrize("count", [1, 100])
def test_predict(compared: Any, count: int) -> None:
    compared("predict, samples", str(count), PREDICTIONS, samples(count), "µs")
