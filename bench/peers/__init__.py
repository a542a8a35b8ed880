"""The implementations that are measured, nerva's first in every tuple.

Each runs in a process of its own (see nerva/experiments/workers.py) and imports its framework there, not with its
module.
"""

from peers.by_hand import CSRPyTorchStep, SparseLabByHand, SparsePropByHand
from peers.epochs import DensePyTorchEpoch, MaskedPyTorchEpoch, NervaEpoch
from peers.features import (
    AdamEpoch,
    BatchNormEpoch,
    DropConnectEpoch,
    DropoutEpoch,
    PlainEpoch,
    ProfiledEpoch,
    SReLUEpoch,
)
from peers.gathers import FloatPyTorchGather, NervaGather, PyTorchGather
from peers.inference import (
    CSRPyTorchPredict,
    DensePyTorchEvaluate,
    DensePyTorchPredict,
    NervaEvaluate,
    NervaPredict,
)
from peers.products import CSRPyTorchProduct, MKLProduct, NervaProduct, SciPyProduct
from peers.rows import DensePyTorchTrainStep, MaskedPyTorchTrainStep, NervaTrainStep
from peers.sparse_steps import NervaTorchStep, SparseLabStep, SparsePropStep
from peers.steps import DensePyTorchStep, MaskedPyTorchStep, MKLStep, NervaStep

HOT_STEPS = (
    NervaStep,
    MKLStep,
    NervaTorchStep,
    MaskedPyTorchStep,
    DensePyTorchStep,
    SparsePropStep,
    SparseLabStep,
    CSRPyTorchStep,
    SparsePropByHand,
    SparseLabByHand,
)
EPOCHS = (NervaEpoch, MaskedPyTorchEpoch, DensePyTorchEpoch)
FEATURES = (PlainEpoch, BatchNormEpoch, DropoutEpoch, DropConnectEpoch, SReLUEpoch, AdamEpoch, ProfiledEpoch)
TRAIN_STEPS = (NervaTrainStep, MaskedPyTorchTrainStep, DensePyTorchTrainStep)
PREDICTIONS = (NervaPredict, DensePyTorchPredict, CSRPyTorchPredict)
EVALUATIONS = (NervaEvaluate, DensePyTorchEvaluate)
PRODUCTS = (NervaProduct, MKLProduct, SciPyProduct, CSRPyTorchProduct)
GATHERS = (NervaGather, PyTorchGather, FloatPyTorchGather)

__all__ = [
    "EPOCHS",
    "EVALUATIONS",
    "FEATURES",
    "GATHERS",
    "HOT_STEPS",
    "PREDICTIONS",
    "PRODUCTS",
    "TRAIN_STEPS",
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
