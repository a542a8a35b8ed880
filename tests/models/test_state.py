"""`state_dict` and `load_state_dict` of networks and optimizers."""

import numpy as np
import pytest

import nerva

from ..training_reference import network, samples, state
from ..weights_reference import of_every_kind

OPTIMIZERS = {
    "sgd": nerva.SGD,
    "nesterov": nerva.Nesterov,
    "adam": nerva.Adam,
    "rmsprop": lambda: nerva.RMSprop(momentum=0.5),
    "groups": lambda: nerva.Groups([("bias", nerva.SGD())], rest=nerva.Lion()),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_network_and_optimizer_go_on_with_the_same_bits(kind):
    X, y = samples(40)
    one, other, first, second = network(), network(seed=5), OPTIMIZERS[kind](), OPTIMIZERS[kind]()
    for _ in range(3):
        one.train_step(X, y, first, 0.01)
    saved, moments = one.state_dict(), first.state_dict(one.parameters())
    before = {name: array.tobytes() for name, array in {**saved, **moments}.items() if isinstance(array, np.ndarray)}
    other.load_state_dict(saved)
    second.load_state_dict(moments, other.parameters())
    for _ in range(3):
        assert one.train_step(X, y, first, 0.01) == other.train_step(X, y, second, 0.01)
    for mine, yours in zip(one.parameters(), other.parameters(), strict=True):
        assert mine.values.tobytes() == yours.values.tobytes()
    # Copies: the steps since have changed none of them.
    for name, array in {**saved, **moments}.items():
        assert name not in before or array.tobytes() == before[name]


def test_every_kind_of_layer(dtype):
    one, other = of_every_kind("srelu", dtype), of_every_kind("srelu", dtype, seed=4)
    X, y = np.random.default_rng(1).standard_normal((50, 20)).astype(dtype), np.arange(50) % 4
    one.fit(X, y, epochs=2, batch_size=10, topology=nerva.SET())
    parameters = other.parameters()
    other.load_state_dict(one.state_dict())
    assert other.predict_proba(X).tobytes() == one.predict_proba(X).tobytes()
    assert all(mine is before for mine, before in zip(other.parameters(), parameters, strict=True))
    assert list(one.state_dict())[:5] == ["0.indptr", "0.indices", "0.values", "0.bias", "0.srelu"]
    assert {"1.running_mean", "1.gamma", "3.weight"} <= set(one.state_dict())


CHANGES = {
    r"state lacks 0\.values, 1\.bias": {"0.values": None, "1.bias": None},
    r"state holds 7\.bias, which the network does not have": {"7.bias": np.zeros(1)},
    r"1\.bias is float32 of shape \(3,\); it must be float32 of \(4,\)": {"1.bias": np.zeros(3, np.float32)},
    r"1\.bias is float64 of shape \(4,\)": {"1.bias": np.zeros(4)},
    r"1\.bias is list": {"1.bias": [0, 0, 0, 0]},
    r"0\.values is float64; it must be float32": {"0.values": np.zeros(58)},
    r"the pattern 0\.indptr, 0\.indices is not one of \(8, 12\): indptr": {"0.indptr": np.zeros(3, np.int32)},
    r"the pattern 0\.indptr, 0\.indices is not one of \(8, 12\): .*indices": {"0.indices": np.full(58, 99, np.int32)},
    r"the pattern 0\.indptr, 0\.indices is not": {"0.values": np.zeros(5, np.float32)},
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_does_not_fit_is_refused_by_name_before_anything_is_changed(message):
    model = network()
    found = {**network(seed=5).state_dict(), **CHANGES[message]}
    before = state(model)
    with pytest.raises((TypeError, ValueError), match=message):
        model.load_state_dict({name: value for name, value in found.items() if value is not None})
    assert state(model) == before
    with pytest.raises(TypeError, match="state is list"):
        model.load_state_dict([])


MOMENTS = {
    r"0\.momentum has shape \(3,\)": {"0.momentum": np.zeros(3, np.float32)},
    r"0\.momentum is float64; it must be float32": {"0.momentum": np.zeros(58)},
    r"0\.momentum is list": {"0.momentum": [1.0]},
    r"state lacks 0\.steps": {"0.steps": None},
    r"0\.steps is -1": {"0.steps": -1},
    r"state holds 9\.momentum, 9\.steps; there are 4 parameters": {"9.momentum": np.zeros(1), "9.steps": 1},
}


@pytest.mark.parametrize("message", MOMENTS)
def test_moments_that_do_not_fit_are_refused_by_name(message):
    (X, y), model, optimizer = samples(40), network(), nerva.Adam()
    model.train_step(X, y, optimizer, 0.01)
    found, before = {**optimizer.state_dict(model.parameters()), **MOMENTS[message]}, state(model)
    with pytest.raises((TypeError, ValueError), match=message):
        optimizer.load_state_dict({k: v for k, v in found.items() if v is not None}, model.parameters())
    assert state(model) == before


def test_an_optimizer_that_took_no_step_has_no_state():
    (X, y), model, optimizer = samples(40), network(), nerva.Adam()
    assert optimizer.state_dict(model.parameters()) == {}
    model.train_step(X, y, optimizer, 0.01)
    assert nerva.Adam().state_dict(model.parameters()) == {}
    optimizer.load_state_dict({}, model.parameters())
    assert all(parameter.owner is None for parameter in model.parameters())
