"""Networks from PyTorch and to it: weights the same, outputs equal, and what nerva does not have refused."""

import builtins

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, prune  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
TYPES = {"float32": torch.float32, "float64": torch.float64}


def network(dtype, bias=True, seed=0, activations=("leaky_relu", "tanh", "sigmoid", "relu")):
    rng = np.random.default_rng(seed)
    sizes, densities = [17, 12, 9, 11, 5], [0.2, 0.0, 1.0, 0.5]
    layers = []
    for D, K, density, activation in zip(sizes[:-1], sizes[1:], densities, activations, strict=True):
        settings = {"activation": activation, "bias": bias, "rng": rng, "dtype": dtype}
        one = density == 1.0
        layers.append(nerva.Linear(D, K, **settings) if one else nerva.SparseLinear(D, K, density=density, **settings))
        if bias:
            layers[-1].bias = rng.standard_normal(K)
    return nerva.Sequential(layers)


def outputs(model, X):
    return model.forward(np.ascontiguousarray(X.T), training=False).T.copy()


def assert_outputs(model, module, dtype, features):
    for n in (1, 7):
        X = np.random.default_rng(n).standard_normal((n, features)).astype(dtype)
        with torch.no_grad():
            wanted = module(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(outputs(model, X), wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def assert_same(one, two):
    assert len(one.layers) == len(two.layers)
    for a, b in zip(one.layers, two.layers, strict=True):
        assert type(a) is type(b)
        assert (a.activation, a.dtype) == (b.activation, b.dtype)
        names = ("indptr", "indices", "values") if isinstance(a, nerva.SparseLinear) else ("__array__",)
        for name in names:
            parts = [getattr(layer.weight, name) for layer in (a, b)]
            np.testing.assert_array_equal(*[part() if callable(part) else part for part in parts])
        assert (a.bias is None) == (b.bias is None)
        if a.bias is not None:
            np.testing.assert_array_equal(a.bias, b.bias)


def pruned(dtype, amount=0.8):
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 4)).to(TYPES[dtype])
    prune.random_unstructured(module[0], "weight", amount=amount)
    prune.random_unstructured(module[0], "bias", amount=0.5)
    return module


# ---- there and back
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weights", ["masked", "dense", "csr"])
@pytest.mark.parametrize("dtype", TYPES)
def test_there_and_back(dtype, weights, bias):
    model = network(dtype, bias)
    module = nerva.to_torch(model, weights=weights)
    assert_outputs(model, module, dtype, 17)
    assert_same(nerva.from_torch(module), model)


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99))
def test_every_shape_and_density_there_and_back(D, K, density, seed):
    model = nerva.Sequential([nerva.SparseLinear(D, K, density=density, rng=seed, dtype="float64")])
    if model.nnz == D * K:
        model = nerva.Sequential([nerva.Linear(D, K, init="zeros", dtype="float64")])
        model.layers[0].weight = np.arange(1.0, K * D + 1).reshape(K, D)
    for weights in ("masked", "csr") if model.nnz < D * K else ("dense",):
        assert_same(nerva.from_torch(nerva.to_torch(model, weights=weights)), model)


def test_zeros_that_are_weights_stay_weights():
    model = network("float32")
    model.layers[0].weight.values[:5] = 0
    for weights in ("masked", "csr"):
        assert_same(nerva.from_torch(nerva.to_torch(model, weights=weights)), model)
    assert nerva.from_torch(nerva.to_torch(model, weights="dense")).layers[0].nnz == model.layers[0].nnz - 5


def test_copies_and_the_generator_of_torch_is_left_alone():
    model = network("float32")
    state = torch.get_rng_state()
    module = nerva.to_torch(model)
    assert torch.equal(state, torch.get_rng_state())
    kept = nerva.from_torch(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert_same(kept, model)


def test_a_masked_module_trains_within_its_support():
    model = network("float64")
    module = nerva.to_torch(model)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = module[6].weight_orig.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.ones(4, 17, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
    after = nerva.from_torch(module)
    assert not torch.equal(before, module[6].weight_orig)
    np.testing.assert_array_equal(after.layers[3].weight.indices, model.layers[3].weight.indices)
    assert_outputs(after, module, "float64", 17)


# ---- from PyTorch
@pytest.mark.parametrize("dtype", TYPES)
def test_pruned_modules_and_their_state(dtype):
    module = pruned(dtype)
    model = nerva.from_torch(module)
    assert [type(layer) for layer in model.layers] == [nerva.SparseLinear, nerva.Linear]
    assert model.layers[0].nnz == int(module[0].weight_mask.sum())
    np.testing.assert_array_equal(model.layers[0].weight.to_dense(), module[0].weight.detach())
    assert_outputs(model, module, dtype, 20)
    assert_same(nerva.from_torch(module.state_dict()), model)


def test_a_pruned_weight_is_read_from_what_was_trained_not_from_the_product_of_the_last_forward():
    module = pruned("float32")
    with torch.no_grad():
        module[0].weight_orig += 1
    wanted = (module[0].weight_orig * module[0].weight_mask).detach()
    np.testing.assert_array_equal(nerva.from_torch(module).layers[0].weight.to_dense(), wanted)


def test_a_given_mask_and_zeros_dropped():
    linear = nn.Linear(6, 4)
    with torch.no_grad():
        linear.weight[1] = 0
    assert nerva.from_torch(linear).layers[0].nnz == 18
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[:2] = True
    for one in (mask, mask.numpy(), mask.float(), mask.int().tolist()):
        layer = nerva.from_torch(linear, masks=[one]).layers[0]
        np.testing.assert_array_equal(layer.weight.to_dense(), (linear.weight * mask).detach())
        assert layer.nnz == 12
    assert type(nerva.from_torch(linear, masks=[torch.ones(4, 6)]).layers[0]) is nerva.Linear
    assert nerva.from_torch(linear, masks=[None]).layers[0].nnz == 18


def test_nested_flattened_and_without_activation():
    module = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(8, 6), nn.Identity(), nn.Tanh()), nn.Linear(6, 3))
    model = nerva.from_torch(module)
    assert [layer.activation for layer in model.layers] == ["tanh", "identity"]
    assert_outputs(model, module, "float32", 8)
    parametrized = parametrizations.weight_norm(nn.Linear(8, 3))
    assert_outputs(nerva.from_torch(parametrized), parametrized, "float32", 8)


def test_one_activation_module_may_stand_in_many_places():
    relu = nn.ReLU()
    module = nn.Sequential(nn.Linear(8, 6), relu, nn.Linear(6, 6), relu, nn.Linear(6, 3))
    model = nerva.from_torch(module)
    assert [layer.activation for layer in model.layers] == ["relu", "relu", "identity"]
    assert_outputs(model, module, "float32", 8)


def test_a_state_takes_the_activation_named():
    module = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))
    model = nerva.from_torch(module.state_dict(), activation="tanh")
    assert_outputs(model, module, "float32", 8)


def test_sparse_tensors_are_never_dense():
    n = 200_000
    rows = torch.arange(1000)
    at = torch.stack([rows, rows.flip(0)])
    weight = torch.sparse_coo_tensor(at, torch.rand(1000) + 1, (n, n), check_invariants=True)
    model = nerva.from_torch({"weight": weight})
    assert model.layers[0].weight.shape == (n, n)
    assert model.nnz == 1000
    back = nerva.to_torch(model, weights="csr")[0].weight
    assert back.layout is torch.sparse_csr
    assert_same(nerva.from_torch({"weight": back}), model)


# ---- what is refused
class Doubled(nn.Linear):
    """A linear layer that is none."""

    def forward(self, X):
        return 2 * super().forward(X)


def twice():
    linear = nn.Linear(4, 4)
    return nn.Sequential(linear, nn.ReLU(), linear)


def hooked(module):
    module.register_forward_hook(lambda module, X, Y: 2 * Y)
    return module


def with_nan():
    linear = nn.Linear(4, 3)
    with torch.no_grad():
        linear.weight[0, 0] = float("nan")
    return linear


REFUSED = {
    "a number": (lambda: 3, TypeError, "source is int"),
    "convolution": (lambda: nn.Sequential(nn.Conv2d(1, 1, 1)), TypeError, r"source\[0\] is Conv2d"),
    "dropout of all": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(1.0)), ValueError, r"source\[1\] has p 1.0"),
    "other dropout": (lambda: nn.Sequential(nn.Linear(4, 3), nn.AlphaDropout()), TypeError, "is AlphaDropout"),
    "own forward": (Doubled, TypeError, "source is Doubled"),
    "list of modules": (lambda: nn.ModuleList([nn.Linear(4, 3)]), TypeError, "ModuleList"),
    "flatten late": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Flatten()), TypeError, "Flatten"),
    "nothing": (nn.Sequential, ValueError, "no linear layer"),
    "shared": (twice, ValueError, "twice"),
    "hooks": (lambda: hooked(nn.Linear(4, 3)), ValueError, "hooks"),
    "hooks around": (lambda: hooked(nn.Sequential(nn.Linear(4, 3))), ValueError, "hooks"),
    "half": (lambda: nn.Linear(4, 3).half(), TypeError, "float16"),
    "lazy": (lambda: nn.LazyLinear(3), (TypeError, ValueError), "source"),
    "meta": (lambda: nn.Linear(4, 3, device="meta"), ValueError, "no numbers"),
    "NaN": (with_nan, ValueError, "NaN"),
    "unfitting": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)), ValueError, "features"),
    "empty state": (dict, ValueError, "no linear layer"),
    "state of BatchNorm": (lambda: nn.BatchNorm1d(3).state_dict(), ValueError, "running_mean.*pass the module"),
    "state without weight": (lambda: {"a.bias": torch.ones(3)}, ValueError, "weight is missing"),
    "state half pruned": (lambda: {"a.weight_orig": torch.ones(3, 2)}, ValueError, "together"),
    "state of arrays": (lambda: {"a.weight": np.ones((3, 2))}, TypeError, "ndarray"),
    "bias too long": (lambda: {"weight": torch.ones(3, 2), "bias": torch.ones(4)}, ValueError, "bias"),
    "bias of another type": (lambda: {"weight": torch.ones(3, 2), "bias": torch.ones(3).double()}, ValueError, "bias"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_nerva_does_not_have_is_refused(case):
    make, error, match = REFUSED[case]
    source = make() if make is not Doubled else Doubled(4, 3)
    with pytest.raises(error, match=match):
        nerva.from_torch(source)


@pytest.mark.parametrize(
    ("masks", "error", "match"),
    [
        ([], ValueError, "0 entries"),
        ("ab", TypeError, "str"),
        (torch.ones(3, 4), TypeError, "Tensor"),
        ([torch.ones(4, 3)], ValueError, "shape"),
        ([torch.full((3, 4), 0.5)], ValueError, "0 and 1"),
        ([np.full((3, 4), np.nan)], ValueError, "0 and 1"),
        ([np.full((3, 4), "x")], ValueError, "0 and 1"),
    ],
)
def test_bad_masks(masks, error, match):
    with pytest.raises(error, match=match):
        nerva.from_torch(nn.Linear(4, 3), masks=masks)


def test_two_masks_for_one_layer():
    with pytest.raises(ValueError, match="pruned"):
        nerva.from_torch(pruned("float32"), masks=[torch.ones(12, 20), None])
    sparse = torch.eye(3).to_sparse_csr()
    with pytest.raises(ValueError, match="no mask"):
        nerva.from_torch({"weight": sparse}, masks=[torch.ones(3, 3)])


def test_to_torch_refuses():
    with pytest.raises(TypeError, match="Linear"):
        nerva.to_torch(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="'sparse'"):
        nerva.to_torch(network("float32"), weights="sparse")


def test_without_torch_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == "torch":
            raise ImportError(name)
        return real(name, *rest, **more)

    model = network("float32")
    monkeypatch.setattr(builtins, "__import__", without)
    for ask in (lambda: nerva.from_torch({}), lambda: nerva.to_torch(model)):
        with pytest.raises(ImportError, match=r"nerva-sparse\[torch\]"):
            ask()
