"""RigL, SET and GMP on models of PyTorch: weights, and what the optimizer keeps of them, move as in nerva itself."""

import copy
import io

import numpy as np
import pytest

import nerva

torch = pytest.importorskip("torch")

import nerva.torch as nt  # noqa: E402

STEPS, EPOCH, RATE = 24, 6, 0.05
SETTINGS = {
    "RigL": {"every": 4, "fraction": 0.4},
    "SET": {"fraction": 0.4},
    "GMP": {"density": 0.1, "every": 4},
}


def make(density=0.4, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    layers = [nt.SparseLinear(D, K, density=density, generator=generator, dtype=dtype) for D, K in ((20, 12), (12, 5))]
    return torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])


def batches(dtype=torch.float64):
    generator = torch.Generator().manual_seed(5)
    return [
        (torch.randn(9, 20, generator=generator, dtype=dtype), torch.randint(5, (9,), generator=generator))
        for _ in range(STEPS)
    ]


def start(name, model, optimizer, seed=3, **settings):
    generator = torch.Generator().manual_seed(seed)
    given = {"steps": STEPS, "steps_per_epoch": EPOCH, "generator": generator} | SETTINGS[name] | settings
    return getattr(nt, name)(model, optimizer, **given)


def learn(model, optimizer, topology, data):
    for x, y in data:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        topology.step()


def twin(model):
    """The same network of nerva's own layers."""
    layers = []
    for module, activation in ((model[0], "relu"), (model[2], "identity")):
        shape = module.out_features, module.in_features
        W = nerva.CSR(shape, module.indptr, module.indices, module.values.detach().numpy())
        layers.append(nerva.SparseLinear.from_weight(W, module.bias.detach().numpy(), activation=activation))
    return nerva.Sequential(layers)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_moves_weights_and_momentum_as_nerva_does(name):
    model = make()
    own = twin(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    topology = start(name, model, optimizer)
    seed = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(3)))
    method = getattr(nerva, name)(**SETTINGS[name])
    updater = nerva.topology.TopologyUpdater(method, own.layers, STEPS, EPOCH, np.random.default_rng(seed))
    theirs = nerva.Momentum(0.9)
    parameters = [parameter for layer in own.layers for parameter in layer.parameters()]
    for step, (x, y) in enumerate(batches()):
        learns = updater.before(step)
        first, second = own.layers
        hidden = first.forward(np.ascontiguousarray(x.numpy().T))
        Y = second.forward(hidden)
        P = np.exp(Y - Y.max(0)) / np.exp(Y - Y.max(0)).sum(0)
        P[y.numpy(), np.arange(len(y))] -= 1
        first.backward(second.backward(P / len(y)), input_gradient=False)
        if learns:
            theirs.step(parameters, RATE)
        updater.after(step, RATE)
    learn(model, optimizer, topology, batches())
    assert [record.step for record in topology.records] == [record.step for record in updater.records]
    assert len(topology.records) > 4
    for module, layer in zip((model[0], model[2]), own.layers, strict=True):
        np.testing.assert_array_equal(module.indices.numpy(), layer.weight.indices)
        np.testing.assert_allclose(module.values.detach().numpy(), layer.weight.values, rtol=1e-9, atol=1e-12)
        kept = layer.parameters()[0].state["momentum"]
        np.testing.assert_allclose(optimizer.state[module.values]["momentum_buffer"], kept, atol=1e-12)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "NAdam", "Adagrad", "RMSprop", "Rprop", "ASGD", "Adadelta", "Adamax"])
def test_every_state_moves(kind):
    """Each state is made to be the position of its weight: it still is after the update, or 0 for a new one."""
    model = make()
    settings = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=RATE, **settings)
    topology = start("RigL", model, optimizer, every=20, end=1.0)
    learn(model, optimizer, topology, batches()[:3])
    layer = model[0]

    def positions():
        return torch.repeat_interleave(torch.arange(12), layer.indptr.diff()) * 20 + layer.indices + 1

    before, parameter = set(positions().tolist()), layer.values
    state = optimizer.state[parameter]
    names = [key for key, entry in state.items() if entry.shape == parameter.shape]
    assert names
    layer_state = topology._layers[0]
    for key in names:
        state[key] = positions().double()
    dropped, grown = np.array([0, 7, 9]), nerva.topology.grow.uniformly(topology._updater.layers[0], 4)
    layer_state.rewire(dropped, grown, 0.25)
    assert layer.values is parameter
    assert parameter.grad is None
    assert layer.nnz == len(before) - 3 + 4
    old = torch.tensor([int(position) in before for position in positions()])
    assert (layer.values[~old] == 0.25).all()
    for key in names:
        assert torch.equal(state[key], positions().double() * old)
    learn(model, optimizer, topology, batches()[:2])


def test_gmp_reaches_its_density():
    model = make(density=1.0)
    optimizer = torch.optim.AdamW(model.parameters())
    learn(model, optimizer, start("GMP", model, optimizer), batches())
    assert model[0].nnz + model[2].nnz == round(0.1 * (240 + 60))
    assert optimizer.state[model[0].values]["exp_avg"].shape == model[0].values.shape


def test_several_backward_passes_and_compiled_models_give_the_same():
    found = []
    for way in ("whole", "halves", "compiled"):
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        topology = start("RigL", model, optimizer)
        torch._dynamo.reset()
        forward = torch.compile(model, backend="aot_eager") if way == "compiled" else model
        for x, y in batches():
            optimizer.zero_grad()
            for part in (slice(0, 4), slice(4, 9)) if way == "halves" else (slice(0, 9),):
                torch.nn.functional.cross_entropy(forward(x[part]), y[part], reduction="sum").backward()
            topology.step()
        found.append(model)
    for other in found[1:]:
        for mine, theirs in zip(found[0].parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs)
        assert torch.equal(found[0][0].indices, other[0].indices)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("stop", [5, 6, 7, 12, 13])
def test_a_run_that_is_resumed_gives_the_same_bits(name, stop):
    whole = make()
    optimizer = torch.optim.Adam(whole.parameters())
    topology = start(name, whole, optimizer)
    data = batches()
    learn(whole, optimizer, topology, data[:stop])
    stored = io.BytesIO()
    torch.save([each.state_dict() for each in (whole, optimizer, topology)], stored)
    learn(whole, optimizer, topology, data[stop:])
    stored.seek(0)
    weights, moments, rest = torch.load(stored, weights_only=True)
    again = make(seed=8)
    again.load_state_dict(weights)
    optimizer = torch.optim.Adam(again.parameters())
    optimizer.load_state_dict(moments)
    more = start(name, again, optimizer, seed=9)
    if name == "GMP":  # whose start is that of the run, not of the file
        assert rest["updater"]["layers"][0]["initial_nnz"] == 96
    more.load_state_dict(rest)
    learn(again, optimizer, more, data[stop:])
    for mine, theirs in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert more.records == topology.records


def test_what_is_refused():
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with pytest.raises(TypeError, match="model is list"):
        nt.RigL([], optimizer, steps=10)
    with pytest.raises(TypeError, match="optimizer is Sequential"):
        nt.RigL(model, model, steps=10)
    with pytest.raises(TypeError, match="optimizer is LBFGS"):
        nt.RigL(model, torch.optim.LBFGS(model.parameters()), steps=10)
    with pytest.raises(ValueError, match=r"holds no nerva\.torch\.SparseLinear"):
        nt.RigL(torch.nn.Linear(3, 2), optimizer, steps=10)
    with pytest.raises(ValueError, match="steps is 0"):
        nt.SET(model, optimizer, steps=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'often'"):
        nt.RigL(model, optimizer, steps=10, often=3)


def test_a_method_that_is_never_due_is_fitted_to_the_run():
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with pytest.warns(RuntimeWarning, match="never due .*; every=3 steps is taken"):
        topology = nt.SET(model, optimizer, steps=10)
    for _ in range(10):
        topology.step()
    assert {record.step for record in topology.records} == {3, 6, 9}


def test_a_layer_without_a_backward_pass_is_named():
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    topology = start("RigL", model, optimizer, every=1)
    learn(model, optimizer, topology, batches()[:1])
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="0 had no backward pass"):
        topology.step()
    assert all(torch.equal(part, before[key]) for key, part in model.state_dict().items())


@pytest.mark.parametrize("name", SETTINGS)
def test_an_update_that_is_broken_off_leaves_weights_and_state_as_they_were(name, monkeypatch):
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    topology = start(name, model, optimizer)
    rewire, calls = nt.rewiring.RewiredLayer.rewire, []

    def fails(self, *args, **settings):
        calls.append(copy.deepcopy((model.state_dict(), optimizer.state_dict(), topology.records)))
        source = rewire(self, *args, **settings)
        if len(calls) > 1:  # the second layer, when the first has moved
            raise MemoryError
        return source

    monkeypatch.setattr(nt.rewiring.RewiredLayer, "rewire", fails)
    with pytest.raises(MemoryError):
        learn(model, optimizer, topology, batches())
    before, state, records = calls[0]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for mine, its in zip(optimizer.state_dict()["state"].values(), state["state"].values(), strict=True):
        assert all(torch.equal(mine[key], its[key]) for key in its)
    assert topology.records == records
    monkeypatch.undo()
    learn(model, optimizer, topology, batches()[:3])
