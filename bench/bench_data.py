"""A batch of 100 out of 50,000 samples of 3072 bytes: fetched, standardised, turned into columns."""

from typing import Any

from peers import GATHERS
from workloads import SPARSITY, Epoch, network


def test_gather(compared: Any) -> None:
    compared("fetching a batch", "100 of 50,000", GATHERS, Epoch(network(SPARSITY)))
