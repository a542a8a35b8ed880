"""The training step by the layers of other libraries whose weights are sparse in training as well.

The layers are made from CSR without a dense detour; SGD is PyTorch's fused one on the vector of values. Both libraries
turn every batch around on the way into and out of a layer, and compute the input gradient of the first layer too: that
is how they are used. by_hand.py has their kernels without that.
"""

import os
import warnings
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from workloads import Array, Step

from peers.steps import TorchStep


def needs_sparse_float32(work: Step) -> str:
    """Return what both libraries lack for the work."""
    if not work.sparse:
        return "no layer is sparse"
    return "" if work.dtype == np.float32 else "float32 only"


class SparsePropStep(TorchStep):
    """SparseProp's SparseLinear. PyTorch comes first, so that both share one OpenMP runtime and its threads."""

    name, module, distribution = "SparseProp", "sparseprop", "sparseprop"
    refusal = staticmethod(needs_sparse_float32)

    def sparse_layer(self, W: csr_array) -> Any:
        """Make its layer; its own constructor wants a dense matrix and sends the indices through float32."""
        import torch
        from sparseprop.modules import SparseLinear

        layer = SparseLinear(torch.zeros(1, 1), torch.nn.Parameter(torch.zeros(W.shape[0])))
        layer.N, layer.M = W.shape
        layer.W_val = torch.nn.Parameter(torch.from_numpy(W.data.copy()))
        layer.W_idx = torch.from_numpy(W.indptr.astype(np.int32)), torch.from_numpy(W.indices.astype(np.int32))
        return layer

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights, which it keeps in the same order."""
        values: Array = layer.W_val.detach().numpy()
        return values


def prepare_sparselab(threads: int) -> None:
    """Let SparseLab use so many threads, and forget what it kept of other matrices."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when its runtime is loaded; there is no other way to say it
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
    from sparselab import ops

    ops._clear_transpose_cache()  # keyed by identity, which a matrix made earlier may have had


def padded_csr(W: csr_array) -> Any:
    """Return W as SparseLab keeps it, without room for growth in the rows."""
    import torch
    from sparselab import PaddedCSR

    parts = (torch.from_numpy(part) for part in (W.indptr, W.indices, W.data))
    tensor = torch.sparse_csr_tensor(*parts, size=W.shape, check_invariants=False)
    return PaddedCSR.from_torch_sparse_csr(tensor, padding_ratio=0.0)


def live_values(csr: Any) -> Array:
    """Return the weights of a matrix of SparseLab's; a row without any has one empty slot."""
    slots = [np.arange(start, start + n) for start, n in zip(csr.row_start, csr.row_nnz, strict=True)]
    values: Array = np.asarray(csr.values)[np.concatenate(slots)]
    return values


class SparseLabStep(TorchStep):
    """SparseLab's SparseLinear, without room for growth in its rows. It brings an OpenMP runtime of its own."""

    name, module, distribution = "SparseLab", "sparselab", "sparselab"
    refusal = staticmethod(needs_sparse_float32)

    def __init__(self, work: Step, threads: int) -> None:
        prepare_sparselab(threads)
        super().__init__(work, threads)

    def sparse_layer(self, W: csr_array) -> Any:
        """Make its layer from CSR."""
        import torch
        from sparselab import SparseLinear

        layer = SparseLinear(1, 1, sparsity=0.0)
        layer.out_features, layer.in_features = W.shape
        layer._csr = padded_csr(W)
        layer._values = torch.nn.Parameter(torch.from_numpy(np.asarray(layer._csr.values)))
        layer.bias = torch.nn.Parameter(torch.zeros(W.shape[0]))
        return layer

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights; a row without any has one empty slot."""
        return live_values(layer._csr)
