"""The implementations that are measured, nerva's first in every tuple.

Each runs in a process of its own (see harness/workers.py) and imports its framework there, not with its module.
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
    "SciPyProduct",
    "SparseLabByHand",
    "SparseLabStep",
    "SparsePropByHand",
    "SparsePropStep",
]
