"""nerva: truly sparse neural networks for the CPU.

The weights of a sparse layer exist only as CSR, in training as in inference: every product costs what its non-zeros
cost. Start with `nerva.MLP`, `nerva.datasets` and `model.fit`; `nerva.show_config()` tells what it runs on.
"""

import sys as _sys
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

from nerva.system.program import is_command as _is_command

try:
    import nerva._kernels.isa  # noqa: F401 - fails here, with a clear word, where it must fail
except ModuleNotFoundError as error:
    if error.name != "nerva._kernels.isa":
        raise
    raise ImportError(
        f"nerva is not built in {_Path(__file__).parent}: this is its source. Run Python from another folder to use "
        "the installed package, or build it here with: pip install meson-python ninja cython numpy 'mkl-devel<2027' "
        "'mkl-include<2027' && pip install --no-build-isolation -e ."
    ) from None
except (ValueError, ImportError) as error:  # of NERVA_ISA, or of a processor without AVX2
    if not _is_command():
        raise
    print(f"nerva: {error}", file=_sys.stderr)
    raise SystemExit(2 if isinstance(error, ValueError) else 1) from None

from nerva import activations, callbacks, datasets, initializers, schedules, topology
from nerva._kernels.csr import CSR
from nerva._kernels.mkl import get_num_threads, set_num_threads
from nerva._kernels.sparse_batch import SparseBatch
from nerva.activations import GELU, AllReLU, LeakyReLU, SReLU, TReLU
from nerva.backends.config import config, package_version, show_config
from nerva.datasets import Augment
from nerva.inspection import plots
from nerva.inspection.gradients import GradientReport, check_gradients
from nerva.interop.from_torch import from_torch
from nerva.interop.named_arrays import export_safetensors, to_scipy
from nerva.interop.to_c import export_c
from nerva.interop.to_onnx import export_onnx
from nerva.interop.to_torch import to_torch
from nerva.layers import Activation, BatchNorm, Dropout, Linear, SparseLinear
from nerva.losses import (
    CrossEntropy,
    LogisticCrossEntropy,
    Loss,
    MeanSquaredError,
    NegativeLogLikelihood,
    SoftmaxCrossEntropy,
    SquaredError,
)
from nerva.models.compaction import DeadNeurons, dead_neurons
from nerva.models.mlp import MLP
from nerva.models.pruning import pruned
from nerva.models.sequential import Sequential
from nerva.optimizers import SGD, Adam, AdamW, Groups, Lion, Momentum, Nesterov, Optimizer, RMSprop
from nerva.parameters import Parameter
from nerva.pictures import show_in_notebooks as _show_in_notebooks
from nerva.saving.hub import from_pretrained, save_pretrained
from nerva.saving.model_file import load, save
from nerva.saving.weights import load_weights, save_weights
from nerva.schedules import (
    Constant,
    Cosine,
    Exponential,
    MultiStep,
    OneCycle,
    ReduceOnPlateau,
    StepDecay,
    TimeBased,
    WarmUp,
)
from nerva.topology import (
    CHT,
    GMP,
    SET,
    SNFS,
    CHTs,
    DeepR,
    GraNet,
    Magnitude,
    RigL,
    SRigL,
    Threshold,
    TopKAST,
    Topology,
    TopologyRecord,
    When,
    supports,
)
from nerva.topology.distributions import balanced, erdos_renyi, uniform
from nerva.topology.edges import support_from_edges
from nerva.training.evaluation import Evaluation
from nerva.training.history import Diverged, EpochRecord, History, StopTraining
from nerva.training.profiling import Profile, profile

if _TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Look the version up when it is asked for."""
        if name == "__version__":
            return package_version()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Modules of the public interface that stand in a folder of their own, by the names they are imported by.
_sys.modules |= {f"{__name__}.plots": plots, f"{__name__}.supports": supports}

_show_in_notebooks()

__all__ = [
    "CHT",
    "CSR",
    "GELU",
    "GMP",
    "MLP",
    "SET",
    "SGD",
    "SNFS",
    "Activation",
    "Adam",
    "AdamW",
    "AllReLU",
    "Augment",
    "BatchNorm",
    "CHTs",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "DeadNeurons",
    "DeepR",
    "Diverged",
    "Dropout",
    "EpochRecord",
    "Evaluation",
    "Exponential",
    "GraNet",
    "GradientReport",
    "Groups",
    "History",
    "LeakyReLU",
    "Linear",
    "Lion",
    "LogisticCrossEntropy",
    "Loss",
    "Magnitude",
    "MeanSquaredError",
    "Momentum",
    "MultiStep",
    "NegativeLogLikelihood",
    "Nesterov",
    "OneCycle",
    "Optimizer",
    "Parameter",
    "Profile",
    "RMSprop",
    "ReduceOnPlateau",
    "RigL",
    "SReLU",
    "SRigL",
    "Sequential",
    "SoftmaxCrossEntropy",
    "SparseBatch",
    "SparseLinear",
    "SquaredError",
    "StepDecay",
    "StopTraining",
    "TReLU",
    "Threshold",
    "TimeBased",
    "TopKAST",
    "Topology",
    "TopologyRecord",
    "WarmUp",
    "When",
    "activations",
    "balanced",
    "callbacks",
    "check_gradients",
    "config",
    "datasets",
    "dead_neurons",
    "erdos_renyi",
    "export_c",
    "export_onnx",
    "export_safetensors",
    "from_pretrained",
    "from_torch",
    "get_num_threads",
    "initializers",
    "load",
    "load_weights",
    "plots",
    "profile",
    "pruned",
    "save",
    "save_pretrained",
    "save_weights",
    "schedules",
    "set_num_threads",
    "show_config",
    "support_from_edges",
    "supports",
    "to_scipy",
    "to_torch",
    "topology",
    "uniform",
]
