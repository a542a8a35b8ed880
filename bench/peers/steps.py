"""The training step: forward, backward and Nesterov's update on one batch, everything in memory beforehand."""

from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array
from workloads import RATE, Array, Step, Weights

from peers.peer import Peer

MOMENTUM = 0.9


class NervaStep(Peer):
    """nerva with its own kernels, as its training loop calls them."""

    name, timed, module, distribution = "nerva", "step", "nerva", "nerva-sparse"
    backend: ClassVar[str] = "native"

    def __init__(self, work: Step, threads: int) -> None:
        import nerva
        from nerva import training
        from nerva._kernels.memory import empty_batch

        nerva.set_num_threads(threads)
        self._train_batch = training.train_batch
        self.model = nerva.Sequential(self._layers(work.weights))
        self.optimizer, self._loss = nerva.Nesterov(MOMENTUM), nerva.SoftmaxCrossEntropy()
        # As the loader hands batches out: features by samples, rows padded to whole cache lines.
        self._X, self._y = empty_batch(work.X.shape[1], work.X.shape[0], work.X.dtype), work.y
        self._X[:] = work.X.T

    def _layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers: list[Any] = []
        for i, W in enumerate(weights):
            (K, D), activation = W.shape, "relu" if i < len(weights) - 1 else "identity"
            if isinstance(W, np.ndarray):
                layers.append(nerva.Linear(D, K, activation=activation, init="zeros"))
                layers[-1].weight[:] = W
            else:
                csr = nerva.CSR.from_scipy(W)
                layers.append(nerva.SparseLinear(D, K, weight=csr, activation=activation, backend=self.backend))
        return layers

    def step(self) -> None:
        """Take one step."""
        self._train_batch(self.model, self._X, self._y, self.optimizer, RATE, self._loss)


class MKLStep(NervaStep):
    """nerva with MKL's sparse products; MKL has no sampled one, so the weight gradient is nerva's own."""

    name, backend = "nerva, MKL backend", "mkl"


class DensePyTorchStep(Peer):
    """PyTorch with every weight, zeros included; fused SGD."""

    name, timed, module, distribution = "PyTorch dense", "step", "torch", "torch"
    rate: ClassVar[float] = RATE

    def __init__(self, work: Step, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._loss = torch.nn.functional.cross_entropy
        modules: list[Any] = []
        for W in work.weights:
            K, D = W.shape
            linear = torch.nn.Linear(D, K)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W if isinstance(W, np.ndarray) else W.toarray()))
                linear.bias.zero_()
            modules += [linear, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*modules[:-1])
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=self.rate, momentum=MOMENTUM, nesterov=True, fused=True
        )
        self._X, self._y = torch.from_numpy(work.X), torch.from_numpy(work.y)

    def step(self) -> None:
        """Take one step."""
        self.update(self._X, self._y)

    def update(self, X: Any, y: Any) -> Any:
        """Take one step on X (samples, features), and return the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.model(X), y)
        loss.backward()
        self.mask()
        self.optimizer.step()
        return loss

    def mask(self) -> None:
        """Leave all gradients as they are."""


class MaskedPyTorchStep(DensePyTorchStep):
    """PyTorch with 0/1 masks: sparse to look at, dense in every product; fused SGD.

    The weights start on their support, and one call multiplies the masks into the gradients. That is enough: velocity
    and weights off the support stay exactly zero, so masking the weights after the step as well would only cost time.
    """

    name = "PyTorch masked"

    def __init__(self, work: Step, threads: int) -> None:
        super().__init__(work, threads)
        import torch

        self._multiply = torch._foreach_mul_
        linears = self.model[::2]
        sparse = [(linear, W) for linear, W in zip(linears, work.weights, strict=True) if not isinstance(W, np.ndarray)]
        self._masked = [linear.weight for linear, _ in sparse]
        self._masks = [torch.from_numpy(_support(W)) for _, W in sparse]

    def mask(self) -> None:
        """Multiply the masks into the gradients."""
        if self._masks:
            self._multiply([weight.grad for weight in self._masked], self._masks)


def _support(W: csr_array) -> Array:
    """Return ones where W has a weight, whatever its value, and zeros elsewhere."""
    ones = np.ones(W.nnz, W.dtype)
    return csr_array((ones, W.indices, W.indptr), shape=W.shape).toarray()
