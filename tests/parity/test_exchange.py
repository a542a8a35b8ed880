"""Networks from PyTorch and back: the same weights to the bit, the same outputs to rounding."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import nerva


def stack(dtype=torch.float32, bias=True):
    torch.manual_seed(0)
    first, second, third, last = (nn.Linear(d, k, bias=bias) for d, k in [(12, 10), (10, 8), (8, 6), (6, 4)])
    hidden = nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), second, nn.Tanh())
    return nn.Sequential(nn.Flatten(), hidden, third, nn.LeakyReLU(), last).to(dtype)


def assert_same_outputs(model, module, dtype):
    X = np.random.default_rng(0).standard_normal((9, 12)).astype(dtype)
    module.eval()
    with torch.no_grad():
        wanted = module(torch.from_numpy(X)).numpy()
    found = model.forward(np.ascontiguousarray(X.T), training=False).T
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masked_and_pruned_modules(dtype, bias):
    module = stack(getattr(torch, np.dtype(dtype).name), bias)
    prune.random_unstructured(module[1][0], "weight", 0.8)
    prune.random_unstructured(module[2], "weight", 0.5)
    with torch.no_grad():
        module[1][3].weight[::2] = 0  # zeros without a mask
        module[2].weight_orig[0] = 0  # weights that are kept, and zero
    model = nerva.from_torch(module)
    assert [type(layer) for layer in model.layers] == [nerva.SparseLinear] * 3 + [nerva.Linear]
    assert [layer.activation for layer in model.layers] == ["relu", "tanh", "leaky_relu", "identity"]
    assert model.layers[0].nnz == int(module[1][0].weight_mask.sum())
    assert model.layers[2].nnz == int(module[2].weight_mask.sum())
    assert model.layers[1].nnz == 40
    np.testing.assert_array_equal(model.layers[0].weight.to_dense(), module[1][0].weight.detach().numpy())
    assert_same_outputs(model, module, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pruned", [True, False])
def test_there_and_back(dtype, pruned):
    model = nerva.MLP([12, 10, 4], density=0.3, activation="tanh", dtype=dtype)
    model.layers[0].bias = np.arange(10)
    module = nerva.to_torch(model, prune=pruned)
    assert_same_outputs(model, module, dtype)
    again = nerva.from_torch(module)
    for one, two in zip(model.layers, again.layers, strict=True):
        np.testing.assert_array_equal(one.weight.to_dense(), two.weight.to_dense())
        np.testing.assert_array_equal(one.bias, two.bias)
        assert one.activation == two.activation


def test_pruned_modules_keep_their_pattern_in_training():
    model = nerva.MLP([12, 10, 4], density=0.3)
    module = nerva.to_torch(model)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(5, 12)).square().sum().backward()
        optimizer.step()
    again = nerva.from_torch(module)
    np.testing.assert_array_equal(again.layers[0].weight.indices, model.layers[0].weight.indices)


def test_a_state_dict_tells_the_sizes():
    module = stack()
    prune.random_unstructured(module[1][0], "weight", 0.8)
    model = nerva.from_torch(module.state_dict(), activation="sigmoid")
    assert [layer.activation for layer in model.layers] == ["sigmoid"] * 3 + ["identity"]
    np.testing.assert_array_equal(model.layers[0].weight.to_dense(), module[1][0].weight.detach().numpy())
    np.testing.assert_array_equal(model.layers[3].weight, module[4].weight.detach().numpy())


def test_keep_zeros_and_half_precision():
    linear = nn.Linear(5, 3).half()
    with torch.no_grad():
        linear.weight[0] = 0
    assert isinstance(nerva.from_torch(linear).layers[0], nerva.SparseLinear)
    dense = nerva.from_torch(linear, keep_zeros=True).layers[0]
    assert isinstance(dense, nerva.Linear)
    np.testing.assert_array_equal(dense.weight, linear.weight.detach().float().numpy())


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (3, TypeError, "source is int"),
        (nn.Sequential(nn.ReLU()), TypeError, r"0 is ReLU\(\)"),
        (nn.Sequential(nn.Linear(2, 2), nn.GLU()), TypeError, r"1 is GLU"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh()), TypeError, r"2 is Tanh"),
        (nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(0.3)), TypeError, r"1 is LeakyReLU"),
        (
            nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 3)),
            ValueError,
            r"layers\[0\] gives 3 features, layers\[1\] takes 2",
        ),
        (nn.Sequential(), ValueError, "no linear layer"),
        ({"weight": torch.full((2, 2), torch.nan)}, ValueError, "weight holds NaN"),
        ({"conv.weight": torch.ones(2, 2, 3)}, ValueError, r"conv.weight has shape \(2, 2, 3\)"),
        ({"running_mean": torch.ones(2)}, ValueError, "source holds 'running_mean'"),
    ],
)
def test_what_cannot_be_taken_is_refused(source, error, message):
    with pytest.raises(error, match=message):
        nerva.from_torch(source)


def test_a_model_without_counterpart_is_refused():
    with pytest.raises(TypeError, match="model is int"):
        nerva.to_torch(3)
