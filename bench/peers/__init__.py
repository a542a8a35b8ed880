"""Who is measured. A peer that is not installed is left out by name.

Each lives in a process of its own (see pairs.py) and imports there what it needs.
"""

from peers.peer import Peer, installed
from peers.products import CSRPyTorchProduct, MKLProduct, NervaProduct, SciPyProduct
from peers.steps import DensePyTorchStep, MaskedPyTorchStep, MKLStep, NervaStep

STEPS = (NervaStep, MKLStep, MaskedPyTorchStep, DensePyTorchStep)
DENSE_STEPS = (NervaStep, DensePyTorchStep)
PRODUCTS = (NervaProduct, MKLProduct, SciPyProduct, CSRPyTorchProduct)

__all__ = [
    "DENSE_STEPS",
    "PRODUCTS",
    "STEPS",
    "CSRPyTorchProduct",
    "DensePyTorchStep",
    "MKLProduct",
    "MKLStep",
    "MaskedPyTorchStep",
    "NervaProduct",
    "NervaStep",
    "Peer",
    "SciPyProduct",
    "installed",
]
