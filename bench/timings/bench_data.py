"""Gathering a mini-batch of 100 from 50,000 samples of 3072 bytes: indexed, standardized, transposed."""

from typing import Any

from harness.use import Use
from harness.workloads import SPARSITY, network
from peers import GATHERS


def test_gather(compared: Any) -> None:
    compared("gathering a mini-batch", "100 of 50,000", GATHERS, Use(network(SPARSITY)))
