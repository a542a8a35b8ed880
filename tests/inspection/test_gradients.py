"""The gradient check itself: right models pass, broken ones are named, and nothing of the model changes."""

import copy

import numpy as np
import pytest

import nerva


def data(rng, n=7, features=12, classes=4):
    return rng.standard_normal((n, features)).astype(np.float32), rng.integers(0, classes, n)


def network(activation="tanh", dtype=np.float32):
    layers = [
        nerva.SparseLinear(12, 10, density=0.3, activation=activation, rng=1, dtype=dtype),
        nerva.Linear(10, 8, activation=activation, rng=2, dtype=dtype),
        nerva.SparseLinear(8, 4, density=0.6, rng=3, dtype=dtype),
    ]
    return nerva.Sequential(layers)


@pytest.mark.parametrize("activation", ["identity", "relu", "leaky_relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("samples", [None, 5])
def test_right_gradients_pass(rng, dtype, activation, samples):
    X, y = data(rng)
    report = nerva.check_gradients(network(activation, dtype), X, y, samples=samples)
    assert report.ok, str(report)
    report.raise_on_failure()
    assert [(check.layer, check.name) for check in report.checks] == [
        ("0 SparseLinear", "weight"),
        ("0 SparseLinear", "bias"),
        ("1 Linear", "weight"),
        ("1 Linear", "bias"),
        ("2 SparseLinear", "weight"),
        ("2 SparseLinear", "bias"),
    ]
    assert [check.checked for check in report.checks] == [min(samples or n, n) for n in (36, 10, 80, 8, 19, 4)]


def test_the_model_stays_as_it_is(rng):
    X, y = data(rng)
    model = network("relu")
    optimizer = nerva.Nesterov()
    model.train_step(X, y, optimizer, 0.1)
    before = copy.deepcopy([(p.values, p.gradient, p.state) for p in model.parameters()])
    state = copy.deepcopy(model.rng.bit_generator.state)
    nerva.check_gradients(model, X, y, samples=3)
    for parameter, (values, gradient, momenta) in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.values, values)
        np.testing.assert_array_equal(parameter.gradient, gradient)
        np.testing.assert_array_equal(parameter.state["momentum"], momenta["momentum"])
    assert model.rng.bit_generator.state == state


def test_a_wrong_gradient_is_named(rng, monkeypatch):
    X, y = data(rng)
    right = nerva.SparseLinear.backward

    def wrong(self, DY, *, input_gradient=True):
        DX = right(self, DY, input_gradient=input_gradient)
        if not input_gradient:
            self.bias_gradient[1] *= 1.01
        return DX

    monkeypatch.setattr(nerva.SparseLinear, "backward", wrong)
    report = nerva.check_gradients(network(), X, y, samples=None)
    assert not report.ok
    bad = [(check.layer, check.name, check.index) for check in report.checks if check.error > report.tolerance]
    assert bad == [("0 SparseLinear", "bias", 1)]
    with pytest.raises(AssertionError, match=r"0 SparseLinear +bias .*WRONG"):
        report.raise_on_failure()


def test_a_kink_is_no_error():
    """At zero ReLU has two slopes; the gradient is one of them, the difference their mean."""
    model = nerva.Sequential(
        [nerva.Linear(2, 3, activation="relu", init="zeros", bias=False), nerva.Linear(3, 2, rng=0)]
    )
    report = nerva.check_gradients(model, np.ones((1, 2), np.float32), [0])
    assert report.ok, str(report)
    assert report.checks[0].kinks == 6


def test_a_gradient_near_the_rounding_is_no_error():
    """Log-softmax over many neurons has gradients of 1e-6, known from differences to few digits."""
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((20, 20)), rng.integers(0, 3, 20)
    model = nerva.MLP([20, 1024, 512, 3], density=0.01, activation="log_softmax", batch_norm=True)
    report = nerva.check_gradients(model, X, y, samples=25)
    assert report.ok, str(report)


def test_two_kinks_on_one_number_are_left():
    """SReLU of biases of 0 on a dead input: the model stays as it is, its copy moves a little."""
    layers = [nerva.Linear(2, 6, activation="relu", init="zeros"), nerva.Linear(6, 4, activation="relu", rng=0)]
    model = nerva.Sequential([*layers, nerva.Linear(4, 2, rng=0)])
    report = nerva.check_gradients(model, np.ones((3, 2), np.float32), [0, 1, 0])
    assert report.ok, str(report)
    assert not any(parameter.values.any() for parameter in model.parameters() if parameter.name == "bias")


def test_weightless_layers_pass(rng):
    X, y = data(rng)
    report = nerva.check_gradients(nerva.Sequential([nerva.SparseLinear(12, 4, density=0.0)]), X, y)
    assert report.ok
    assert report.checks[0].checked == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"samples": 1.5}, r"samples is 1\.5"),
        ({"step": 0.0}, r"step is 0\.0"),
        ({"tolerance": 2}, "tolerance is 2"),
        ({"step": "1e-6"}, "step is '1e-6'"),
        ({"tolerance": True}, "tolerance is True"),
        ({"loss": "golden"}, "loss is 'golden'; it must be a nerva.Loss"),
    ],
)
def test_wrong_settings_are_refused(rng, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        nerva.check_gradients(network(), *data(rng), **settings)
    with pytest.raises(TypeError, match="model is int"):
        nerva.check_gradients(3, *data(rng))


def test_another_number_type_is_a_copy(rng, dtype):
    model = network("relu", dtype)
    other = model.astype(np.float64)
    assert other.dtype == np.float64
    X, _ = data(rng)
    np.testing.assert_allclose(other.predict_proba(X), model.predict_proba(X), rtol=1e-5)
    other.layers[0].weight.values[:] = 0
    assert model.layers[0].weight.values.any()
    assert [layer.activation for layer in other.layers] == ["relu", "relu", "identity"]
