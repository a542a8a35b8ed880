"""nerva.torch.SparseLinear as a module: made, saved, loaded, copied, converted, trained, and refused."""

import copy
import io

import numpy as np
import pytest

import nerva

torch = pytest.importorskip("torch")

from nerva.torch import SparseLinear  # noqa: E402

OPTIMIZERS = ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "Adagrad", "Adadelta", "ASGD"]


def same(a, b):
    """Whether two layers have the same bits."""
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def make(density=0.2, seed=0, **settings):
    return SparseLinear(20, 12, density=density, generator=torch.Generator().manual_seed(seed), **settings)


def test_the_generator_decides():
    assert same(make(), make())
    assert not same(make(), make(seed=1))
    torch.manual_seed(3)
    first = SparseLinear(20, 12, density=0.2)
    torch.manual_seed(3)
    assert same(first, SparseLinear(20, 12, density=0.2))


def test_its_parameters_and_buffers():
    layer = make(dtype=torch.float64)
    assert list(dict(layer.named_parameters())) == ["values", "bias"]
    assert list(dict(layer.named_buffers())) == ["indptr", "indices", "fingerprint"]
    assert layer.values.shape == (48,)
    assert layer.nnz == 48
    assert layer.values.dtype == layer.bias.dtype == torch.float64
    assert layer.indices.dtype == torch.int32
    assert make(bias=False).bias is None


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_a_support_that_is_given(kind):
    mask = kind(np.eye(12, 20))
    layer = SparseLinear(20, 12, support=mask, init="he")
    assert layer.indices.tolist() == list(range(12))
    assert SparseLinear(20, 12, density=0.25, support="fan-in").indptr.diff().tolist() == [5] * 12


def test_what_is_refused_at_the_start():
    with pytest.raises(TypeError, match="density is missing"):
        SparseLinear(20, 12)
    with pytest.raises(ValueError, match="density is 2"):
        SparseLinear(20, 12, density=2)
    with pytest.raises(TypeError, match="bfloat16"):
        SparseLinear(20, 12, density=0.1, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="in_features is 0"):
        SparseLinear(0, 12, density=0.1)


def test_what_a_pass_refuses():
    layer = make()
    with pytest.raises(ValueError, match=r"x has shape \(3, 19\); its last dimension must be 20"):
        layer(torch.ones(3, 19))
    with pytest.raises(TypeError, match=r"x has dtype torch\.float64; the layer has torch\.float32"):
        layer(torch.ones(3, 20, dtype=torch.float64))
    with pytest.raises(RuntimeError, match=r"x is on meta, the layer on cpu; .* computes on the CPU"):
        layer(torch.ones(3, 20, device="meta"))
    with pytest.raises(TypeError, match=r"the layer has torch\.bfloat16"):
        copy.deepcopy(layer).bfloat16()(torch.ones(3, 20, dtype=torch.bfloat16))
    assert copy.deepcopy(layer).to("meta")(torch.ones(3, 20, device="meta")).shape == (3, 12)


def test_a_second_derivative_is_refused():
    layer, x = make(), torch.randn(3, 20, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        gradient.square().sum().backward()


def test_weights_changed_between_the_passes_are_refused():
    layer = make()
    y = layer(torch.randn(3, 20))
    with torch.no_grad():
        layer.values.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_copies_files_and_dtypes():
    layer = make()
    stored = io.BytesIO()
    torch.save(layer, stored)
    stored.seek(0)
    x = torch.randn(5, 20)
    for other in (copy.deepcopy(layer), torch.load(stored, weights_only=False), copy.deepcopy(layer).double().float()):
        assert same(other, layer)
        assert torch.equal(other(x), layer(x))
        with torch.no_grad():
            other.values.zero_()
        assert layer.values.count_nonzero() == layer.nnz
    wide = copy.deepcopy(layer).double()
    torch.testing.assert_close(wide(x.double()), layer(x).double())


def test_a_shared_layer_computes_what_another_process_writes():
    layer = make(bias=False)
    x, before = torch.randn(5, 20), layer.pattern
    y = layer(x)
    layer.share_memory()
    assert layer.values.is_shared()
    assert layer.indices.is_shared()
    assert torch.equal(layer(x), y)
    assert layer.pattern is not before  # the memory is another
    process = torch.multiprocessing.get_context("spawn").Process(
        target=torch.Tensor.mul_, args=(layer.values.detach(), 2)
    )
    process.start()
    process.join()
    assert torch.equal(layer(x), 2 * y)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("density", [0.2, 0.4])
def test_loading_sets_the_pattern(assign, density):
    layer, other = make(), make(density, seed=1)
    x = torch.randn(5, 20)
    layer(x).sum().backward()
    parameter = layer.values
    result = layer.load_state_dict(other.state_dict(), assign=assign)
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert same(layer, other)
    assert torch.equal(layer(x), other(x))
    assert (layer.values is parameter) is not assign
    layer(x).sum().backward()
    assert layer.values.grad.shape == layer.values.shape


def test_a_file_of_weights_alone_is_enough():
    layer, other = make(), make(0.4, seed=1)
    stored = io.BytesIO()
    torch.save(torch.nn.Sequential(other).state_dict(), stored)
    stored.seek(0)
    torch.nn.Sequential(layer).load_state_dict(torch.load(stored, weights_only=True))
    assert same(layer, other)


def broken(name):
    """A state_dict of another pattern with one part that does not fit."""
    state = {key: part.clone() for key, part in torch.nn.Sequential(make(0.4, seed=1)).state_dict().items()}
    if name == "fingerprint":
        state["0.fingerprint"][3] ^= 1
    elif name == "values":
        state["0.values"] = state["0.values"][1:]
    elif name == "indices":
        state["0.indices"][0] = 25
    elif name == "order":
        state["0.indices"] = state["0.indices"].flip(0)
    elif name == "indptr":
        state["0.indptr"] = state["0.indptr"][1:]
    elif name == "half":
        del state["0.indptr"]
    elif name == "alone":
        del state["0.indptr"], state["0.indices"]
    return state


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("fingerprint", "0.fingerprint is not that of"),
        ("values", r"0.values has shape \(95,\)"),
        ("indices", "0.indices and indptr are no pattern"),
        ("order", "0.indices and indptr are no pattern"),
        ("indptr", r"0.indptr has shape \(12,\)"),
        ("half", "0.indices is there without the other half"),
        ("alone", r"0.values has shape \(96,\)"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_broken_pattern_is_refused_by_name(name, word, strict):
    layer = make()
    before = copy.deepcopy(layer)
    with pytest.raises(RuntimeError, match=word):
        torch.nn.Sequential(layer).load_state_dict(broken(name), strict=strict)
    assert same(layer, before)


def test_a_meta_layer_takes_a_state():
    layer = make(0.4, seed=1).to("meta")
    layer.load_state_dict(make().state_dict(), assign=True)
    assert same(layer, make())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_trains_it_as_a_masked_layer(name):
    layer = make(dtype=torch.float64)
    dense = layer.to_linear()
    mask = dense.weight.detach() != 0
    dense.weight.register_hook(lambda gradient: gradient * mask)
    ours, theirs = (getattr(torch.optim, name)(each.parameters()) for each in (layer, dense))
    x, target = torch.randn(30, 20, dtype=torch.float64), torch.randn(30, 12, dtype=torch.float64)
    for _ in range(4):
        for each, optimizer in ((layer, ours), (dense, theirs)):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(each(x), target).backward()
            optimizer.step()
    torch.testing.assert_close(layer.to_linear().weight, dense.weight * mask)
    torch.testing.assert_close(layer.bias, dense.bias)


def test_lbfgs_trains_it():
    layer = make(dtype=torch.float64)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=20)
    x, target = torch.randn(8, 20, dtype=torch.float64), torch.randn(8, 12, dtype=torch.float64)

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.mse_loss(layer(x), target)
        value.backward()
        return value

    assert loss() > 2 * (optimizer.step(loss), loss())[1]


def test_autocast_computes_in_the_dtype_of_the_layer():
    layer, dense = make(), torch.nn.Linear(8, 20)
    x = torch.randn(4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = dense(x)
        z = layer(y)
        loss = z.square().sum()
    assert (y.dtype, z.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(z, layer(y.float()))
    loss.backward()
    assert dense.weight.grad.count_nonzero() == dense.weight.numel()


def test_from_and_to_linear():
    dense = torch.nn.Linear(20, 12)
    mask = torch.rand(12, 20) < 0.3
    layer = SparseLinear.from_linear(dense, mask)
    assert layer.nnz == int(mask.sum())
    back = layer.to_linear()
    torch.testing.assert_close(back.weight, dense.weight * mask)
    assert torch.equal(back.bias, dense.bias)
    assert same(SparseLinear.from_linear(back), layer)
    assert (back.in_features, back.out_features) == (20, 12)
    assert SparseLinear.from_linear(torch.nn.Linear(3, 2, bias=False)).bias is None
    torch.nn.utils.prune.custom_from_mask(dense, "weight", mask)
    assert same(SparseLinear.from_linear(dense), layer)
    with pytest.raises(ValueError, match=r"mask has shape \(20, 12\)"):
        SparseLinear.from_linear(dense, mask.T)
    with pytest.raises(TypeError, match="linear is ReLU"):
        SparseLinear.from_linear(torch.nn.ReLU())
    with pytest.raises(TypeError, match="float16"):
        SparseLinear.from_linear(torch.nn.Linear(3, 2).half())


def test_another_matrix():
    layer = make()
    W = nerva.CSR.from_dense(np.eye(12, 20, dtype=np.float32))
    layer.set_weight(W)
    x = torch.randn(3, 20)
    torch.testing.assert_close(layer(x), x[:, :12])
    with pytest.raises(TypeError, match="float32"):
        layer.set_weight(nerva.CSR.from_dense(np.eye(12, 20)))
    with pytest.raises(ValueError, match="12 x 20"):
        layer.set_weight(nerva.CSR.from_dense(np.eye(3, dtype=np.float32)))
