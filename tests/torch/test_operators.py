"""The operators of PyTorch: against a dense product in float64, in PyTorch's own checks, and compiled."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nerva

torch = pytest.importorskip("torch")

from torch import library  # noqa: E402

from nerva.torch import SparseLinear, operators  # noqa: E402
from nerva.torch.pattern import Pattern, pattern_of  # noqa: E402


def features_first_copy(x):
    """The same batch with the layout that the kernels take."""
    return x.t().contiguous().t()


LAYOUTS = {
    "rows first": lambda x: x.clone(),
    "features first": features_first_copy,
    "every other feature": lambda x: torch.stack([x, x], -1).reshape(len(x), -1)[:, ::2],
    "expanded": lambda x: x[:1].expand(len(x), -1),
}
SHAPES = [(1, 20), (7, 20), (16, 20), (33, 20), (256, 20), (0, 20), (3, 5, 20), (2, 0, 20), (20,)]


def close(a, b, dtype):
    torch.testing.assert_close(a, b, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("density", [0.0, 0.01, 0.2, 1.0])
def test_a_pass_is_that_of_the_dense_layer(dtype, shape, density):
    layer = SparseLinear(20, 12, density=density, dtype=dtype)
    torch.nn.init.normal_(layer.bias)
    dense = layer.to_linear()
    x = torch.randn(shape, dtype=dtype)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, z = layer(ours), dense(theirs)
    close(y, z, dtype)
    gradient = torch.randn_like(z)
    y.backward(gradient)
    z.backward(gradient)
    close(ours.grad, theirs.grad, dtype)
    close(layer.bias.grad, dense.bias.grad, dtype)
    rows = torch.repeat_interleave(torch.arange(12), layer.indptr.diff())
    close(layer.values.grad, dense.weight.grad[rows, layer.indices.long()], dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 7, 16])
def test_any_layout_gives_the_same(layout, batch):
    layer = SparseLinear(20, 12, density=0.3)
    x = LAYOUTS[layout](torch.randn(batch, 20))
    want = layer.to_linear()(x)
    ours = x.detach().requires_grad_()
    y = layer(ours)
    close(y, want, torch.float32)
    y.sum().backward()  # whose gradient is expanded from one number
    close(ours.grad, layer.to_linear().weight.sum(0).expand(batch, -1), torch.float32)


def test_between_two_layers_nothing_is_copied(monkeypatch):
    model = torch.nn.Sequential(SparseLinear(20, 30, density=0.3), torch.nn.ReLU(), SparseLinear(30, 12, density=0.3))
    kept, x = [], torch.randn(10, 20)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        y = model(x)
    hidden = model[:2](x)
    assert not any(tensor.data_ptr() == x.data_ptr() for tensor in kept)  # the rows of the first layer are copied
    assert [tensor.stride() for tensor in kept if tensor.shape == hidden.shape] == [
        (1, 10)
    ] * 2  # of the ReLU, and ours
    copies = []
    monkeypatch.setattr(operators, "_transpose", lambda x, out: copies.append(tuple(x.shape)))
    y.backward(features_first_copy(torch.ones(10, 12)))
    assert copies == []


@pytest.mark.parametrize("arrange", [torch.clone, features_first_copy], ids=["rows first", "features first"])
@pytest.mark.parametrize("bias", [True, False])
def test_opcheck(arrange, bias):
    layer = SparseLinear(20, 12, bias, density=0.2, dtype=torch.float64)
    x = arrange(torch.randn(7, 20, dtype=torch.float64)).requires_grad_()
    pattern = layer.indptr, layer.indices
    library.opcheck(operators.features_first, (x,))
    library.opcheck(operators.sparse_linear, (x, layer.values, *pattern, layer.bias))
    gradient = torch.randn(7, 12, dtype=torch.float64)
    for needs in (True, True, True), (False, True, False), (True, False, True):
        given = gradient, x.detach(), layer.values.detach(), *pattern, *needs
        library.opcheck(operators.sparse_linear_backward, given)


def test_gradients_by_differences():
    layer = SparseLinear(9, 6, density=0.4, dtype=torch.float64)
    x = torch.randn(5, 9, dtype=torch.float64, requires_grad=True)

    def output(x, values, bias):
        return operators.sparse_linear(operators.features_first(x), values, layer.indptr, layer.indices, bias)

    assert torch.autograd.gradcheck(output, (x, layer.values, layer.bias))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_torch_compile(backend, monkeypatch):
    """In one graph, for batches of any size, and with the pattern built once for each layer."""
    built = []
    start = Pattern.__init__
    monkeypatch.setattr(Pattern, "__init__", lambda self, *given: (built.append(1), start(self, *given))[1])
    torch._dynamo.reset()
    model = torch.nn.Sequential(SparseLinear(20, 12, density=0.2), torch.nn.GELU(), SparseLinear(12, 5, density=0.3))
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for batch in (7, 9, 16, 33):
        x = torch.randn(batch, 20)
        y = compiled(x)
        y.square().sum().backward()
        found = [parameter.grad for parameter in model.parameters()]
        model.zero_grad()
        z = model(x)
        z.square().sum().backward()
        torch.testing.assert_close(y, z)
        torch.testing.assert_close(found, [parameter.grad for parameter in model.parameters()])
        model.zero_grad()
    assert len(built) == 2


def test_the_same_bits_on_any_number_of_threads():
    layer = SparseLinear(300, 200, density=0.05)
    x = torch.randn(37, 300)
    found = []
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        ours = x.clone().requires_grad_()
        y = layer(ours)
        layer.zero_grad()
        y.backward(torch.ones_like(y))
        found.append([y.detach(), ours.grad, layer.values.grad, layer.bias.grad])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_pattern_lasts_as_its_tensors_and_follows_their_changes():
    layer = SparseLinear(20, 12, density=0.2)
    pattern = layer.pattern
    assert layer.pattern is pattern
    layer.indices.copy_(layer.indices)
    assert layer.pattern is not pattern
    with pytest.raises(ValueError, match="indices"):
        pattern_of(layer.indptr, layer.indices, 3)
    layer.indices.zero_()
    with pytest.raises(ValueError, match="ascend"):
        layer(torch.randn(2, 20))


def test_values_are_read_at_every_call():
    layer = SparseLinear(20, 12, density=0.2, bias=False)
    x = torch.randn(4, 20)
    y = layer(x)
    layer.values.detach().numpy()[:] *= 2
    torch.testing.assert_close(layer(x), 2 * y)
    twice = torch.func.functional_call(layer, {"values": layer.values.detach() * 2}, (x,))
    torch.testing.assert_close(twice, 4 * y)
    torch.testing.assert_close(layer(x), 2 * y)


def test_threads_of_python_do_not_mix_their_values():
    layer = SparseLinear(200, 100, density=0.1, bias=False)
    x = torch.randn(8, 200)
    want = layer(x).detach()

    def scaled(k):
        return operators.sparse_linear(x, layer.values.detach() * k, layer.indptr, layer.indices, None) / k

    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(scaled, [2.0**k for k in range(40)]):
            np.testing.assert_array_equal(y.numpy(), want.numpy())
