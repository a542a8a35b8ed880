"""Linear and SparseLinear against NumPy's float64: forward and backward passes, steps, copies."""

import copy
import pickle

import numpy as np
import pytest

import nerva
from nerva._kernels import isa
from nerva._kernels.activations import ACTIVATIONS
from nerva.activations import NAMES

from ..layer_reference import KINDS, assert_right, batch, dense, make, on_pattern
from ..reference import assert_same_bits


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_numpy_agrees(kind, activation, bias, dtype):
    layer = make(kind, activation=activation, bias=bias, dtype=dtype)
    for N in (5, 150, 1, 16, 0, 3):  # one after the other: buffers grow, shrink, and are used again
        assert_right(layer, N)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_narrow_layers(kind, shape, dtype):
    layer = make(kind, *shape, density=1.0, activation="sigmoid", dtype=dtype)
    for N in (1, 33):
        assert_right(layer, N)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_central_differences(kind, activation, bias):
    layer = make(kind, 6, 5, density=0.5, rng=3, activation=activation, bias=bias, dtype=np.float64)
    X, DY = batch(layer, 4, seed=5)
    layer.forward(X)
    DX = layer.backward(DY)
    gradients = [parameter.gradient.copy() for parameter in layer.parameters()]
    assert len(gradients) == 1 + bias + (activation == "srelu")
    numbers = [parameter.values for parameter in layer.parameters()] + [X.reshape(-1)]
    assert len(numbers[0]) == layer.nnz < 30 or kind == "linear"
    step = 1e-6
    for values, gradient in zip(numbers, [*gradients, DX.reshape(-1)], strict=True):
        for i in range(len(values)):
            before, slopes = values[i], []
            for sign in (1, -1):
                values[i] = before + sign * step
                slopes.append(np.sum(DY * layer.forward(X, training=False)))
            values[i] = before
            assert gradient[i] == pytest.approx((slopes[0] - slopes[1]) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_input_gradient_the_others_are_the_same(kind):
    with_it, without = make(kind, activation="relu"), make(kind, activation="relu")
    X, DY = batch(with_it, 7)
    for layer in (with_it, without):
        layer.forward(X)
    assert with_it.backward(DY) is not None
    assert without.backward(DY, input_gradient=False) is None
    for one, other in zip(with_it.parameters(), without.parameters(), strict=True):
        assert_same_bits(one.gradient, other.gradient, one.name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_layer_returns_is_its_own_and_is_used_again(kind):
    layer = make(kind, activation="relu")
    X, DY = batch(layer, 20)
    Y, DX = layer.forward(X), layer.backward(DY)
    assert np.shares_memory(Y, layer.forward(X))
    assert np.shares_memory(DX, layer.backward(DY))
    assert not any(np.shares_memory(mine, yours) for mine in (Y, DX) for yours in (X, DY))


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_x_and_dy_may_be_read_only_and_part_of_larger_arrays(kind, activation, dtype):
    layer = make(kind, activation=activation, dtype=dtype)
    X, DY = batch(layer, 7)
    wanted = layer.forward(X).copy(), layer.backward(DY).copy()
    X, DY = (np.pad(array, ((1, 2), (3, 5)))[1:-2, 3:-5] for array in (X, DY))
    for array in (X, DY):
        array.flags.writeable = False
    assert_same_bits(layer.forward(X).copy(), wanted[0], "Y")
    assert_same_bits(layer.backward(DY).copy(), wanted[1], "DX")


@pytest.mark.parametrize("kind", KINDS)
def test_the_outputs_themselves_may_be_the_gradient(kind):
    """Of half their squares; with the identity they are DZ too."""
    layer, other = make(kind), make(kind)
    X, _ = batch(layer, 7)
    DX = layer.backward(layer.forward(X))
    assert_same_bits(DX, other.backward(other.forward(X).copy()))
    for one, two in zip(layer.parameters(), other.parameters(), strict=True):
        assert_same_bits(one.gradient, two.gradient, one.name)


@pytest.mark.parametrize("kind", KINDS)
def test_backward_needs_a_forward_in_training(kind):
    layer = make(kind)
    X, DY = batch(layer, 3)
    for prepare in (lambda: None, lambda: layer.forward(X, training=False)):
        prepare()
        with pytest.raises(RuntimeError, match="forward"):
            layer.backward(DY)
    assert not any(parameter.gradient.any() for parameter in layer.parameters())
    assert_same_bits(layer.forward(X, training=False).copy(), layer.forward(X))
    layer.backward(DY)


@pytest.mark.parametrize(
    "clone", [lambda pair: pickle.loads(pickle.dumps(pair)), copy.deepcopy], ids=["pickle", "deep"]
)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_on_as_the_original(kind, bias, clone, dtype):
    def train(layer, optimizer, steps):
        X, DY = batch(layer, 6)
        for _ in range(steps):
            layer.forward(X)
            layer.backward(DY)
            optimizer.step(layer.parameters(), 0.1)
        return layer.forward(X, training=False).copy()

    layer, optimizer = make(kind, activation="leaky_relu", bias=bias, dtype=dtype), nerva.Nesterov()
    before = train(layer, optimizer, 2)
    twin, twins_optimizer = clone((layer, optimizer))
    assert not np.shares_memory(twin.parameters()[0].values, layer.parameters()[0].values)
    assert repr(twin) == repr(layer)
    with pytest.raises(RuntimeError, match="forward"):
        twin.backward(batch(twin, 6)[1])
    assert_same_bits(train(twin, twins_optimizer, 0), before, "the copy")
    after = train(twin, twins_optimizer, 2)
    assert np.abs(after - before).max() > 0.01
    assert_same_bits(train(layer, optimizer, 0), before, "the original, after steps of the copy")
    assert_same_bits(train(layer, optimizer, 2), after, "both, after the same steps")
    assert_same_bits(on_pattern(twin, dense(twin)), on_pattern(layer, dense(layer)), "weights")


@pytest.mark.parametrize("there", isa.supported())
@pytest.mark.parametrize("here", isa.supported())
def test_a_layer_moves_from_one_processor_to_another(here, there, dtype):
    before = isa.chosen()
    try:
        isa.choose(here)
        layer = make("native", dtype=dtype)
        X, DY = batch(layer, 400 // dtype.itemsize)  # which fits the registers of one, not of the other
        optimizer = nerva.SGD()
        isa.choose(there)
        layer.forward(X)
        layer.backward(DY)
        wanted = layer.weight.values - 0.5 * layer.weight_gradient
        layer.forward(X)
        layer.backward(DY)
        optimizer.step(layer.parameters(), 0.5)
    finally:
        isa.choose(before)
    np.testing.assert_allclose(layer.weight.values, wanted, rtol=1e-5)
