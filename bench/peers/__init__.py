"""Who is measured. A peer that is not installed, or cannot do the work, is left out by name.

Each lives in a process of its own (see pairs.py) and imports there what it needs.
"""

from peers.by_hand import CSRPyTorchStep, SparseLabByHand, SparsePropByHand
from peers.epochs import FloatPyTorchGather, MaskedPyTorchEpoch, NervaEpoch, NervaGather, PyTorchGather
from peers.features import (
    AdamStep,
    BatchNormStep,
    DropConnectStep,
    DropoutStep,
    PlainStep,
    ProfiledStep,
    SReLUStep,
)
from peers.inference import CSRPyTorchPredict, DensePyTorchPredict, NervaPredict
from peers.peer import Peer, able, installed
from peers.products import CSRPyTorchProduct, MKLProduct, NervaProduct, SciPyProduct
from peers.sparse_steps import SparseLabStep, SparsePropStep
from peers.steps import DensePyTorchStep, MaskedPyTorchStep, MKLStep, NervaStep

STEPS = (
    NervaStep,
    MKLStep,
    MaskedPyTorchStep,
    DensePyTorchStep,
    SparsePropStep,
    SparseLabStep,
    CSRPyTorchStep,
    SparsePropByHand,
    SparseLabByHand,
)
FEATURES = (PlainStep, BatchNormStep, DropoutStep, DropConnectStep, SReLUStep, AdamStep, ProfiledStep)
PRODUCTS = (NervaProduct, MKLProduct, SciPyProduct, CSRPyTorchProduct)
EPOCHS = (NervaEpoch, MaskedPyTorchEpoch)
GATHERS = (NervaGather, PyTorchGather, FloatPyTorchGather)
PREDICTIONS = (NervaPredict, DensePyTorchPredict, CSRPyTorchPredict)

__all__ = [
    "EPOCHS",
    "FEATURES",
    "GATHERS",
    "PREDICTIONS",
    "PRODUCTS",
    "STEPS",
    "CSRPyTorchProduct",
    "CSRPyTorchStep",
    "DensePyTorchStep",
    "MKLProduct",
    "MKLStep",
    "MaskedPyTorchStep",
    "NervaProduct",
    "NervaStep",
    "Peer",
    "SciPyProduct",
    "SparseLabByHand",
    "SparseLabStep",
    "SparsePropByHand",
    "SparsePropStep",
    "able",
    "installed",
]
