"""What is not part of a compiled step runs layer by layer, with the bits it always had; and nothing is bypassed."""

import numpy as np
import pytest

import nerva
from nerva.models.plan import compile_network
from nerva.training.step import train_step

from ..compiled_reference import SIZES, assert_close, assert_same, counted, layer_by_layer, network, pair, samples


def fit(model, X=None, y=None, **settings):
    """The history of a training run, and how many of its steps and outputs were compiled."""
    own = samples()
    with counted() as steps:
        history = model.fit(
            own[0] if X is None else X,
            own[1] if y is None else y,
            **{"epochs": 2, "schedule": 0.02, "batch_size": 100, "rng": 0} | settings,
        )
    return history["loss"], steps


@pytest.mark.parametrize(
    "settings",
    [{"batch_norm": True}, {"backend": "mkl"}, {"backend": "dense"}, {"drop_connect": 0.2}],
    ids=lambda settings: "".join(f"{name}={value}" for name, value in settings.items()),
)
def test_layers_that_are_computed_otherwise(settings):
    one, other = pair(lambda: network(**settings))
    assert fit(one)[0] == pytest.approx(fit(other)[0], rel=1e-12)
    assert_close(one, other, 1e-12)


def test_a_large_dense_layer_is_left_to_mkl():
    def make():
        return nerva.MLP([40, 300, 300, 6], density=[0.3, 1.0, 1.0], dtype=np.float64, backend="native")

    one, other = pair(make)
    losses, steps = fit(one)
    assert fit(other)[0] == losses
    assert steps.train == 0
    assert_same(one, other)


def test_a_step_without_one_of_these_is_compiled_again():
    class Stepping(nerva.Nesterov):
        def step(self, parameters, rate):
            super().step(parameters, rate)

    one, other = pair()
    for settings, compiled in (
        ({}, 8),
        ({"optimizer": Stepping()}, 0),
        ({"loss": nerva.SquaredError(classes=True)}, 8),
    ):
        losses, steps = fit(one, **settings)
        np.testing.assert_allclose(losses, fit(other, **settings)[0], rtol=1e-10)
        assert steps.train == compiled
    assert_close(one, other)


# ---- what users override is called


class OwnForward(nerva.SparseLinear):
    calls = 0

    def forward(self, X, *, training=True):
        type(self).calls += training
        return super().forward(X, training=training)


class OwnBackward(nerva.SparseLinear):
    calls = 0

    def backward(self, DY, **settings):
        type(self).calls += 1
        return super().backward(DY, **settings)


class OwnDenseForward(nerva.Linear):
    calls = 0

    def forward(self, X, *, training=True):
        type(self).calls += training
        return super().forward(X, training=training)


def with_layer(kind):
    sparse = {"dtype": np.float64, "backend": "native", "activation": "relu"}
    own = (
        {"dtype": np.float64} if kind is OwnDenseForward else {"density": 0.3, "backend": "native", "dtype": np.float64}
    )
    return nerva.Sequential(
        [
            nerva.SparseLinear(40, 60, density=0.3, rng=0, **sparse),
            kind(60, 50, rng=1, activation="relu", **own),
            nerva.Linear(50, 6, rng=2, dtype=np.float64),
        ],
        rng=0,
    )


@pytest.mark.parametrize("kind", [OwnForward, OwnBackward, OwnDenseForward])
def test_a_layer_with_a_pass_of_its_own(kind):
    kind.calls = 0
    one = with_layer(kind)
    losses, steps = fit(one)
    assert kind.calls == 8
    assert steps.train == 0
    other = layer_by_layer(with_layer(kind))
    assert fit(other)[0] == losses
    assert_same(one, other)
    assert compile_network(one.layers, 100) is None


class OwnModelForward(nerva.MLP):
    calls = 0

    def forward(self, X, *, training=True):
        type(self).calls += 1
        return super().forward(X, training=training)


class OwnModelBackward(nerva.MLP):
    calls = 0

    def backward(self, DY):
        type(self).calls += 1
        return super().backward(DY)


@pytest.mark.parametrize("kind", [OwnModelForward, OwnModelBackward])
def test_a_model_with_a_pass_of_its_own(kind):
    kind.calls = 0
    model = network(kind)
    _, steps = fit(model)
    assert (kind.calls, steps.train) == (8, 0)
    with counted() as steps:
        model.predict(samples()[0])
        model.evaluate(*samples())
    assert kind.calls == 8 + (6 if kind is OwnModelForward else 0)
    assert steps.outputs == 0


def test_a_model_that_overrides_something_else_is_compiled():
    class Named(nerva.MLP):
        def __repr__(self):
            return "a name"

    assert fit(network(Named))[1].train == 8


def test_an_optimizer_with_a_step_of_its_own():
    class Stepping(nerva.SGD):
        calls = 0

        def step(self, parameters, rate):
            type(self).calls += 1
            super().step(parameters, rate)

    assert fit(network(), optimizer=Stepping())[1].train == 0
    assert Stepping.calls == 8

    class Plain:
        calls = 0

        def step(self, parameters, rate):
            type(self).calls += 1

    assert fit(network(), optimizer=Plain())[1].train == 0
    assert Plain.calls == 8


def test_a_loss_of_ones_own():
    class Doubled(nerva.SoftmaxCrossEntropy):
        calls = 0

        def __call__(self, Z, y):
            type(self).calls += 1
            return super().__call__(Z, y)

    assert fit(network(), loss=Doubled())[1].train == 8
    assert Doubled.calls == 8


def test_a_layer_with_parameters_of_its_own():
    class Frozen(nerva.SparseLinear):
        def parameters(self):
            return []

    assert fit(with_layer(Frozen))[1].train == 0


def test_a_model_that_is_no_sequential_needs_no_compiled():
    class Own:
        def __init__(self):
            self.inner = layer_by_layer(network())

        def __getattr__(self, name):
            if name == "compiled":
                raise AttributeError(name)
            return getattr(self.inner, name)

    model, reference = Own(), layer_by_layer(network())
    losses = [train_step(one, *samples(), nerva.SGD(), 0.1) for one in (model, reference)]
    assert losses[0] == losses[1]
    assert_same(model, reference)


# ---- what is refused stays refused, and nothing has changed


def test_wrong_arguments_leave_a_compiled_model_as_it_was():
    model, (X, y) = network(), samples()
    model.train_step(X, y, nerva.Adam(), 0.01)
    reference = network()
    reference.train_step(X, y, nerva.Adam(), 0.01)
    bad = X.copy()
    bad[200, 3] = np.nan
    for wrong, error, message in [
        ((X, np.where(np.arange(330) == 5, 6, y)), ValueError, r"\by\b"),
        ((X, np.where(np.arange(330) == 5, -1, y)), ValueError, r"\by\b"),
        ((X, y[:-1]), ValueError, r"\by\b"),
        ((X, y + 0.5), TypeError, r"\by\b"),
        ((X[:, :-1], y), ValueError, r"\bX\b"),
        ((bad, y), ValueError, r"X\[200, 3\] is nan"),
        ((X.astype(np.complex64), y), TypeError, r"\bX\b"),
        ((X[:0], y[:0]), ValueError, r"\bX\b"),
    ]:
        with counted() as steps, pytest.raises(error, match=message):
            model.train_step(*wrong, nerva.Adam(), 0.01)
        assert steps.train == 0
        assert_same(model, reference)


def test_weights_that_are_not_finite_warn_and_do_not_crash():
    for value in (np.nan, np.inf):
        for layer in range(3):
            model, (X, y) = network(activation="identity"), samples()
            model.layers[layer].parameters()[0].values[7] = value
            with counted() as steps, pytest.warns(RuntimeWarning, match="the loss is not finite"):
                history = model.fit(X, y, epochs=2, diverged="warn")
            assert steps.train > 0
            assert not np.isfinite(history["loss"]).any()
            assert model.predict(X).shape == (330,)


def test_the_sizes_of_the_tests_are_compiled():
    model = network()
    assert model.compiled(100) is not None
    assert model.compiled(1) is model.compiled(64) is model.compiled(330)
    assert [layer.out_features for layer in model.layers] == SIZES[1:]
