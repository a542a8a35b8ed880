"""An epoch of 50,000 samples of 3072 bytes: batches drawn, fetched, standardised, trained on; 99 % sparse."""

from typing import Any

from peers import EPOCHS
from workloads import SPARSITY, Epoch, network


def test_epoch(compared: Any) -> None:
    compared("epoch, sparsity", f"{SPARSITY:g}", EPOCHS, Epoch(network(SPARSITY)), "s")
