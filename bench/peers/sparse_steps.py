"""The hot training step by the layers of other libraries with sparse weights in training.

The layers are built from CSR without a dense intermediate; the optimizer is PyTorch's fused SGD on the vector of
values. Both libraries transpose every batch before and after a layer, and compute the input gradient of the first layer
too: this is their intended use. by_hand.py has their kernels without it.
"""

import os
import warnings
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from harness.workloads import Array, Step
from peers.steps import TorchStep


def needs_sparse_float32(work: Step) -> str:
    """Return why both libraries cannot do the workload; empty if they can."""
    if not work.sparse:
        return "no layer is sparse"
    return "" if work.dtype == np.float32 else "float32 only"


class NervaTorchStep(TorchStep):
    """nerva.torch.SparseLinear: the kernels of nerva as layers of PyTorch, nerva imported first."""

    name = "nerva in PyTorch"

    @staticmethod
    def unsupported(work: Step) -> str:
        """Require a sparse layer."""
        return "" if work.sparse else "no layer is sparse"

    def __init__(self, work: Step, threads: int) -> None:
        import nerva

        nerva.set_num_threads(threads)
        super().__init__(work, threads)

    def sparse_layer(self, W: csr_array) -> Any:
        """Build the layer, and set its matrix."""
        import torch

        import nerva
        from nerva.torch import SparseLinear

        dtype = torch.from_numpy(W.data[:0]).dtype
        layer = SparseLinear(W.shape[1], W.shape[0], support=W, init="zeros", dtype=dtype)
        layer.set_weight(nerva.CSR.from_scipy(W))
        return layer

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights, which have the order of CSR."""
        values: Array = layer.values.detach().numpy()
        return values


class NervaSequentialStep(NervaTorchStep):
    """The same layers in nerva.torch.SparseSequential: one operation of PyTorch."""

    name = "nerva in PyTorch, SparseSequential"

    def network(self, modules: list[Any]) -> Any:
        """Return the modules as one."""
        from nerva.torch import SparseSequential

        return SparseSequential(*modules)


class SparsePropStep(TorchStep):
    """SparseProp's SparseLinear. PyTorch is imported first, so that both share one OpenMP runtime and its threads."""

    name, module, distribution = "SparseProp", "sparseprop", "sparseprop"
    unsupported = staticmethod(needs_sparse_float32)

    def sparse_layer(self, W: csr_array) -> Any:
        """Build its layer around its constructor, which takes a dense matrix and converts the indices to float32."""
        import torch
        from sparseprop.modules import SparseLinear

        layer = SparseLinear(torch.zeros(1, 1), torch.nn.Parameter(torch.zeros(W.shape[0])))
        layer.N, layer.M = W.shape
        layer.W_val = torch.nn.Parameter(torch.from_numpy(W.data.copy()))
        layer.W_idx = torch.from_numpy(W.indptr.astype(np.int32)), torch.from_numpy(W.indices.astype(np.int32))
        return layer

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights, which have the order of CSR."""
        values: Array = layer.W_val.detach().numpy()
        return values


def prepare_sparselab(threads: int) -> None:
    """Set SparseLab's number of threads, and clear its cache of transposed matrices."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when its runtime is loaded; there is no function to set it
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
    from sparselab import ops

    ops._clear_transpose_cache()  # keyed by id(), which an earlier matrix may have had


def padded_csr(W: csr_array) -> Any:
    """Return W in SparseLab's format, without padding in the rows."""
    import torch
    from sparselab import PaddedCSR

    parts = (torch.from_numpy(part) for part in (W.indptr, W.indices, W.data))
    tensor = torch.sparse_csr_tensor(*parts, size=W.shape, check_invariants=False)
    return PaddedCSR.from_torch_sparse_csr(tensor, padding_ratio=0.0)


def live_values(csr: Any) -> Array:
    """Return the weights of a SparseLab matrix; an empty row has one unused slot."""
    slots = [np.arange(start, start + n) for start, n in zip(csr.row_start, csr.row_nnz, strict=True)]
    values: Array = np.asarray(csr.values)[np.concatenate(slots)]
    return values


class SparseLabStep(TorchStep):
    """SparseLab's SparseLinear, without padding in its rows. It loads an OpenMP runtime of its own."""

    name, module, distribution = "SparseLab", "sparselab", "sparselab"
    unsupported = staticmethod(needs_sparse_float32)

    def __init__(self, work: Step, threads: int) -> None:
        prepare_sparselab(threads)
        super().__init__(work, threads)

    def sparse_layer(self, W: csr_array) -> Any:
        """Build its layer from CSR."""
        import torch
        from sparselab import SparseLinear

        layer = SparseLinear(1, 1, sparsity=0.0)
        layer.out_features, layer.in_features = W.shape
        layer._csr = padded_csr(W)
        layer._values = torch.nn.Parameter(torch.from_numpy(np.asarray(layer._csr.values)))
        layer.bias = torch.nn.Parameter(torch.zeros(W.shape[0]))
        return layer

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights in the order of CSR."""
        return live_values(layer._csr)
