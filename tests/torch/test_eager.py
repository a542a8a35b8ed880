"""The pass that goes around PyTorch's dispatcher: the same bits, and the operators for all who must see them."""

import contextlib

import pytest

torch = pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import nerva.torch  # noqa: E402
from nerva.torch import eager  # noqa: E402


class Seen(TorchDispatchMode):
    """A mode that keeps the names of nerva's operators that it sees."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "nerva":
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))


class Listening(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class Subclass(torch.Tensor):
    pass


def model_of(dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    layers = [
        nerva.torch.SparseLinear(D, K, density=0.3, generator=generator, dtype=dtype) for D, K in ((20, 30), (30, 7))
    ]
    return torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])


def results(model, x):
    """The outputs, and the gradients of all, of a pass that is kept whole."""
    x = x.detach().requires_grad_()
    model.zero_grad()
    y = model(x)
    y.square().sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 20), (33, 20), (0, 20), (3, 5, 20), (20,)], ids=str)
def test_both_ways_give_the_same_bits(dtype, shape, monkeypatch):
    model, x, found = model_of(dtype), torch.randn(shape, dtype=dtype), []
    for plain in (True, False):
        with monkeypatch.context() as patch:
            if not plain:
                patch.setattr(eager, "is_plain", lambda *tensors: False)
            found.append(results(model, x))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
        assert one.stride() == other.stride()


def test_the_dispatcher_is_asked_only_where_someone_listens(monkeypatch):
    def refuse(*given):
        raise AssertionError("an operator was called")

    model = model_of()
    for name in ("features_first", "sparse_linear", "sparse_linear_backward"):
        monkeypatch.setattr(eager.operators, name, refuse)
    results(model, torch.randn(9, 20))
    with torch.no_grad():
        model(torch.randn(9, 20))
    with Listening(), pytest.raises(AssertionError, match="an operator was called"):
        model(torch.randn(9, 20))


@contextlib.contextmanager
def traced():
    inside = []
    torch.jit.trace(lambda x: inside.append(eager.is_plain(x)) or x + 1, torch.ones(3))
    yield inside[0]


@contextlib.contextmanager
def transformed(transform):
    inside = []
    transform(lambda x: inside.append(eager.is_plain(x)) or x.sum())(torch.ones(3))
    yield inside[0]


WATCHED = {
    "a dispatch mode": Seen,
    "a function mode": Listening,
    "fake tensors": FakeTensorMode,
    "forward derivatives": forward_ad.dual_level,
    "a tracer": traced,
    "vmap": lambda: transformed(torch.func.vmap),
    "grad": lambda: transformed(torch.func.grad),
}


@pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", WATCHED)
def test_nothing_is_plain_where_others_look_on(name):
    x = torch.ones(3)
    assert eager.is_plain(x)
    assert not eager.is_plain(x, x.as_subclass(Subclass))
    assert not eager.is_plain(x, x.to("meta"))
    with WATCHED[name]() as inside:
        assert not (inside if isinstance(inside, bool) else eager.is_plain(x))
    assert eager.is_plain(x)


def test_a_mode_sees_the_operators_of_both_passes():
    model, x = model_of(), torch.randn(9, 20)
    with Seen() as seen:
        y = model(x)
    assert seen.names == ["nerva::features_first", "nerva::sparse_linear", "nerva::sparse_linear"]
    y = model(x)  # of a plain pass, the backward pass
    with Seen() as seen:
        y.sum().backward()
    assert seen.names == ["nerva::sparse_linear_backward"] * 2


def test_fake_tensors_pass():
    model = model_of()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert model(torch.empty(9, 20)).shape == (9, 7)


def test_weights_that_change_between_the_passes_are_refused():
    model = model_of()
    y = model(torch.randn(9, 20))
    with torch.no_grad():
        model[2].values.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("plain", [True, False])
def test_there_are_no_second_derivatives(plain, monkeypatch):
    if not plain:
        monkeypatch.setattr(eager, "is_plain", lambda *tensors: False)
    model, x = model_of(), torch.randn(9, 20, requires_grad=True)
    (dx,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="a second derivative through"):
        dx.sum().backward()


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_pass_that_is_computed_again_for_its_gradients(use_reentrant):
    model, x = model_of(), torch.randn(9, 20)
    wanted = results(model, x)
    found = results(recomputed(model, use_reentrant), x)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


def recomputed(model, use_reentrant):
    """The model, which keeps nothing for its backward pass but the inputs."""

    class Again(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return checkpoint(self.model, x, use_reentrant=use_reentrant)

    return Again()
