"""Parameter groups: each steps by its own optimizer."""

import copy

import numpy as np
import pytest

import nerva


def network(dtype=np.float32, seed=0):
    return nerva.MLP([30, 20, 20, 5], density=[0.2, 0.3, 1.0], dtype=dtype, seed=seed, backend="native")


def batch(dtype=np.float32, n=17, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 30)).astype(dtype), rng.integers(0, 5, n)


@pytest.mark.parametrize("compiled", [True, False])
def test_groups_step_each_by_its_own(compiled):
    model, (X, y) = network(), batch()
    special = model.layers[1].parameters()[0]
    last = model.layers[2].parameters()
    groups = nerva.Groups(
        [
            (special, nerva.Adam(), 0.5),
            ("bias", nerva.SGD()),
            (lambda parameter: any(parameter is p for p in last), nerva.Momentum(0.5), 0.0),
        ],
        rest=nerva.Nesterov(0.9, weight_decay=0.1),
    )
    twin = copy.deepcopy(model)
    if not compiled:
        model.compiled = lambda batch: None
    hows = {
        "0 weight": (nerva.Nesterov(0.9, weight_decay=0.1), 1.0),
        "1 weight": (nerva.Adam(), 0.5),
        "2 weight": (nerva.Momentum(0.5), 0.0),
        "bias": (nerva.SGD(), 1.0),
    }
    loss = nerva.SoftmaxCrossEntropy()
    for _ in range(3):
        model.train_step(X, y, groups, 0.1)
        twin.backward(loss(twin.forward(np.ascontiguousarray(X.T)), y).gradient)
        for i, layer in enumerate(twin.layers):
            for parameter in layer.parameters():
                how, scale = hows.get(f"{i} {parameter.name}") or hows["bias"]
                how.step([parameter], 0.1 * scale)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-5, atol=1e-7)


def test_the_default_rate_is_the_least_of_the_groups():
    assert nerva.Groups([("bias", nerva.SGD())], rest=nerva.Adam()).default_rate == 0.001
    assert nerva.Groups([("bias", nerva.Adam(), 0.5)], rest=nerva.Nesterov()).default_rate == 0.002
    assert nerva.Groups([("bias", nerva.Lion(), 0.0)]).default_rate == 0.01
    history = network().fit(*batch(), epochs=1, optimizer=nerva.Groups([("bias", nerva.Lion())]))
    assert history["learning_rate"] == [0.0001]


def test_groups_within_groups():
    inner = nerva.Groups([("bias", nerva.SGD())], rest=nerva.Momentum())
    outer = nerva.Groups([("weight", nerva.Adam())], rest=inner)
    assert [type(member) for member in outer.members] == [nerva.Adam, nerva.SGD, nerva.Momentum]
    model, (X, y) = network(), batch()
    model.train_step(X, y, outer, 0.01)
    assert {parameter.owner for parameter in model.parameters()} == {outer.members[0], None}
    assert {parameter.name for parameter in model.parameters() if not parameter.state} == {"bias"}
