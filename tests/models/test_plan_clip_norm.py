"""Clipping by the norm of all gradients in a compiled step, against the optimizer that steps layer by layer."""

import numpy as np
import pytest

import nerva
from nerva._kernels.plan import Plan
from nerva._kernels.updates import Update
from nerva.optimizers.optimizer import clip_norm

from ..bfloat16_reference import needs_bfloat16
from ..compiled_reference import assert_close, assert_same, counted, layer_by_layer, network, samples
from ..plan_reference import plain_case, updates

BATCHES = [1, 7, 64, 100, 130, 256]
OPTIMIZERS = {
    "sgd": lambda norm: nerva.SGD(clip_norm=norm),
    "nesterov": lambda norm: nerva.Nesterov(0.9, weight_decay=0.01, clip_norm=norm, clip_value=1e-3),
    "rmsprop": lambda norm: nerva.RMSprop(epsilon=1e-3, clip_norm=norm),
    "adam": lambda norm: nerva.Adam(epsilon=1e-4, clip_norm=norm),
    "lion": lambda norm: nerva.Lion(clip_norm=norm),
    "groups": lambda norm: nerva.Groups([("bias", nerva.SGD(), 0.5)], rest=nerva.Momentum(), clip_norm=norm),
}  # fmt: skip
NETWORKS = {
    "plain": {},
    "srelu": {"activation": "srelu"},
    "dropout": {"dropout": 0.3},
    "batch norm": {"batch_norm": True},
    "DropConnect": {"drop_connect": 0.2},
}


def train(model, optimizer, n, steps=3, loss=None, rate=0.02):
    X, y = samples(n, model.dtype)
    return [model.train_step(X, y, optimizer, rate, loss=loss) for _ in range(steps)]


def assert_agree(make, n, optimizer, tolerance=1e-11, **settings):
    one, other = make(), layer_by_layer(make())
    with counted() as steps:
        losses = train(one, optimizer(), n, **settings)
    assert steps.train == 3
    np.testing.assert_allclose(losses, train(other, optimizer(), n, **settings), rtol=tolerance)
    assert_close(one, other, tolerance)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("norm", [0.05, 100.0], ids=["clipped", "not clipped"])
def test_every_optimizer(name, norm, way):
    for n in (64, 256):
        assert_agree(network, n, lambda: OPTIMIZERS[name](norm), 1e-9, rate=1e-3)


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("n", BATCHES)
def test_every_network(settings, n, way):
    if n > 1 or "batch_norm" not in settings:
        assert_agree(lambda: network(**settings), n, lambda: nerva.SGD(clip_norm=0.05))


def test_with_a_loss_that_is_called(way):
    loss = nerva.SquaredError(classes=True)
    assert_agree(network, 256, lambda: nerva.Nesterov(clip_norm=0.1), loss=loss)


def test_in_float32(way):
    assert_agree(lambda: network(dtype=np.float32), 130, lambda: nerva.SGD(clip_norm=0.05), 1e-5)


@needs_bfloat16
def test_in_bfloat16(way):
    model, other = (network(dtype=np.float32, precision=p) for p in ("bfloat16", "float32"))
    losses = [train(one, nerva.SGD(clip_norm=0.05), 130, steps=10, rate=0.5) for one in (model, other)]
    np.testing.assert_allclose(*losses, rtol=0.02)


def test_clipping_changes_a_step_by_one_factor(way):
    """Of gradient descent: a step of the norm of the clip, in the direction of the gradient."""
    moves = []
    for norm in (None, 1e-3):
        model = network()
        before = [parameter.values.copy() for parameter in model.parameters()]
        train(model, nerva.SGD(clip_norm=norm), 100, steps=1, rate=1.0)
        moves.append(np.concatenate([b - p.values for b, p in zip(before, model.parameters(), strict=True)]))
    assert np.linalg.norm(moves[1]) == pytest.approx(1e-3, rel=1e-4)
    np.testing.assert_allclose(
        moves[1] / np.linalg.norm(moves[1]), moves[0] / np.linalg.norm(moves[0]), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_the_bits_do_not_depend_on_threads(settings, dtype, way):
    found = []
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        model = network(dtype=dtype, **settings)
        found.append((train(model, nerva.Nesterov(clip_norm=0.05), 330), model))
    for losses, model in found[1:]:
        assert losses == found[0][0]
        assert_same(model, found[0][1])


@pytest.mark.parametrize(("N", "by_rows"), [(300, False), (300, True), (40, None), (1, None)])
@pytest.mark.parametrize("sizes", [(30, 40, 10), (300, 250, 200, 10)], ids=str)
def test_every_kernel_has_the_norm_of_the_gradients(N, by_rows, sizes, dtype, instruction_set):
    """Of networks of less than a block of gradients and of many, of which threads have shares that are not equal."""
    found = []
    for norm in (0.0, 0.01):
        case = plain_case(sizes, N, by_rows=by_rows).network(dtype)
        velocity = case.moments()
        Plan.step(case.plan(), updates(Update("momentum", 0.0, 0.5), velocity, velocity), **case.batch, clip_norm=norm)
        found.append([vector for pair in velocity for vector in pair if vector is not None])
    whole = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in found[0]))
    assert whole > 0.02
    for plain, clipped in zip(*found, strict=True):
        np.testing.assert_allclose(
            clipped, plain * (0.01 / (whole + 1e-6)), rtol=1e-6 if dtype == np.float32 else 1e-12
        )


def test_nan_spreads_as_it_does_layer_by_layer():
    for model in (network(), layer_by_layer(network())):
        model.layers[1].parameters()[1].values[3] = np.nan
        train(model, nerva.SGD(clip_norm=0.1), 100, steps=1)
        assert all(np.isnan(parameter.values).all() for parameter in model.parameters())


def test_groups_take_no_clip_norm_of_their_own():
    for optimizer in (nerva.SGD(clip_norm=1.0), nerva.Groups([], clip_norm=1.0)):
        with pytest.raises(TypeError, match="without a clip_norm of its own"):
            nerva.Groups([("bias", optimizer)])


def test_the_reference_clips_to_the_norm():
    parameter = nerva.Parameter("weight", np.zeros(2))
    parameter.gradient[:] = [3.0, 4.0]
    assert clip_norm([parameter], 1.0) == 5.0
    np.testing.assert_allclose(parameter.gradient, [0.6, 0.8], rtol=1e-6)
