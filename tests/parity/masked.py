"""What nerva is compared with: a dense multi-layer perceptron of PyTorch whose weights are masked."""

import numpy as np
import torch
from torch import nn

import nerva

ACTIVATIONS = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
OPTIMIZERS = {nerva.SGD: {}, nerva.Momentum: {"nesterov": False}, nerva.Nesterov: {"nesterov": True}}


def dense_and_mask(layer):
    """The weights of a nerva layer as tensors (K, D): the numbers, and where there is one."""
    if isinstance(layer, nerva.Linear):
        weight, mask = np.array(layer.weight), np.ones(layer.weight.shape, bool)
    else:
        ones = nerva.CSR(layer.weight.shape, layer.weight.indptr, layer.weight.indices, np.ones(layer.nnz, np.float32))
        weight, mask = layer.weight.to_dense(), ones.to_dense() != 0
    return torch.from_numpy(weight), torch.from_numpy(mask)


class MaskedMLP(nn.Module):
    """The twin of a nerva network: the same numbers in dense weights, zero wherever the network has none.

    Between `backward` and the optimizer's step call `mask_gradients`: what is zero then stays zero, and so does its
    momentum.
    """

    def __init__(self, network):
        super().__init__()
        self.linears, self.activations = nn.ModuleList(), nn.ModuleList()
        for i, layer in enumerate(network.layers):
            weight, mask = dense_and_mask(layer)
            linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, dtype=weight.dtype)
            with torch.no_grad():
                linear.weight.copy_(weight * mask)
                if layer.bias is not None:
                    linear.bias.copy_(torch.from_numpy(np.array(layer.bias)))
            self.register_buffer(f"mask{i}", mask.to(weight.dtype))
            self.linears.append(linear)
            self.activations.append(ACTIVATIONS[layer.activation]())

    def forward(self, X):
        for linear, activation in zip(self.linears, self.activations, strict=True):
            X = activation(linear(X))
        return X

    @torch.no_grad()
    def mask_gradients(self):
        """Take away the gradient of every weight that does not exist."""
        for i, linear in enumerate(self.linears):
            linear.weight.grad *= self.get_buffer(f"mask{i}")

    def train_step(self, X, y, optimizer):
        """Take one step on samples X (N, D) with labels y (N,), and return the mean loss before it."""
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(self(X), y)
        loss.backward()
        self.mask_gradients()
        optimizer.step()
        return loss.item()


def twin_of(optimizer, module, rate):
    """PyTorch's optimizer with the settings of nerva's."""
    settings = {"weight_decay": optimizer.weight_decay, **OPTIMIZERS[type(optimizer)]}
    if isinstance(optimizer, nerva.Momentum):
        settings["momentum"] = optimizer.momentum
    return torch.optim.SGD(module.parameters(), lr=rate, **settings)
