"""An epoch of 50,000 samples of 3072 bytes, gathering and standardization included; 99 % sparse."""

from typing import Any

from harness.workloads import SPARSITY, Epoch, network
from peers import EPOCHS


def test_epoch(compared: Any) -> None:
    compared("epoch, sparsity", f"{SPARSITY:g}", EPOCHS, Epoch(network(SPARSITY)), "s")
