"""nerva beside masked PyTorch: from the same weights, masks and batches, the same losses and the same weights."""

import numpy as np
import pytest

import nerva

torch = pytest.importorskip("torch")

from ..beside_pytorch import run  # noqa: E402
from .masked import ACTIVATIONS, MaskedMLP, dense_and_mask, twin_of  # noqa: E402

SIZES = [3072, 1024, 512, 10]
STEPS, BATCH = 200, 100
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def images(n, dtype, features=SIZES[0], classes=SIZES[-1], seed=0):
    """Noisy images of a few classes: standardised features that hang together, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    X = rng.standard_normal((classes, features))[y] * 0.3 + rng.standard_normal((n, features))
    return X.astype(dtype), y


def batches(n, steps, size, seed=1):
    """Rows of `steps` batches, pass after pass, each in a new order."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.permutation(n) for _ in range(-(-steps * size // n))])
    return rows[: steps * size].reshape(steps, size)


def train_both(model, X, y, rows, optimizer, rates):
    """The losses of the network and of its masked twin, step by step, and the twin.

    One after the other, not in turns: each has its own OpenMP threads, which wait busily for a while.
    """
    twin = MaskedMLP(model)
    theirs = twin_of(optimizer, twin, rates[0])
    mine = [model.train_step(X[batch], y[batch], optimizer, rate) for batch, rate in zip(rows, rates, strict=True)]
    wanted = []
    for batch, rate in zip(rows, rates, strict=True):
        theirs.param_groups[0]["lr"] = rate
        wanted.append(twin.train_step(torch.from_numpy(X[batch]), torch.from_numpy(y[batch]), theirs))
    return np.array([mine, wanted]), twin


def he_of_degree(rng, fan_in, fan_out, count, dtype):
    """He's rule for the weights a unit has, not for those it could have: thin networks learn within 200 steps too."""
    return rng.standard_normal(count) * np.sqrt(2 * fan_out / count)


def relative_difference(losses):
    mine, wanted = losses
    return np.max(np.abs(mine - wanted) / np.abs(wanted))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("density", [0.05, 0.01, 0.001])
def test_the_loss_follows_masked_pytorch(density, dtype):
    model = nerva.MLP(SIZES, density=density, init=he_of_degree, dtype=dtype, seed=3)
    X, y = images(5000, dtype)
    rows = batches(len(X), STEPS, BATCH)
    losses, twin = train_both(model, X, y, rows, nerva.Nesterov(0.9), [0.01] * STEPS)
    difference = relative_difference(losses)
    print(f"density {density}, {dtype}: loss {losses[0, 0]:.4f} to {losses[0, -1]:.4f}, differs by {difference:.1e}")
    assert losses[0, -20:].mean() < 0.9 * losses[0, 0]
    assert difference <= TOLERANCE[dtype]
    for layer, linear in zip(model.layers, twin.linears, strict=True):
        mask = dense_and_mask(layer)[1]
        assert not linear.weight.detach()[~mask].any()
        assert layer.nnz == mask.sum()


SETTINGS = {"weight_decay": [0.0, 0.01], "momentum": [0.0, 0.5, 0.9]}
OPTIMIZERS = [lambda decay=decay: nerva.SGD(weight_decay=decay) for decay in SETTINGS["weight_decay"]] + [
    lambda kind=kind, mu=mu, decay=decay: kind(mu, weight_decay=decay)
    for kind in (nerva.Momentum, nerva.Nesterov)
    for mu in SETTINGS["momentum"]
    for decay in SETTINGS["weight_decay"]
    if mu or kind is nerva.Momentum  # PyTorch has no Nesterov without momentum
]


@pytest.mark.parametrize("make", OPTIMIZERS, ids=lambda make: repr(make()))
def test_optimizers_step_as_those_of_pytorch(make):
    model = nerva.MLP([30, 20, 10], density=[0.3, 1.0], dtype="float64", seed=1)
    X, y = images(100, "float64", 30)
    rates = [0.1 / (1 + step // 10) for step in range(40)]
    losses, twin = train_both(model, X, y, batches(100, 40, 20), make(), rates)
    assert relative_difference(losses) < 1e-11
    for layer, linear in zip(model.layers, twin.linears, strict=True):
        weight, mask = dense_and_mask(layer)
        torch.testing.assert_close(weight * mask, linear.weight.detach(), rtol=0, atol=1e-12)
        torch.testing.assert_close(torch.from_numpy(layer.bias), linear.bias.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_follow_with_every_activation(activation, backend, dtype):
    model = nerva.MLP([40, 30, 20, 10], density=0.2, activation=activation, backend=backend, dtype=dtype, seed=2)
    X, y = images(200, dtype, 40)
    losses, twin = train_both(model, X, y, batches(200, 60, 25), nerva.Momentum(), [0.05] * 60)
    assert relative_difference(losses) <= TOLERANCE[dtype]
    outputs = twin(torch.from_numpy(X)).detach()
    wanted = torch.softmax(outputs, dim=1).numpy()
    np.testing.assert_allclose(model.predict_proba(X), wanted, rtol=0, atol=TOLERANCE[dtype])
    loss = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(y)).item()
    assert model.evaluate(X, y).loss == pytest.approx(loss, rel=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 80.0, 1e4])
@pytest.mark.parametrize(("classes", "N"), [(2, 1), (10, 100), (1000, 7)])
def test_the_loss_and_its_gradient_are_those_of_pytorch(classes, N, scale, dtype):
    rng = np.random.default_rng(classes)
    Z, y = (scale * rng.standard_normal((classes, N))).astype(dtype), rng.integers(classes, size=N)
    logits = torch.from_numpy(Z.T.copy()).requires_grad_()
    wanted = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
    wanted.backward()
    found = nerva.SoftmaxCrossEntropy()(Z, y)
    eps = float(np.finfo(dtype).eps)
    assert found.value == pytest.approx(wanted.item(), rel=20 * eps)
    np.testing.assert_allclose(found.gradient, logits.grad.numpy().T, rtol=20 * eps * (1 + scale), atol=20 * eps / N)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_one_layer_are_those_of_autograd(activation, dtype):
    layer = nerva.SparseLinear(50, 40, density=0.1, activation=activation, rng=0, dtype=dtype)
    X, DY = (np.random.default_rng(n).standard_normal((n, 33)).astype(dtype) for n in (50, 40))
    twin = MaskedMLP(nerva.Sequential([layer]))
    inputs = torch.from_numpy(X.T.copy()).requires_grad_()
    outputs = twin(inputs)
    outputs.backward(torch.from_numpy(DY.T.copy()))
    close = {"rtol": 0, "atol": 200 * np.finfo(dtype).eps}
    np.testing.assert_allclose(layer.forward(X), outputs.detach().numpy().T, **close)
    np.testing.assert_allclose(layer.backward(DY), inputs.grad.numpy().T, **close)
    mask = dense_and_mask(layer)[1]
    np.testing.assert_allclose(layer.weight_gradient, twin.linears[0].weight.grad[mask].numpy(), **close)
    np.testing.assert_allclose(layer.bias_gradient, twin.linears[0].bias.grad.numpy(), **close)


# Both bring OpenMP. Where the threads of one runtime ask the other for their number, each does the work of thread 0,
# and products are wrong without a word.
ORDERS = {
    "nerva first": "import nerva, torch",
    "torch first": "import torch, nerva",
    "nerva used first": "import nerva; use_nerva(); import torch",
    "torch used first": "import torch; use_torch(); import nerva",
}
PROGRAM = """
import sys
import numpy as np

rng = np.random.default_rng(0)

def use_torch():
    A, B = rng.standard_normal((300, 200)), rng.standard_normal((200, 100))
    np.testing.assert_allclose((torch.from_numpy(A) @ torch.from_numpy(B)).numpy(), A @ B, atol=1e-9)

def use_nerva():
    X, DY = rng.standard_normal((200, 100)), rng.standard_normal((300, 100))
    for layer in (
        nerva.Linear(200, 300, dtype=float),
        nerva.SparseLinear(200, 300, density=0.5, dtype=float, backend="mkl"),
        nerva.SparseLinear(200, 300, density=0.5, dtype=float, backend="native"),
    ):
        W = layer.weight if isinstance(layer, nerva.Linear) else layer.weight.to_dense()
        np.testing.assert_allclose(layer.forward(X), W @ X, atol=1e-9, err_msg=f"forward of {layer}")
        np.testing.assert_allclose(layer.backward(DY), W.T @ DY, atol=1e-9, err_msg=f"backward of {layer}")
        DW = layer.weight_gradient
        wanted = DY @ X.T
        np.testing.assert_allclose(DW, wanted if DW.ndim == 2 else wanted[W != 0], atol=1e-9, err_msg=f"DW of {layer}")

exec(sys.argv[1])
for _ in range(2):
    use_nerva()
    use_torch()
"""


@pytest.mark.parametrize("imports", ORDERS.values(), ids=ORDERS)
def test_products_are_right_beside_pytorch(imports, tmp_path):
    run(PROGRAM, tmp_path, imports)
