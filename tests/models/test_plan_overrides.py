"""What a user overrides, in a subclass or in an object, is called, and never bypassed by a compiled step."""

import numpy as np
import pytest

import nerva
from nerva.layers import Layer

from ..compiled_reference import SIZES, assert_same, counted, layer_by_layer, network, samples

KINDS = {
    nerva.SparseLinear: lambda kind: kind(SIZES[1], SIZES[1], density=0.5, rng=1, dtype=np.float64, backend="native"),
    nerva.Linear: lambda kind: kind(SIZES[1], SIZES[1], rng=1, dtype=np.float64),
    nerva.BatchNorm: lambda kind: kind(SIZES[1], dtype=np.float64),
    nerva.Dropout: lambda kind: kind(0.5, rng=1),
    nerva.Activation: lambda kind: kind("srelu"),
}


def stack(layer):
    """A network with this layer in the middle."""
    first = nerva.SparseLinear(SIZES[0], SIZES[1], density=0.5, rng=0, dtype=np.float64, backend="native")
    last = nerva.Linear(SIZES[1], SIZES[-1], rng=2, dtype=np.float64)
    return nerva.Sequential([first, layer, last], rng=0)


def counting(method, calls):
    """The method, which counts its calls."""

    def counted_method(*arguments, **settings):
        calls.append(1)
        return method(*arguments, **settings)

    return counted_method


def subclass_of(kind, name, calls):
    return type("Own", (kind,), {name: counting(getattr(kind, name), calls)})


@pytest.mark.parametrize("name", ["forward", "backward", "parameters"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("where", ["subclass", "object"])
def test_a_method_of_ones_own_is_called(kind, name, where):
    calls = []
    layer = KINDS[kind](subclass_of(kind, name, calls) if where == "subclass" else kind)
    model = stack(layer)
    if where == "object":
        assert model.compiled(100) is not None
        setattr(layer, name, counting(getattr(layer, name), calls))
    before, (X, y) = len(calls), samples()
    with counted() as steps:
        losses = [model.train_step(X, y, nerva.SGD(), 0.1) for _ in range(2)]
        model.predict(X)
    assert (steps.train, steps.outputs) == (0, 0)
    assert len(calls) - before >= 2
    assert model.obstacle(100) == f"layers[1] is {layer!r}, which a compiled step does not compute"
    assert model.summary().endswith("which a compiled step does not compute")
    plain = layer_by_layer(stack(KINDS[kind](kind)))
    assert [plain.train_step(X, y, nerva.SGD(), 0.1) for _ in range(2)] == losses
    assert_same(model, plain)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_subclass_that_overrides_none_of_them_is_compiled(kind):
    own = type("Own", (kind,), {"__repr__": lambda self: "a name", "note": lambda self: 1})
    model, plain, (X, y) = stack(KINDS[kind](own)), stack(KINDS[kind](kind)), samples()
    assert model.obstacle(100) is None
    with counted() as steps:
        losses = [one.train_step(X, y, nerva.SGD(), 0.1) for one in (model, plain)]
    assert steps.train == 2
    assert losses[0] == losses[1]
    assert_same(model, plain)


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_a_method_that_is_set_on_a_network_is_called(name):
    model, calls, (X, y) = network(), [], samples()
    assert model.compiled(100) is not None
    setattr(model, name, counting(getattr(model, name), calls))
    assert model.compiled(100) is None
    assert model.obstacle(100) == "MLP has passes of its own"
    with counted() as steps:
        model.train_step(X, y, nerva.SGD(), 0.1)
    assert (steps.train, len(calls)) == (0, 1)


def test_a_step_that_is_set_on_an_optimizer_is_called():
    optimizer, calls, (X, y) = nerva.SGD(), [], samples()
    optimizer.step = counting(optimizer.step, calls)
    model, plain = network(), layer_by_layer(network())
    with counted() as steps:
        model.train_step(X, y, optimizer, 0.1)
    assert (steps.train, len(calls)) == (0, 1)
    plain.train_step(X, y, nerva.SGD(), 0.1)
    assert_same(model, plain)
    with pytest.raises(TypeError, match="rest has SGD"):
        nerva.Groups([], rest=optimizer)


def test_a_layer_of_ones_own_is_called():
    class Square(Layer):
        calls = 0

        def forward(self, X, *, training=True):
            type(self).calls += 1
            self.X = X
            return X * X

        def backward(self, DY, *, input_gradient=True):
            return 2 * self.X * DY if input_gradient else None

        def astype(self, dtype):
            return Square()

    model, (X, y) = stack(Square()), samples()
    with counted() as steps:
        model.train_step(X, y, nerva.SGD(), 0.1)
    assert (steps.train, Square.calls) == (0, 1)
