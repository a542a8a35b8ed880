"""Layers from PyTorch and to it that are not linear: batch normalization, dropout and every activation."""

import io

import numpy as np
import pytest

import nerva
from nerva.activations import as_object

from ..interop.exported import ACTIVATIONS, TOLERANCE, mixed, network, samples, shaken
from ..interop.exported import outputs as expected

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import nerva.torch  # noqa: E402


def outputs(module, X):
    """What a module gives in evaluation."""
    module.eval()
    with torch.no_grad():
        found = module(torch.from_numpy(X)).numpy()
    module.train()
    return found


def without_drop_connect(model):
    for layer in model.layers:
        if isinstance(layer, nerva.SparseLinear):
            layer.drop_connect = 0.0
    return model


def assert_back(model, back):
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in model.layers]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[name], array)


# ---- there and back
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_every_activation(activation, dtype):
    model = network(activation, dtype)
    module, X = nerva.to_torch(model), samples(model, 50)
    np.testing.assert_allclose(outputs(module, X), expected(model, X), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    back = nerva.from_torch(module)
    assert_back(model, back)
    np.testing.assert_array_equal(expected(back, X), expected(model, X))
    if not isinstance(as_object(activation), (nerva.AllReLU, nerva.SReLU, nerva.TReLU)):
        assert as_object(back.layers[0].activation) == as_object(activation)


@pytest.mark.parametrize("weights", ["masked", "dense"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer(dtype, weights):
    model = without_drop_connect(mixed(dtype))
    module, X = nerva.to_torch(model, weights=weights), samples(model, 50)
    np.testing.assert_allclose(outputs(module, X), expected(model, X), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    back = nerva.from_torch(module)
    joined = [layer for layer in model.layers if not isinstance(layer, nerva.Activation)]  # it is the BatchNorm's now
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in joined]
    np.testing.assert_array_equal(expected(back, X), expected(model, X))
    norms = [[layer for layer in one.layers if isinstance(layer, nerva.BatchNorm)] for one in (model, back)]
    assert [(layer.epsilon, layer.momentum) for layer in norms[0]] == [
        (layer.epsilon, layer.momentum) for layer in norms[1]
    ]
    assert [one.rate for one in back.layers if isinstance(one, nerva.Dropout)] == [0.2, 0.5, 0.1]


@pytest.mark.parametrize("per", ["layer", "neuron"])
def test_a_step_of_training_moves_both_alike(per):
    layers = [
        nerva.SparseLinear(9, 8, density=0.5, rng=0, dtype="float64"),
        nerva.BatchNorm(8, activation=nerva.SReLU(-0.5, 0.2, 0.5, 2.0, per=per), dtype="float64"),
        nerva.Linear(8, 3, rng=1, dtype="float64"),
    ]
    model = nerva.Sequential(layers)
    module = nerva.to_torch(model)
    X, y = samples(model, 40), np.random.default_rng(3).integers(0, 3, 40)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        model.train_step(X, y, nerva.SGD(), 0.1)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(X)), torch.from_numpy(y)).backward()
        optimizer.step()
    for name, array in nerva.from_torch(module).state_dict().items():
        np.testing.assert_allclose(array, model.state_dict()[name], rtol=1e-9, atol=1e-12, err_msg=name)


# ---- from PyTorch
def test_modules_in_any_place():
    module = nn.Sequential(
        nn.BatchNorm1d(6, affine=False, eps=0.01, momentum=0.3),
        nn.LeakyReLU(0.2),
        nn.Linear(6, 5),
        nn.Dropout(0.25),
        nn.ReLU(),
        nn.Tanh(),
        nn.Linear(5, 4),
        nn.Softmax(dim=1),
    )
    module[0].running_mean += 1
    module[0].running_var *= 3
    model = nerva.from_torch(module)
    kinds = [nerva.BatchNorm, nerva.Linear, nerva.Dropout, nerva.Activation, nerva.Activation, nerva.Linear]
    assert [type(layer) for layer in model.layers] == kinds
    assert model.layers[0].activation == nerva.LeakyReLU(0.2)
    X = samples(model)
    np.testing.assert_allclose(expected(model, X), outputs(module, X), rtol=1e-5, atol=1e-6)
    first = nerva.from_torch(nn.Sequential(nn.ReLU(), nn.Linear(6, 5)))
    assert [layer.activation for layer in first.layers] == ["relu", "identity"]


@pytest.mark.parametrize("bias", [True, False])
def test_sparse_layers_of_nerva_in_pytorch(bias):
    module = nn.Sequential(
        nerva.torch.SparseLinear(9, 8, bias, density=0.3),
        nn.BatchNorm1d(8),
        nerva.torch.SparseLinear(8, 3, density=0.0),
    )
    with torch.no_grad():
        module[0].values[:3] = 0
    model = nerva.from_torch(module)
    assert [layer.nnz for layer in model.layers] == [22, 0, 0]
    X = samples(model)
    np.testing.assert_allclose(expected(model, X), outputs(module, X), rtol=1e-5, atol=1e-6)


def test_masks_are_for_linear_layers_alone():
    module = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 5), nn.Dropout(0.1), nn.Linear(5, 4))
    model = nerva.from_torch(module, masks=[torch.eye(5, 6), None])
    assert [layer.nnz for layer in model.layers] == [0, 5, 0, 20]


def test_thresholds_between_two_numbers():
    for dtype, real in ((torch.float32, np.float32), (torch.float64, np.float64)):
        module = nn.Sequential(nn.Linear(1, 1, bias=False, dtype=dtype), nn.Threshold(0.5, 0.0))
        with torch.no_grad():
            module[0].weight.fill_(1)
        near = np.nextafter(real(0.5), real(1))
        X = np.array([0.5, near, np.nextafter(near, real(1)), -1, 0.4], real)[:, None]
        model = nerva.from_torch(module)
        np.testing.assert_array_equal(expected(model, X), outputs(module, X))
        np.testing.assert_array_equal(outputs(nerva.to_torch(model), X), outputs(module, X))


def no_statistics():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))


def of_srelu(features, value=0.5):
    module = nn.Sequential(nn.Linear(4, 3), nerva.torch.SReLU(features))
    with torch.no_grad():
        module[1].t_r.fill_(value)
    return module


def twice():
    norm = nn.BatchNorm1d(4)
    return nn.Sequential(norm, nn.Linear(4, 4), norm)


REFUSED = {
    "no statistics": (no_statistics, ValueError, r"source\[1\] has no running statistics"),
    "averages": (lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, momentum=None)), ValueError, "momentum None"),
    "images": (lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm2d(3)), TypeError, "is BatchNorm2d"),
    "over samples": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=0)), ValueError, r"source\[1\] has dim 0"),
    "threshold": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Threshold(0.1, 2.0)), ValueError, r"\[1\] is Threshold"),
    "other activation": (lambda: nn.Sequential(nn.Linear(4, 3), nn.ELU()), TypeError, r"source\[1\] is ELU"),
    "SReLU of others": (lambda: of_srelu(2), ValueError, "has 2 features; what it follows has 3"),
    "SReLU of NaN": (lambda: of_srelu(3, float("nan")), ValueError, r"source\[1\] holds NaN"),
    "shared": (twice, ValueError, r"source\[2\] stands in the network twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_nerva_does_not_have_is_refused(case):
    make, error, match = REFUSED[case]
    with pytest.raises(error, match=match):
        nerva.from_torch(make())


def test_to_torch_refuses_drop_connect():
    with pytest.raises(ValueError, match=r"model.layers\[0\] has drop_connect 0.5"):
        nerva.to_torch(nerva.MLP([4, 3], drop_connect=0.5))


# ---- nerva.torch.SReLU
def test_the_module_is_saved_copied_and_compiled_as_any():
    module = nerva.torch.SReLU(3, t_l=-1.0, a_l=0.1, t_r=2.0, a_r=0.3, dtype=torch.float64)
    assert repr(module) == "SReLU(3)"
    x = torch.linspace(-4, 4, 30, dtype=torch.float64).reshape(10, 3)
    wanted = torch.where(x < -1, -1 + 0.1 * (x + 1), torch.where(x > 2, 2 + 0.3 * (x - 2), x))
    torch.testing.assert_close(module(x), wanted)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    torch.testing.assert_close(torch.load(file, weights_only=False)(x), wanted)
    other = nerva.torch.SReLU(3, dtype=torch.float64)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other(x), wanted)
    assert [parameter.shape for parameter in nerva.torch.SReLU().parameters()] == [(1,)] * 4
    assert torch.autograd.gradcheck(module, (x.requires_grad_(),))


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"features": 0}, ValueError, "features"),
        ({"t_l": 2.0}, ValueError, "t_l is 2.0"),
        ({"a_r": "x"}, TypeError, "a_r"),
    ],
)
def test_wrong_settings(settings, error, match):
    with pytest.raises((error, ValueError), match=match):
        nerva.torch.SReLU(**settings)


def test_numbers_shaken_in_a_model_arrive():
    model = shaken(nerva.Sequential([nerva.Linear(4, 3), nerva.Activation(nerva.SReLU(per="neuron"))]))
    module = nerva.to_torch(model)
    np.testing.assert_array_equal(torch.stack([*module[1].parameters()]).detach().numpy(), model.layers[1].numbers)
