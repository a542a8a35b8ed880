"""Networks in bfloat16: every operation of a compiled step, against the same network in float32."""

import numpy as np
import pytest

import nerva

from ..bfloat16_reference import needs_bfloat16
from ..compiled_reference import SIZES, assert_same, counted, images, layer_by_layer, samples
from .test_plan_ages import assert_first_steps, make

pytestmark = needs_bfloat16

CLOSE = 0.006  # of the norm of an update: what is stored has 8 bits
CENTERED = 0.02  # of gradients that batch normalization or softmax make nearly cancel
KINKED = 0.12  # where f has a kink: what is rounded to its other side has another derivative


def mlp(precision, **settings):
    return nerva.MLP(SIZES, **{"density": [0.3, 0.4, 1.0], "seed": 1, "precision": precision} | settings)


def stack(*layers):
    """A network of these layers, which functions make anew for each."""
    return lambda precision: nerva.Sequential([layer() for layer in layers], precision=precision)


def linear(D, K, activation="identity", **settings):
    return lambda: nerva.SparseLinear(D, K, **{"density": 0.5, "activation": activation, "rng": D} | settings)


def function(name):
    return lambda: nerva.Activation(name)


def dropout():
    return nerva.Dropout(0.3, rng=5)


def normalization(features=30, **settings):
    return lambda: nerva.BatchNorm(features, **settings)


NETWORKS = {
    **{name: lambda precision, name=name: mlp(precision, activation=name)
       for name in ("identity", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "srelu")},
    "gelu by tanh": lambda precision: mlp(precision, activation=nerva.GELU(tanh=True)),
    "all_relu": lambda precision: mlp(precision, activation=nerva.AllReLU(0.4)),
    "trelu": lambda precision: mlp(precision, activation=nerva.TReLU(0.1)),
    "srelu of neurons": lambda precision: mlp(precision, activation=nerva.SReLU(-0.2, 0.3, 0.5, 0.6, per="neuron")),
    "dropout": lambda precision: mlp(precision, dropout=0.3),
    "dropout of tanh": lambda precision: mlp(precision, dropout=0.3, activation="tanh"),
    "drop_connect": lambda precision: mlp(precision, drop_connect=0.3),
    "srelu and dropout": lambda precision: mlp(precision, activation="srelu", dropout=0.2),
    "sigmoid as output": lambda precision: mlp(precision, output="sigmoid"),
    "gelu as output": lambda precision: mlp(precision, output="gelu"),
    "srelu as output": lambda precision: mlp(precision, output="srelu"),
    "one layer": stack(linear(40, 6)),
    "functions before and behind": stack(function("tanh"), linear(40, 30), dropout, linear(30, 6), function("tanh")),
    "dropout first and last": stack(dropout, linear(40, 30, "relu"), linear(30, 6), dropout),
    "functions in a row": stack(linear(40, 30, "relu"), function("gelu"), function("srelu"), dropout, linear(30, 6)),
    "without biases": stack(linear(40, 30, "relu", bias=False), linear(30, 6, bias=False)),
    "dense": stack(lambda: nerva.Linear(40, 30, activation="relu", rng=0), lambda: nerva.Linear(30, 6, rng=1)),
    "softmax as output": lambda precision: mlp(precision, output="softmax"),
    "log-softmax as output": lambda precision: mlp(precision, output="log_softmax"),
    "softmax within": stack(linear(40, 30, "softmax"), dropout, linear(30, 30), function("log_softmax"), linear(30, 6)),
    "batch norm": stack(linear(40, 30, bias=False), normalization(activation="relu"), linear(30, 6)),
    "batch norm of tanh": stack(linear(40, 30, "tanh"), normalization(momentum=0.3), linear(30, 6, "tanh")),
    "batch norm and srelu": stack(linear(40, 30, "relu"), normalization(activation="srelu"), dropout, linear(30, 6)),
    "batch norm and gelu": stack(linear(40, 30, bias=False), normalization(activation="gelu"), linear(30, 6)),
    "batch norm first and last": stack(normalization(40), linear(40, 6, "tanh"), normalization(6, activation="tanh")),
    "batch norm twice": stack(linear(40, 30, "tanh"), normalization(activation="tanh"), normalization(), linear(30, 6)),
}  # fmt: skip


SMOOTH = {"identity", "tanh", "sigmoid", "gelu", "silu", "gelu by tanh", "dropout of tanh", "one layer"}
SMOOTH |= {"functions before and behind", "batch norm and gelu"}
LIMITS = dict.fromkeys(NETWORKS, KINKED) | dict.fromkeys(SMOOTH, CLOSE)
LIMITS |= dict.fromkeys(
    ("softmax within", "batch norm of tanh", "batch norm first and last", "batch norm twice"), CENTERED
)


def change(model, X, y, steps=1):
    """The change of all parameters in some steps, and the last loss."""
    before = [parameter.values.copy() for parameter in model.parameters()]
    loss = [model.train_step(X, y, nerva.SGD(), 0.1) for _ in range(steps)][-1]
    return loss, [p.values - was for p, was in zip(model.parameters(), before, strict=True)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("N", [40, 400])
def test_every_operation(name, N, way):
    for X, y in (images(N), samples(N, np.float32)):
        model, other = NETWORKS[name]("bfloat16"), layer_by_layer(NETWORKS[name]("float32"))
        with counted() as steps:
            loss, mine = change(model, X, y)
        assert steps.train == 1
        wanted, right = change(other, X, y)
        assert loss == pytest.approx(wanted, rel=2 * CLOSE)
        assert loss != wanted
        for change_of, should in zip(mine, right, strict=True):
            assert np.linalg.norm(change_of - should) <= LIMITS[name] * np.linalg.norm(should) + 1e-7
        mine, right = model.predict_proba(X, batch_size=N), other.predict_proba(X)
        np.testing.assert_allclose(mine, right, atol=0.02)
        assert (mine != right).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_bits_on_any_number_of_threads(name, way):
    found = []
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        model, (X, y) = NETWORKS[name]("bfloat16"), images(500)
        losses = model.fit(X, y, epochs=2, batch_size=200, rng=0, schedule=0.05)["loss"]
        found.append((model, losses))
    for model, losses in found[1:]:
        assert losses == found[0][1]
        assert_same(model, found[0][0])


OPTIMIZERS = [
    nerva.SGD(weight_decay=0.1), nerva.Momentum(), nerva.Nesterov(), nerva.RMSprop(), nerva.Adam(), nerva.AdamW(),
    nerva.Lion(), nerva.SGD(clip_value=1e-3), nerva.Groups([("bias", nerva.SGD())]),
]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_optimizer(optimizer):
    X, y = images(330)
    losses = [
        mlp(precision).fit(X, y, epochs=3, optimizer=optimizer, schedule=0.005, rng=0)["loss"]
        for precision in ("float32", "bfloat16")
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)
    assert losses[0] != losses[1]


def test_batches_of_every_size_are_compiled():
    X, y = images(330)
    for size in (1, 7, 64, 65, 100, 330):
        model = mlp("bfloat16")
        with counted() as steps:
            model.fit(X, y, epochs=1, batch_size=size, rng=0)
            model.evaluate(X, y, batch_size=size)
        assert (steps.train, steps.outputs) == (-(-330 // size),) * 2


def test_what_would_be_slower_is_compiled_too():
    """Large dense layers, and sparse ones for which another backend is predicted to be faster."""
    model = nerva.MLP([300, 300, 6], density=1.0, precision="bfloat16")
    wide = nerva.MLP([300, 300, 6], density=0.9, sparse=True, precision="bfloat16")
    X, y = samples(100, np.float32, 300)
    for one in (model, wide):
        with counted() as steps:
            one.fit(X, y, epochs=1)
        assert steps.train == 1


def test_images_that_are_moved():
    X, y = images(330)
    found = [
        mlp(precision).fit(X, y, epochs=3, augment=nerva.Augment((1, 5, 8), padding=2), rng=0, schedule=0.02)["loss"]
        for precision in ("float32", "bfloat16")
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=0.02)


def test_weights_that_are_moved(monkeypatch):
    """The steps in which RigL reads gradients run layer by layer, in float32, and all others in bfloat16."""
    X, y = images(300)
    model = mlp("bfloat16")
    with counted() as steps:
        history = model.fit(X, y, epochs=4, topology=nerva.RigL(every=4), rng=0, schedule=0.02)
    assert 0 < steps.train < 12
    assert {record.dropped > 0 for record in history.topology} == {True}
    plain = mlp("float32").fit(X, y, epochs=4, topology=nerva.RigL(every=4), rng=0, schedule=0.02)["loss"]
    np.testing.assert_allclose(history["loss"], plain, rtol=0.05)


def test_it_learns():
    X, y = images(600)
    accuracies = {}
    for precision in ("float32", "bfloat16"):
        model = mlp(precision, dropout=0.1, activation="srelu")
        model.fit(X, y, epochs=20, schedule=0.05, rng=0)
        accuracies[precision] = model.evaluate(X, y).accuracy
    assert accuracies["bfloat16"] > 0.9
    assert abs(accuracies["bfloat16"] - accuracies["float32"]) < 0.05


def test_a_profile_has_its_phases():
    X, y = images(330)
    with nerva.profile() as found:
        mlp("bfloat16").fit(X, y, epochs=1)
    text = str(found)
    assert all(phase in text for phase in ("data", "forward", "backward", "loss", "update"))


@pytest.mark.parametrize("n", [60, 300])
def test_the_first_step_of_a_weight_that_grows_has_the_length_of_the_rate(n):
    assert_first_steps(make(precision="bfloat16", activation="tanh"), n)
