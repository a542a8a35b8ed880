"""The base class of optimizers: settings, clipping by norm, and classes of the user's own."""

import copy
import tracemalloc

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import nerva
from nerva._kernels.updates import Update
from nerva.optimizers import OPTIMIZERS, clip_norm
from nerva.parameters import Step


def network(dtype=np.float32, seed=0):
    return nerva.MLP([30, 20, 20, 5], density=[0.2, 0.3, 1.0], dtype=dtype, seed=seed, backend="native")


def batch(dtype=np.float32, n=17, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 30)).astype(dtype), rng.integers(0, 5, n)


def test_defaults_and_names():
    assert repr(nerva.SGD()) == "SGD(weight_decay=0.0)"
    assert repr(nerva.Nesterov(weight_decay=0.1)) == "Nesterov(weight_decay=0.1, momentum=0.9)"
    assert (
        repr(nerva.Adam(clip_value=1))
        == "Adam(weight_decay=0.0, clip_value=1.0, beta1=0.9, beta2=0.999, epsilon=1e-08)"
    )
    assert list(OPTIMIZERS) == ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lion"]
    assert nerva.Momentum().momentum == nerva.Nesterov().momentum == 0.9


def test_the_norm_of_all_gradients_is_clipped_together(dtype):
    model, (X, y) = network(dtype), batch(dtype)
    how, plain = nerva.SGD(clip_norm=0.01), nerva.SGD()
    twin = copy.deepcopy(model)
    before = [parameter.values.copy() for parameter in model.parameters()]
    model.train_step(X, y, how, 1.0)
    moved = np.concatenate([p.values - b for p, b in zip(model.parameters(), before, strict=True)])
    assert np.linalg.norm(moved) == pytest.approx(0.01, rel=1e-3)
    twin.train_step(X, y, plain, 1.0)
    whole = np.concatenate([p.values - b for p, b in zip(twin.parameters(), before, strict=True)])
    np.testing.assert_allclose(moved, whole * 0.01 / np.linalg.norm(whole), rtol=1e-3, atol=1e-6)
    parameter = nerva.Parameter("w", np.ones(2, dtype))
    parameter.gradient[:] = [3, 4]
    assert clip_norm([parameter], 10.0) == 5.0
    np.testing.assert_array_equal(parameter.gradient, [3, 4])


def test_the_norm_takes_no_memory_and_no_order_from_threads():
    parameter = nerva.Parameter("w", np.zeros(400_000))
    parameter.gradient[:] = np.random.default_rng(0).standard_normal(400_000)
    norms = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            norms.add(clip_norm([parameter], np.inf))
    tracemalloc.start()
    try:
        norms.add(clip_norm([parameter], np.inf))
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
    assert len(norms) == 1
    assert norms.pop() == pytest.approx(np.linalg.norm(parameter.gradient), rel=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nerva.Adam(beta1=1.0), r"beta1 is 1\.0; it must be from 0 to below 1"),
        (lambda: nerva.Adam(beta2=-0.1), "beta2 is"),
        (lambda: nerva.AdamW(epsilon=0), r"epsilon is 0; it must be finite and above 0"),
        (lambda: nerva.RMSprop(alpha=2), "alpha is"),
        (lambda: nerva.RMSprop(momentum=1), "momentum is"),
        (lambda: nerva.Lion(beta1="slow"), "beta1 is 'slow'"),
        (lambda: nerva.SGD(clip_value=0), "clip_value is"),
        (lambda: nerva.Nesterov(clip_norm=-1), "clip_norm is"),
        (lambda: nerva.Groups(5), "groups is 5"),
        (lambda: nerva.Groups([nerva.SGD()]), r"groups\[0\] is SGD"),
        (lambda: nerva.Groups([(3, nerva.SGD())]), r"groups\[0\] selects by 3"),
        (lambda: nerva.Groups([("bias", "sgd")]), r"groups\[0\] has 'sgd'"),
        (lambda: nerva.Groups([("bias", nerva.SGD(), -1)]), r"the scale of groups\[0\] is -1"),
        (lambda: nerva.Groups([], rest=nerva.SGD(clip_norm=1)), "rest has SGD"),
        (lambda: Update("adam", 0.1, t=0), "t is 0"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


# ---- the base class


@pytest.mark.parametrize("kind", [*OPTIMIZERS.values(), nerva.Groups])
def test_every_optimizer_is_an_optimizer_and_only_sgd_is_sgd(kind):
    assert issubclass(kind, nerva.Optimizer)
    assert issubclass(kind, nerva.SGD) == (kind is nerva.SGD)
    assert issubclass(kind, nerva.Momentum) == (kind in (nerva.Momentum, nerva.Nesterov))
    optimizer = kind([]) if kind is nerva.Groups else kind()
    assert optimizer.members == ((optimizer.rest,) if kind is nerva.Groups else (optimizer,))


def test_the_base_class_has_no_rule():
    with pytest.raises(TypeError, match="abstract"):
        nerva.Optimizer()


def test_a_rule_of_ones_own_is_taken():
    class Halved(nerva.Optimizer):
        def at(self, rate):
            return Step(self._update("sgd", rate / 2), self)

    one, two, (X, y) = network(), network(), batch()
    assert Halved().compiled
    for _ in range(3):
        one.train_step(X, y, Halved(weight_decay=0.1), 0.2)
        two.train_step(X, y, nerva.SGD(weight_decay=0.1), 0.1)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        np.testing.assert_array_equal(a.values, b.values)


def test_a_step_of_ones_own_is_taken():
    class Signs(nerva.SGD):
        def step(self, parameters, rate):
            for parameter in parameters:
                parameter.gradient[:] = np.sign(parameter.gradient)
            super().step(parameters, rate)

    class Alone:
        def step(self, parameters, rate):
            for parameter in parameters:
                parameter.values[:] -= rate * np.sign(parameter.gradient)

    one, two, (X, y) = network(), network(), batch()
    assert not Signs().compiled
    with pytest.raises(TypeError, match="rest has Signs"):
        nerva.Groups([], rest=Signs())
    one.fit(X, y, epochs=2, optimizer=Signs(), rng=0)
    two.fit(X, y, epochs=2, optimizer=Alone(), rng=0)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-6, atol=1e-7)


def test_an_unknown_setting_is_named():
    for kind in OPTIMIZERS.values():
        with pytest.raises(TypeError, match="unexpected keyword argument 'nesterov'"):
            kind(nesterov=True)


MAKERS = [*OPTIMIZERS.values(), lambda **settings: nerva.Groups([], **settings)]


@pytest.mark.parametrize("optimizer", MAKERS)
def test_a_learning_rate_is_given_to_fit(optimizer):
    for name in ("lr", "learning_rate"):
        with pytest.raises(TypeError, match=f"no {name}; the learning rate is given to fit, as schedule="):
            optimizer(**{name: 0.001})
    with pytest.raises(TypeError, match="unexpected keyword argument 'beta3'"):
        optimizer(beta3=0.5)


class Still:
    """An optimizer that has the method of one, and no more."""

    def step(self, parameters, rate):
        pass


@pytest.mark.parametrize("kind", [None, Still, *OPTIMIZERS.values()])
def test_the_default_learning_rate_is_that_of_the_optimizer(kind):
    rates = {nerva.RMSprop: 0.001, nerva.Adam: 0.001, nerva.AdamW: 0.001, nerva.Lion: 0.0001}
    optimizer = None if kind is None else kind()
    history = network().fit(*batch(), epochs=2, optimizer=optimizer)
    assert history["learning_rate"] == [rates.get(kind, 0.01)] * 2
    assert network().fit(*batch(), epochs=1, optimizer=optimizer, schedule=0.5)["learning_rate"] == [0.5]


@pytest.mark.parametrize("optimizer", [nerva.RMSprop, nerva.Adam, nerva.AdamW, nerva.Lion])
def test_a_number_by_itself_is_not_taken_for_a_decay_rate(optimizer):
    with pytest.raises(TypeError, match="positional"):
        optimizer(0.001)


def test_what_is_no_parameter_is_named():
    optimizer, model = nerva.Adam(clip_norm=1.0), nerva.MLP([4, 3], density=0.5)
    for parameters, message in (
        ([5], r"parameters\[0\] is int; it must be a nerva.Parameter"),
        ([*model.parameters(), np.zeros(3)], r"parameters\[2\] is ndarray"),
        (3, "parameters is int; it must be a list of nerva.Parameter"),
    ):
        for call in (
            lambda given: optimizer.step(given, 0.1),
            optimizer.state_dict,
            lambda given: optimizer.load_state_dict({}, given),
            lambda given: nerva.optimizers.clip_norm(given, 1.0),
        ):
            with pytest.raises(TypeError, match=message):
                call(parameters)
    with pytest.raises(TypeError, match="state is list; it must be a dictionary, as state_dict returns"):
        optimizer.load_state_dict([1], model.parameters())
