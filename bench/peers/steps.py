"""The training step: forward, backward and Nesterov's update on one batch, everything in memory beforehand.

`step` returns the loss before the step, in whatever form the framework leaves it; `values` the weights after it.
"""

from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array
from workloads import Array, Step, Weights

from peers.peer import Peer

MOMENTUM = 0.9
MOST_DENSE = 1e9  # bytes of a layer above which its weights, gradient, momentum and mask are not kept densely


def positions(W: csr_array) -> tuple[Array, Array]:
    """Return the row and the column of each weight."""
    return np.repeat(np.arange(W.shape[0]), np.diff(W.indptr)), np.asarray(W.indices, np.int64)


class NervaStep(Peer):
    """nerva with its own kernels, as its training loop calls them."""

    name, timed, module, distribution = "nerva", "step", "nerva", "nerva-sparse"
    backend: ClassVar[str] = "native"

    def __init__(self, work: Step, threads: int) -> None:
        import nerva
        from nerva._kernels.memory import empty_batch
        from nerva.training.step import train_batch

        nerva.set_num_threads(threads)
        self._train_batch = train_batch
        self.model = nerva.Sequential(self._layers(work.weights))
        self.optimizer, self._loss, self._rate = nerva.Nesterov(MOMENTUM), nerva.SoftmaxCrossEntropy(), work.rate
        # As the loader hands batches out: features by samples, rows padded to whole cache lines.
        self._X, self._y = empty_batch(work.X.shape[1], work.X.shape[0], work.X.dtype), work.y
        self._X[:] = work.X.T

    def _layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers: list[Any] = []
        for i, W in enumerate(weights):
            (K, D), activation = W.shape, "relu" if i < len(weights) - 1 else "identity"
            if isinstance(W, np.ndarray):
                layers.append(nerva.Linear(D, K, activation=activation, init="zeros", dtype=W.dtype))
                layers[-1].weight[:] = W
            else:
                csr = nerva.CSR.from_scipy(W)
                layers.append(nerva.SparseLinear(D, K, weight=csr, activation=activation, backend=self.backend))
        return layers

    def step(self) -> float:
        """Take one step."""
        return self._train_batch(self.model, self._X, self._y, self.optimizer, self._rate, self._loss)[0]

    def values(self) -> list[Array]:
        """Return the weights of each layer, one after the other as CSR has them."""
        weights = [layer.weight for layer in self.model.layers]
        return [np.array(W).ravel() if isinstance(W, np.ndarray) else np.array(W.values) for W in weights]

    def trajectory(self, steps: int) -> tuple[list[float], list[Array]]:
        """Take some steps, and return the loss before each and the weights of each layer after all."""
        return [float(self.step()) for _ in range(steps)], self.values()


class MKLStep(NervaStep):
    """nerva with MKL's sparse products; MKL has no sampled one, so the weight gradient is nerva's own."""

    name, backend = "nerva, MKL backend", "mkl"

    @classmethod
    def refusal(cls, work: Step) -> str:
        """Dense layers are the same with either."""
        return "" if work.sparse else "no layer is sparse"


class TorchStep(Peer):
    """Modules of PyTorch in a row, and its fused SGD. Subclasses say what a sparse layer is."""

    timed, module, distribution = "step", "torch", "torch"
    beside = ("torch",)

    def __init__(self, work: Step, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._loss = torch.nn.functional.cross_entropy
        self._weights = work.weights
        modules: list[Any] = []
        for W in work.weights:
            modules += [dense_layer(W) if isinstance(W, np.ndarray) else self.sparse_layer(W), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*modules[:-1])
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=work.rate, momentum=MOMENTUM, nesterov=True, fused=True
        )
        self._X, self._y = torch.from_numpy(work.X), torch.from_numpy(work.y)

    def sparse_layer(self, W: csr_array) -> Any:
        """Make the layer of sparse weights; its bias is zero."""
        raise NotImplementedError

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights of the layer that W was."""
        raise NotImplementedError

    def step(self) -> Any:
        """Take one step."""
        return self.update(self._X, self._y)

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

    def trajectory(self, steps: int) -> tuple[list[float], list[Array]]:
        """Take some steps, and return the loss before each and the weights of each layer after all."""
        losses = [self.step().item() for _ in range(steps)]
        pairs = zip(self.model[::2], self._weights, strict=True)
        return losses, [
            layer.weight.detach().numpy().ravel() if isinstance(W, np.ndarray) else self.layer_values(layer, W)
            for layer, W in pairs
        ]


def dense_layer(W: Array) -> Any:
    """Make a linear layer of PyTorch with these weights and a bias of zero."""
    import torch

    linear = torch.nn.Linear(W.shape[1], W.shape[0], dtype=torch.from_numpy(W[:0]).dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(W))
        linear.bias.zero_()
    return linear


class DensePyTorchStep(TorchStep):
    """PyTorch with every weight, zeros included; fused SGD."""

    name = "PyTorch dense"

    @classmethod
    def refusal(cls, work: Step) -> str:
        """A dense layer may be too large."""
        most = max(W.shape[0] * W.shape[1] for W in work.weights) * work.dtype.itemsize
        return (
            f"a dense layer has {most / 1e9:.2g} GB, and its gradient, momentum and mask each as much"
            if most > MOST_DENSE
            else ""
        )

    def sparse_layer(self, W: csr_array) -> Any:
        """Make a dense layer, zeros where W has no weight."""
        return dense_layer(W.toarray())

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights on the support."""
        values: Array = layer.weight.detach().numpy()[positions(W)]
        return values


class MaskedPyTorchStep(DensePyTorchStep):
    """PyTorch with 0/1 masks: sparse to look at, dense in every product; fused SGD.

    The weights start on their support, and one call multiplies the masks into the gradients. That is enough: velocity
    and weights off the support stay exactly zero, so masking the weights after the step as well would only cost time.
    """

    name = "PyTorch masked"

    @classmethod
    def refusal(cls, work: Step) -> str:
        """Without a sparse layer there is nothing to mask."""
        return super().refusal(work) if work.sparse else "no layer is sparse"

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
    dense: Array = csr_array((ones, W.indices, W.indptr), shape=W.shape).toarray()
    return dense
