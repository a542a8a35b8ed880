"""Activations, batch normalization and whole networks with it, against torch.nn in float64."""

import numpy as np
import pytest

import nerva

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

PAIRS = [
    ("gelu", nn.GELU()),
    (nerva.GELU(tanh=True), nn.GELU(approximate="tanh")),
    ("silu", nn.SiLU()),
    ("relu", nn.ReLU()),
    ("tanh", nn.Tanh()),
    ("sigmoid", nn.Sigmoid()),
    (nerva.LeakyReLU(0.2), nn.LeakyReLU(0.2)),
    (nerva.LeakyReLU(-0.3), nn.LeakyReLU(-0.3)),
    (nerva.TReLU(0.1), nn.Threshold(0.1, 0.0)),
    ("softmax", nn.Softmax(dim=1)),
    ("log_softmax", nn.LogSoftmax(dim=1)),
]


def through(layer, twin, X, DY, tolerance):
    """Go both ways through a layer and its twin, which has samples as rows, and compare."""
    inputs = torch.from_numpy(np.ascontiguousarray(X.T)).requires_grad_()
    outputs = twin(inputs)
    outputs.backward(torch.from_numpy(np.ascontiguousarray(DY.T)))
    np.testing.assert_allclose(layer.forward(X), outputs.detach().numpy().T, **tolerance)
    np.testing.assert_allclose(layer.backward(DY), inputs.grad.numpy().T, **tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("activation", "twin"), PAIRS, ids=repr)
def test_activations(activation, twin, dtype):
    rng = np.random.default_rng(0)
    X, DY = (rng.standard_normal((50, 70)) * 3 for _ in range(2))
    tolerance = {"rtol": 2e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-13}
    through(nerva.Activation(activation), twin, X.astype(dtype), DY.astype(dtype), tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batch_norm(dtype):
    rng = np.random.default_rng(1)
    layer, twin = nerva.BatchNorm(9, momentum=0.2, epsilon=1e-3, dtype=dtype), nn.BatchNorm1d(9, 1e-3, 0.2)
    twin = twin.to(torch.from_numpy(np.zeros(1, dtype)).dtype)
    layer.gamma, layer.beta = rng.uniform(0.5, 2, 9), rng.standard_normal(9)
    with torch.no_grad():
        twin.weight[:], twin.bias[:] = torch.from_numpy(layer.gamma), torch.from_numpy(layer.beta)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-12}
    for _ in range(3):
        X, DY = ((rng.standard_normal((9, 40)) * 2 + 1).astype(dtype) for _ in range(2))
        twin.zero_grad()
        through(layer, twin, X, DY, tolerance)
        for parameter, other in zip(layer.parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(parameter.gradient, other.grad.numpy(), **tolerance)
        np.testing.assert_allclose(layer.running_mean, twin.running_mean.numpy(), **tolerance)
        np.testing.assert_allclose(layer.running_variance, twin.running_var.numpy(), **tolerance)
    twin.eval()
    with torch.no_grad():
        wanted = twin(torch.from_numpy(np.ascontiguousarray(X.T))).numpy().T
    np.testing.assert_allclose(layer.forward(X, training=False), wanted, **tolerance)


@pytest.mark.parametrize(("activation", "twin"), PAIRS[:4], ids=repr)
def test_training_with_batch_norm(activation, twin):
    rng = np.random.default_rng(2)
    model = nerva.MLP([12, 10, 4], density=0.5, activation=activation, batch_norm=True, dtype="float64")
    layers = []
    for layer in model.layers:
        if isinstance(layer, nerva.BatchNorm):
            layers += [nn.BatchNorm1d(layer.in_features, dtype=torch.float64), twin]
        else:
            layers.append(nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, dtype=torch.float64))
            weight = torch.from_numpy(layer.weight.to_dense())
            with torch.no_grad():
                layers[-1].weight[:] = weight
                if layer.bias is not None:
                    layers[-1].bias.zero_()
            layers[-1].weight.register_hook(lambda gradient, mask=weight != 0: gradient * mask)
    other = nn.Sequential(*layers)
    stepper = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    optimizer = nerva.Nesterov(0.9)
    X, y = rng.standard_normal((60, 12)), rng.integers(4, size=60)
    for _ in range(5):
        stepper.zero_grad()
        loss = nn.functional.cross_entropy(other(torch.from_numpy(X)), torch.from_numpy(y))
        loss.backward()
        stepper.step()
        assert model.train_step(X, y, optimizer, 0.1) == pytest.approx(loss.item(), rel=1e-9)
    other.eval()
    with torch.no_grad():
        wanted = other(torch.from_numpy(X)).softmax(1).numpy()
    np.testing.assert_allclose(model.predict_proba(X), wanted, rtol=1e-8, atol=1e-10)
