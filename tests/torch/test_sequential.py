"""Sparse layers of PyTorch that run as one operation: what torch.nn.Sequential computes, and gives way to."""

import copy
import io

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import nerva.torch  # noqa: E402
from nerva.torch import SparseLinear, SparseSequential  # noqa: E402

ONE_OPERATION = "PassBackward"
LAYOUTS = {
    "rows": torch.clone,
    "features first": lambda x: x.t().contiguous().t(),
    "every other": lambda x: torch.stack([x, x], 2)[:, :, 0],
    "part of rows": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    "negated lazily": lambda x: torch.complex(x, -x).conj().imag,
}


def layer(D, K, **settings):
    return SparseLinear(D, K, density=0.3, **settings)


def layers(dtype=torch.float32):
    made = [layer(20, 30), nn.ReLU(), layer(30, 25, bias=False), nn.Tanh(), layer(25, 12), layer(12, 7), nn.Sigmoid()]
    return [module.to(dtype) for module in made]


def passed(modules, x, gradient, one_by_one):
    """The outputs and all gradients of a pass."""
    x = x.detach().requires_grad_()
    y = (nn.Sequential if one_by_one else SparseSequential)(*modules)(x)
    assert one_by_one or y.grad_fn.name() == ONE_OPERATION or x.is_neg() or not y.numel()
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return [y, *torch.autograd.grad(y, [x, *parameters], gradient)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [0, 1, 2, 48, 65, 100, 130])
def test_what_the_modules_compute(batch, layout, dtype):
    modules, x = layers(dtype), LAYOUTS[layout](torch.randn(batch, 20, dtype=dtype))
    gradient = LAYOUTS[layout](torch.randn(batch, 7, dtype=dtype)).resolve_neg()
    want, found = (passed(modules, x.detach(), gradient, one_by_one) for one_by_one in (True, False))
    for ours, theirs in zip(found, want, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("batch", [1, 49, 100, 640])
def test_the_number_of_threads_changes_no_bit(batch):
    modules, x, gradient = layers(), torch.randn(batch, 20), torch.randn(batch, 7)
    # Of so many weights that threads share them.
    modules[0] = SparseLinear(20, 30, density=1.0)
    before, found = nerva.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            nerva.set_num_threads(threads)
            found.append(passed(modules, x.clone(), gradient, False))
    finally:
        nerva.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_passes_do_not_share_what_they_keep():
    model, first, second = SparseSequential(*layers()), torch.randn(60, 20), torch.randn(60, 20)
    parameters = list(model.parameters())
    want = torch.autograd.grad(model(first).sum(), parameters)
    y, _ = model(first), model(second)
    for _ in range(2):
        found = torch.autograd.grad(y.sum(), parameters, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))


def test_only_what_is_wanted_has_a_gradient():
    modules = layers()
    for module in modules[:4]:
        module.requires_grad_(False)
    SparseSequential(*modules)(torch.randn(5, 20)).sum().backward()
    assert [module.values.grad is not None for module in modules if isinstance(module, SparseLinear)] == [
        False,
        False,
        True,
        True,
    ]


def test_modules_of_every_kind_in_between():
    modules = [nn.Flatten(), layer(20, 30), nn.LeakyReLU(0.2), nn.Dropout(0.5), layer(30, 9), nn.LeakyReLU(-0.1)]
    modules += [nn.Linear(9, 8), layer(8, 8), nn.ReLU(), nn.ReLU(), layer(8, 3)]
    x = torch.randn(6, 4, 5)
    ours, theirs = SparseSequential(*modules).eval(), nn.Sequential(*modules).eval()
    torch.testing.assert_close(ours(x), theirs(x))
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_more_layers_than_run_as_one():
    modules = [SparseLinear(6, 6, density=0.5) for _ in range(70)]
    y = SparseSequential(*modules)(torch.randn(5, 6))
    passes, node = 0, y.grad_fn
    while node is not None:
        passes += node.name() == ONE_OPERATION
        node = next((before for before, _ in node.next_functions if before and before.name() == ONE_OPERATION), None)
    assert passes == 3


@pytest.mark.parametrize("shape", [(20,), (2, 3, 20), (0, 20)], ids=str)
def test_shapes(shape):
    modules, x = layers(), torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(SparseSequential(*modules)(x), nn.Sequential(*modules)(x))


def test_hooks_are_called():
    modules, seen = layers(), []
    model = SparseSequential(*modules)
    handle = modules[1].register_forward_hook(lambda module, given, y: seen.append(tuple(y.shape)))
    model(torch.randn(4, 20))
    handle.remove()
    handle = nn.modules.module.register_module_forward_hook(lambda module, given, y: seen.append(type(module)))
    model(torch.randn(4, 20))
    handle.remove()
    assert seen == [(4, 30), *(type(module) for module in modules), SparseSequential]
    assert model(torch.randn(4, 20)).grad_fn.name() == ONE_OPERATION


def test_modules_may_change():
    model, x = SparseSequential(*layers()), torch.randn(4, 20)
    model(x)
    model[1], model[5] = nn.Identity(), layer(12, 3)
    model.append(nn.LeakyReLU(0.5))
    model(x)
    model[-1].negative_slope = -0.5
    torch.testing.assert_close(model(x), nn.Sequential(*model)(x))


def test_copied_and_saved_after_a_pass():
    model, x = SparseSequential(*layers()), torch.randn(4, 20)
    y, file = model(x), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in copy.deepcopy(model), torch.load(file, weights_only=False):
        assert torch.equal(other(x), y)
        with torch.no_grad():
            other[0].values.zero_()
    assert torch.equal(model(x), y)


def test_weights_that_change_between_the_passes_are_refused():
    model = SparseSequential(*layers())
    y = model(torch.randn(4, 20))
    with torch.no_grad():
        model[2].values.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("features_first", [False, True])
def test_gradients_that_may_be_derived_refuse_it(features_first):
    model, x = SparseSequential(*layers(torch.float64)), torch.randn(60, 20, dtype=torch.float64)
    x = x.t().contiguous().t().requires_grad_() if features_first else x.requires_grad_()
    want = torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()])
    found = torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()], create_graph=True)
    for ours, theirs in zip(found, want, strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(RuntimeError, match="second derivative"):
        found[0].sum().backward()


class Seen(TorchDispatchMode):
    """A mode that counts nerva's operators."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.namespace == "nerva"
        return func(*args, **(kwargs or {}))


def test_modes_and_compilers_see_operators():
    model, x = SparseSequential(*layers()), torch.randn(4, 20)
    y = model(x)
    with Seen() as forward:
        torch.testing.assert_close(model(x), y)
    with Seen() as backward:
        y.sum().backward()
    assert min(forward.count, backward.count) >= 4
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="eager")(x), y)


def test_autocast_behind_a_dense_layer():
    model = SparseSequential(nn.Linear(6, 20), *layers())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(torch.randn(4, 6)).dtype == torch.float32


def test_weights_move_by_gradient():
    model = SparseSequential(*layers())
    topology = nerva.torch.RigL(model, torch.optim.SGD(model.parameters(), lr=0.1), steps=8, every=2, fraction=0.3)
    before = model[0].indices.clone()
    for _ in range(8):
        model.zero_grad()
        model(torch.randn(50, 20)).square().sum().backward()
        topology.step()
    assert {record.layer for record in topology.records} == {0, 1, 2, 3}
    assert not torch.equal(model[0].indices, before)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="last dimension must be 20"):
        SparseSequential(*layers())(torch.randn(4, 19))
    with pytest.raises(ValueError, match="last dimension must be 9"):
        SparseSequential(layer(20, 8), layer(9, 3))(torch.randn(4, 20))


def test_from_torch_takes_it_as_a_sequential():
    modules = layers()
    found = nerva.from_torch(SparseSequential(SparseSequential(*modules)))
    wanted = nerva.from_torch(nn.Sequential(*modules))
    assert repr(found) == repr(wanted)
    X = torch.randn(5, 20).numpy()
    assert (found.forward(X.T.copy()) == wanted.forward(X.T.copy())).all()


def test_from_torch_refuses_one_with_a_forward_of_its_own():
    class Doubled(SparseSequential):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(TypeError, match="source is Doubled"):
        nerva.from_torch(Doubled(*layers()))
