"""The hot training step written by hand on the fastest sparse products of other libraries, as an expert user would.

Samples are columns, the layout of these products, so no batch is transposed. Autograd is not used, and the input
gradient of the first layer is not computed unless the kernel leaves no choice. Dense layers, loss and fused SGD are
PyTorch's.
"""

from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array

from harness.peer import Peer
from harness.workloads import Array, Step
from peers.sparse_steps import live_values, needs_sparse_float32, padded_csr, prepare_sparselab
from peers.steps import MOMENTUM


class _Layer:
    """A dense layer: the weights are `values`."""

    def __init__(self, W: Any) -> None:
        import torch

        self.torch = torch
        self.values = torch.from_numpy(W.copy() if isinstance(W, np.ndarray) else W.data.copy())
        self.bias = torch.zeros(W.shape[0], dtype=self.values.dtype)

    def forward(self, X: Any) -> Any:
        """Return W X + b."""
        return self.torch.addmm(self.bias.unsqueeze(1), self.values, X)

    def backward(self, DZ: Any, X: Any, input_gradient: bool) -> Any:
        """Set the gradients of the parameters, and return the input gradient."""
        self.values.grad, self.bias.grad = DZ @ X.T, DZ.sum(1)
        return self.values.T @ DZ if input_gradient else None

    def weights(self) -> Array:
        """Return the weights in the order of CSR."""
        weights: Array = self.values.numpy().ravel()
        return weights


class _TorchCSRLayer(_Layer):
    """Sparse CSR tensors; the values are copied to the transposed matrix before it is used."""

    def __init__(self, W: csr_array) -> None:
        super().__init__(W)
        order = csr_array((np.arange(W.nnz), W.indices, W.indptr), shape=W.shape).T.tocsr()
        self._order = self.torch.from_numpy(order.data)
        self._transposed_values = self.values[self._order]
        self._W, self._Wt = self._tensor(W, self.values), self._tensor(order, self._transposed_values)

    def _tensor(self, A: csr_array, values: Any) -> Any:
        indptr, indices = (self.torch.from_numpy(a.astype(np.int32)) for a in (A.indptr, A.indices))
        tensor = self.torch.sparse_csr_tensor(indptr, indices, values, size=A.shape, check_invariants=False)
        assert tensor.values().data_ptr() == values.data_ptr()
        return tensor

    def forward(self, X: Any) -> Any:
        return (self._W @ X).add_(self.bias.unsqueeze(1))

    def backward(self, DZ: Any, X: Any, input_gradient: bool) -> Any:
        self.values.grad = self.torch.sparse.sampled_addmm(self._W, DZ, X.T, beta=0.0).values()
        self.bias.grad = DZ.sum(1)
        if not input_gradient:
            return None
        self.torch.index_select(self.values, 0, self._order, out=self._transposed_values)
        return self._Wt @ DZ


class _SparsePropLayer(_Layer):
    """SparseProp's two kernels; that of the backward pass always computes both gradients."""

    def __init__(self, W: csr_array) -> None:
        super().__init__(W)
        from sparseprop import backend

        self._kernels, self._pattern = backend, (W.indptr.astype(np.int32), W.indices.astype(np.int32))

    def forward(self, X: Any) -> Any:
        Z = self.torch.zeros(len(self.bias), X.shape[1])
        self._kernels.sparse_linear_vectorized_forward(X.numpy(), *self._pattern, self.values.numpy(), Z.numpy())
        return Z.add_(self.bias.unsqueeze(1))

    def backward(self, DZ: Any, X: Any, input_gradient: bool) -> Any:
        DX, self.values.grad = self.torch.zeros(X.shape), self.torch.empty_like(self.values)
        self.bias.grad = DZ.sum(1)
        self._kernels.sparse_linear_vectorized_backward(
            X.numpy(), *self._pattern, self.values.numpy(), DZ.numpy(), DX.numpy(), self.values.grad.numpy()
        )
        return DX


class _SparseLabLayer(_Layer):
    """SparseLab's kernels; the library keeps the transposed matrix."""

    def __init__(self, W: csr_array) -> None:
        super().__init__(W)
        from sparselab import _core, ops

        self._kernels, self._transposed, self._W = _core, ops._cached_transpose, padded_csr(W)
        self.values = self.torch.from_numpy(np.asarray(self._W.values))

    def forward(self, X: Any) -> Any:
        return self.torch.from_numpy(self._kernels.spmm_simd(self._W, X.numpy())).add_(self.bias.unsqueeze(1))

    def backward(self, DZ: Any, X: Any, input_gradient: bool) -> Any:
        self.values.grad = self.torch.from_numpy(self._kernels.spmm_grad_w_simd(self._W, DZ.numpy(), X.numpy()))
        self.bias.grad = DZ.sum(1)
        if not input_gradient:
            return None
        return self.torch.from_numpy(self._kernels.spmm_simd(self._transposed(self._W), DZ.numpy()))

    def weights(self) -> Array:
        return live_values(self._W)


class CSRPyTorchStep(Peer):
    """PyTorch's sparse CSR tensors; the weight gradient is sampled_addmm."""

    name, timed, module, distribution = "PyTorch CSR", "step", "torch", "torch"
    also_requires = ("torch",)
    sparse_layer: ClassVar[type[_Layer]] = _TorchCSRLayer

    @classmethod
    def unsupported(cls, work: Step) -> str:
        """Dense networks are left to dense PyTorch."""
        return "" if work.sparse else "no layer is sparse"

    def __init__(self, work: Step, threads: int) -> None:
        import warnings

        import torch

        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        torch.set_num_threads(threads)
        self._torch = torch
        self._layers = [(_Layer if isinstance(W, np.ndarray) else self.sparse_layer)(W) for W in work.weights]
        parameters = [p for layer in self._layers for p in (layer.values, layer.bias)]
        self.optimizer = torch.optim.SGD(parameters, lr=work.rate, momentum=MOMENTUM, nesterov=True, fused=True)
        self._X, self._y = torch.from_numpy(np.ascontiguousarray(work.X.T)), torch.from_numpy(work.y)
        self._samples = torch.arange(len(work.y))

    def step(self) -> Any:
        """Take one step, and return the loss before it."""
        torch, last = self._torch, len(self._layers) - 1
        with torch.no_grad():
            batches = [self._X]
            for i, layer in enumerate(self._layers):
                Z = layer.forward(batches[-1])
                batches.append(Z.relu_() if i < last else Z)
            likelihoods = torch.log_softmax(batches[-1], 0)
            loss = -likelihoods[self._y, self._samples].mean()
            DZ = likelihoods.exp_()
            DZ[self._y, self._samples] -= 1
            DZ /= len(self._y)
            for i in range(last, -1, -1):
                DX = self._layers[i].backward(DZ, batches[i], i > 0)
                if i > 0:
                    DZ = torch.ops.aten.threshold_backward(DX, batches[i], 0)
            self.optimizer.step()
        return loss

    def trajectory(self, steps: int) -> tuple[list[float], list[Array]]:
        """Take some steps; return the loss before each, and the weights of each layer after the last."""
        return [float(self.step()) for _ in range(steps)], [layer.weights() for layer in self._layers]


class SparsePropByHand(CSRPyTorchStep):
    """SparseProp's kernels without its layers."""

    name, module, distribution = "SparseProp by hand", "sparseprop", "sparseprop"
    sparse_layer = _SparsePropLayer
    unsupported = staticmethod(needs_sparse_float32)


class SparseLabByHand(CSRPyTorchStep):
    """SparseLab's kernels without its layers."""

    name, module, distribution = "SparseLab by hand", "sparselab", "sparselab"
    sparse_layer = _SparseLabLayer
    unsupported = staticmethod(needs_sparse_float32)

    def __init__(self, work: Step, threads: int) -> None:
        prepare_sparselab(threads)
        super().__init__(work, threads)
