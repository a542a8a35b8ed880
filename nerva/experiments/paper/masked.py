"""Masked PyTorch: the twin of a sparse network of nerva, with the same numbers in dense weights, on the same batches.

Its layers are nn.Linear and ReLU. One call multiplies the gradients by masks of 0 and 1, and the initial weights are
zero off the support: so velocity and weights there stay exactly zero. PyTorch's Nesterov and nerva's are one rule,
v <- mu v + g, w <- w - rate (g + mu v). That of the original has the rate within its velocity; the two are the same
while the rate is.

On one thread a run has the same bits each time, in processes that import PyTorch at the same point: where nerva has
loaded MKL before, as in the runner's processes, PyTorch's products round in another way than where it has not.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.layers import Affine
from nerva.models.sequential import Sequential

CHUNK = 1000  # samples evaluated at a time


def require_torch() -> Any:
    """Return the module torch; raise ImportError, which names the extra, where it is missing."""
    try:
        import torch
    except ImportError:
        raise ImportError("masked PyTorch needs PyTorch: pip install 'nerva-sparse[torch]'") from None
    return torch


class Masked:
    """A network of PyTorch with masked weights.

    Parameters
    ----------
    model : a network of nerva, of linear layers with ReLU between them; its weights and biases are copied
    momentum : of Nesterov's method, in PyTorch's fused SGD
    batch_size : the most samples of a step

    Raises ValueError for a network of other layers, ImportError without PyTorch.
    """

    def __init__(self, model: Sequential, momentum: float, batch_size: int) -> None:
        torch = self._torch = require_torch()
        layers = _linear_layers(model)
        modules: list[Any] = []
        self._masks: list[Any] = []  # None for a dense layer
        for layer in layers:
            modules += [_linear(torch, layer), torch.nn.ReLU()]
            self._masks.append(_mask(torch, layer))
        self.linears, self.model = modules[::2], torch.nn.Sequential(*modules[:-1])
        pairs = [(linear.weight, mask) for linear, mask in zip(self.linears, self._masks, strict=True)]
        self._masked = [(weight, mask) for weight, mask in pairs if mask is not None]
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.0, momentum=momentum, nesterov=True, fused=True)
        # Memory of PyTorch's own: the bits of a product may depend on how its operands are aligned.
        self._X = torch.empty(batch_size, model.in_features, dtype=modules[0].weight.dtype)

    def step(self, X: Array, y: Array, rate: float) -> float:
        """Take one step on samples X (features, batch) with labels y (batch,); return the mean loss before it."""
        rows = self._X[: len(y)]
        rows.copy_(self._torch.from_numpy(X).T)
        self.optimizer.param_groups[0]["lr"] = rate
        return float(self.update(rows, self._torch.from_numpy(y)).item())

    def update(self, rows: Any, labels: Any, *, masked: bool = True) -> Any:
        """Take one step on tensors, samples as rows, at the optimizer's rate; return the mean loss before it.

        The gradients are not masked unless `masked`: the weights off the support are trained, too.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._torch.nn.functional.cross_entropy(self.model(rows), labels)
        loss.backward()
        if masked and self._masked:
            self._torch._foreach_mul_([weight.grad for weight, _ in self._masked], [mask for _, mask in self._masked])
        self.optimizer.step()
        return loss.detach()

    def accuracy(self, X: Any, y: Array) -> float:
        """Return the fraction of samples X (n, features) whose largest output is that of their label."""
        torch, correct = self._torch, 0
        with torch.no_grad():
            for first in range(0, len(y), CHUNK):
                rows = np.asarray(X[first : first + CHUNK])
                inputs = torch.empty(rows.shape, dtype=self._X.dtype).copy_(torch.from_numpy(rows))
                correct += int((self.model(inputs).argmax(1).numpy() == y[first : first + CHUNK]).sum())
        return correct / len(y)

    def check_support(self) -> None:
        """Raise RuntimeError where a weight off the support is not zero."""
        if any(weight[mask == 0].any() for weight, mask in self._masked):
            raise RuntimeError("masked PyTorch has weights off the support that are not zero")

    def weights(self) -> list[Array]:
        """Return the weights (K, D) of each layer, in the memory in use."""
        return [linear.weight.detach().numpy() for linear in self.linears]

    @property
    def nbytes(self) -> int:
        """The bytes of weights, biases, their gradients and velocities, and masks, as far as they are there."""
        parameters = list(self.model.parameters())
        tensors = [*parameters, *(p.grad for p in parameters if p.grad is not None), *(m for _, m in self._masked)]
        tensors += [s["momentum_buffer"] for s in self.optimizer.state.values() if "momentum_buffer" in s]
        return sum(tensor.nbytes for tensor in tensors)

    def state(self) -> dict[str, Array]:
        """Return weights, biases and their velocities, in the memory in use; no velocities before the first step."""
        found: dict[str, Array] = {}
        for name, parameter in self.model.named_parameters():
            found[name] = parameter.detach().numpy()
            if "momentum_buffer" in self.optimizer.state[parameter]:
                found[f"{name}.velocity"] = self.optimizer.state[parameter]["momentum_buffer"].numpy()
        return found

    def restore(self, state: dict[str, Array]) -> None:
        """Take back what `state` returned of a network like this."""
        torch = self._torch
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(torch.from_numpy(state[name]))
                if f"{name}.velocity" in state:
                    velocity = torch.empty_like(parameter).copy_(torch.from_numpy(state[f"{name}.velocity"]))
                    self.optimizer.state[parameter]["momentum_buffer"] = velocity


def _linear_layers(model: Sequential) -> list[Affine]:
    """Return the layers; raise ValueError unless they are linear ones with ReLU between them."""
    wanted = ["relu"] * (len(model.layers) - 1) + ["identity"]
    for i, (layer, activation) in enumerate(zip(model.layers, wanted, strict=True)):
        if not isinstance(layer, Affine) or layer.activation != activation or layer.bias is None:
            raise ValueError(f"layers[{i}] is {layer!r}; its twin is linear, with a bias and {activation}")
    assert all(one.out_features == other.in_features for one, other in pairwise(model.layers))
    return list(model.layers)  # type: ignore[arg-type]


def _linear(torch: Any, layer: Affine) -> Any:
    """Return nn.Linear with the numbers of a layer."""
    weight, bias = torch.from_numpy(np.array(layer.dense_weight())), torch.from_numpy(np.array(layer.bias))
    linear = torch.nn.Linear(layer.in_features, layer.out_features, dtype=weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear


def _mask(torch: Any, layer: Any) -> Any:
    """Return 1 where a layer has a weight, zero or not, and 0 elsewhere; None for a dense layer."""
    W = layer.weight
    if not isinstance(W, CSR):
        return None
    ones = CSR(W.shape, W.indptr, W.indices, np.ones(layer.nnz, W.dtype))
    return torch.empty(W.shape, dtype=torch.from_numpy(W.values[:0]).dtype).copy_(torch.from_numpy(ones.to_dense()))
