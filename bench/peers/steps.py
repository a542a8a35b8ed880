"""The hot training step: forward, backward and the Nesterov update, again and again on one batch that is in memory.

`step` returns the loss before the step, as a number or tensor of the framework.
"""

from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array

from harness.peer import Peer
from harness.workloads import Array, Step, Weights

MOMENTUM = 0.9
MAX_DENSE = 1e9  # bytes of a layer's weights above which it is too large to be dense


def positions(W: csr_array) -> tuple[Array, Array]:
    """Return the row and the column of each non-zero."""
    return np.repeat(np.arange(W.shape[0]), np.diff(W.indptr)), np.asarray(W.indices, np.int64)


class NervaNetwork(Peer):
    """A network of nerva with its own kernels."""

    name, module, distribution = "nerva", "nerva", "nerva-sparse"
    backend: ClassVar[str] = "native"
    settings: ClassVar[dict[str, Any]] = {}  # of the network

    def __init__(self, weights: Weights, threads: int) -> None:
        import nerva

        nerva.set_num_threads(threads)
        self.model = nerva.Sequential(self.layers(weights), **self.settings)
        self.optimizer = nerva.Nesterov(MOMENTUM)

    def layers(self, weights: Weights) -> list[Any]:
        """Return the layers with these weights."""
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

    def values(self) -> list[Array]:
        """Return the weights of each layer in the order of CSR."""
        weights = [layer.weight for layer in self.model.layers]
        return [np.array(W).ravel() if isinstance(W, np.ndarray) else np.array(W.values) for W in weights]


class NervaStep(NervaNetwork):
    """nerva's `train_step` on the same rows each time, which it gathers from the caches; compiled where it can be."""

    timed = "step"

    def __init__(self, work: Step, threads: int) -> None:
        super().__init__(work.weights, threads)
        self._X, self._y, self._rate = work.X, work.y, work.rate

    def step(self) -> float:
        """Take one step."""
        loss: float = self.model.train_step(self._X, self._y, self.optimizer, self._rate)
        return loss

    def trajectory(self, steps: int) -> tuple[list[float], list[Array]]:
        """Take some steps; return the loss before each, and the weights of each layer after the last."""
        return [float(self.step()) for _ in range(steps)], self.values()


class MKLStep(NervaStep):
    """nerva with MKL's sparse products, layer by layer; it has no sampled one: the weight gradient is nerva's own."""

    name, backend = "nerva, MKL backend", "mkl"

    @classmethod
    def unsupported(cls, work: Step) -> str:
        """Require a sparse layer: dense ones are the same with either backend."""
        return "" if work.sparse else "no layer is sparse"


class TorchStep(Peer):
    """PyTorch's Sequential and fused SGD. Subclasses define the sparse layer."""

    timed, module, distribution = "step", "torch", "torch"
    also_requires = ("torch",)

    def __init__(self, work: Step, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._loss = torch.nn.functional.cross_entropy
        self._weights = work.weights
        modules: list[Any] = []
        for W in work.weights:
            modules += [dense_layer(W) if isinstance(W, np.ndarray) else self.sparse_layer(W), torch.nn.ReLU()]
        self.model = self.network(modules[:-1])
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=work.rate, momentum=MOMENTUM, nesterov=True, fused=True
        )
        self._X, self._y = torch.from_numpy(work.X), torch.from_numpy(work.y)

    def network(self, modules: list[Any]) -> Any:
        """Return the modules one after another."""
        import torch

        return torch.nn.Sequential(*modules)

    def sparse_layer(self, W: csr_array) -> Any:
        """Return a layer with these sparse weights and zero bias."""
        raise NotImplementedError

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights of the layer built from W, in the order of CSR."""
        raise NotImplementedError

    def step(self) -> Any:
        """Take one step."""
        return self.update(self._X, self._y)

    def update(self, X: Any, y: Any) -> Any:
        """Take one step on X (samples, features); return the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.model(X), y)
        loss.backward()
        self.mask()
        self.optimizer.step()
        return loss

    def mask(self) -> None:
        """Mask the gradients; here, leave them as they are."""

    def trajectory(self, steps: int) -> tuple[list[float], list[Array]]:
        """Take some steps; return the loss before each, and the weights of each layer after the last."""
        losses = [self.step().item() for _ in range(steps)]
        pairs = zip(self.model[::2], self._weights, strict=True)
        return losses, [
            layer.weight.detach().numpy().ravel() if isinstance(W, np.ndarray) else self.layer_values(layer, W)
            for layer, W in pairs
        ]


def dense_layer(W: Array) -> Any:
    """Return a linear layer of PyTorch with these weights and zero bias."""
    import torch

    linear = torch.nn.Linear(W.shape[1], W.shape[0], dtype=torch.from_numpy(W[:0]).dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(W))
        linear.bias.zero_()
    return linear


class DensePyTorchStep(TorchStep):
    """PyTorch with dense weights; fused SGD. It trains the zeros of a sparse layer too."""

    name = "PyTorch dense"

    @classmethod
    def unsupported(cls, work: Step) -> str:
        """Reject a layer that is too large."""
        most = max(W.shape[0] * W.shape[1] for W in work.weights) * work.dtype.itemsize
        return (
            f"a dense layer takes {most / 1e9:.2g} GB, and its gradient, momentum and mask as much each"
            if most > MAX_DENSE
            else ""
        )

    @classmethod
    def same_network(cls, work: Step) -> bool:
        """Return whether no layer is sparse."""
        return not work.sparse

    def sparse_layer(self, W: csr_array) -> Any:
        """Return a dense layer that is zero off the support of W."""
        return dense_layer(W.toarray())

    def layer_values(self, layer: Any, W: csr_array) -> Array:
        """Return the weights on the support."""
        values: Array = layer.weight.detach().numpy()[positions(W)]
        return values


class MaskedPyTorchStep(DensePyTorchStep):
    """PyTorch with 0/1 masks: sparse weights in dense products; fused SGD.

    The initial weights are zero off their support, and one call multiplies the gradients by the masks. So velocity and
    weights off the support stay exactly zero, and masking the weights after the step as well would only take time.
    """

    name = "PyTorch masked"

    @classmethod
    def unsupported(cls, work: Step) -> str:
        """Require a sparse layer to mask, and reject one that is too large."""
        return super().unsupported(work) if work.sparse else "no layer is sparse"

    @classmethod
    def same_network(cls, work: Step) -> bool:
        """Return that it is: the mask leaves the weights of the workload."""
        return True

    def __init__(self, work: Step, threads: int) -> None:
        super().__init__(work, threads)
        import torch

        self._multiply = torch._foreach_mul_
        linears = self.model[::2]
        sparse = [(linear, W) for linear, W in zip(linears, work.weights, strict=True) if not isinstance(W, np.ndarray)]
        self._masked = [linear.weight for linear, _ in sparse]
        self._masks = [torch.from_numpy(_support(W)) for _, W in sparse]

    def mask(self) -> None:
        """Multiply the gradients by the masks."""
        if self._masks:
            self._multiply([weight.grad for weight in self._masked], self._masks)


def _support(W: csr_array) -> Array:
    """Return the mask of W: one on its support, zero elsewhere."""
    ones = np.ones(W.nnz, W.dtype)
    dense: Array = csr_array((ones, W.indices, W.indptr), shape=W.shape).toarray()
    return dense
