"""Learning-rate schedules against closed forms and symbolic formulas."""

import json
import math

import numpy as np
import pytest
import sympy as sp

import nerva
from nerva.schedules import restore_schedule, schedule_state, tell

from .derivations import assert_agree, compiled, exact

EPOCHS = [0.0, 0.3, 1.0, 2.5, 4.999, 5.0, 9.99, 10.0, 12.0, 37.5, 1000.0]


@pytest.mark.parametrize("epoch", EPOCHS)
def test_closed_forms(epoch):
    assert nerva.TimeBased(0.4, 0.1)(epoch) == pytest.approx(0.4 / (1 + 0.1 * epoch))
    assert nerva.StepDecay(0.4, 0.5, 5)(epoch) == pytest.approx(0.4 * 0.5 ** (epoch // 5))
    assert nerva.Exponential(0.4, 0.1)(epoch) == pytest.approx(0.4 * math.exp(-0.1 * epoch))
    cosine = 0.1 + 0.3 * (1 + math.cos(math.pi * min(epoch, 10) / 10)) / 2
    assert nerva.Cosine(0.4, 10, least=0.1)(epoch) == pytest.approx(cosine)
    again = 0.4 * (1 + math.cos(math.pi * (epoch % 10) / 10)) / 2
    assert nerva.Cosine(0.4, 10, growth=1)(epoch) == pytest.approx(again)
    assert nerva.WarmUp(nerva.Exponential(0.4, 0.1), 5)(epoch) == pytest.approx(
        0.4 * math.exp(-0.1 * epoch) * min(1, epoch / 5)
    )
    assert nerva.WarmUp(0.4, 5, start=0.5)(epoch) == pytest.approx(0.4 * (0.5 + 0.5 * min(1, epoch / 5)))


def test_restarts_come_later_each_time():
    schedule = nerva.Cosine(1.0, 10, growth=2)
    assert [schedule(epoch) for epoch in (0, 10, 30, 70)] == [1.0] * 4
    assert schedule(5) == schedule(20) == schedule(50) == pytest.approx(0.5)
    assert schedule(69.999) < 1e-6


def test_one_cycle_rises_and_falls():
    schedule = nerva.OneCycle(1.0, epochs=10, rise=0.3, start=25, end=1000)
    assert schedule(0) == pytest.approx(0.04)
    assert schedule(1.5) == pytest.approx(0.52)
    assert schedule(3) == 1.0
    assert schedule(6.5) == pytest.approx((1 + 0.001) / 2)
    assert schedule(10) == schedule(20) == pytest.approx(0.001)


def test_a_plateau_reduces():
    schedule = nerva.ReduceOnPlateau(1.0, factor=0.5, patience=1, cooldown=1, least=0.2)
    rates = []
    for loss in [3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]:
        schedule.observe(loss)
        rates.append(schedule(0.0))
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]


@pytest.mark.parametrize("validated", [True, False])
def test_fit_tells_the_loss(validated):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 6)).astype(np.float32), rng.integers(0, 3, 40)
    other = rng.standard_normal((10, 6)).astype(np.float32), rng.integers(0, 3, 10)
    losses = []

    class Listener(nerva.ReduceOnPlateau):
        def observe(self, loss):
            losses.append(loss)
            super().observe(loss)

    model = nerva.MLP([6, 3])
    listener = Listener(0.0, patience=0)
    history = model.fit(X, y, epochs=3, schedule=nerva.WarmUp(listener, 1), validation=other if validated else None)
    wanted = [model.evaluate(*other).loss] * 3 if validated else history["loss"]
    assert losses == pytest.approx(wanted)
    falling = nerva.ReduceOnPlateau(0.1, factor=0.5, patience=0, threshold=0.9)
    rates = model.fit(X, y, epochs=4, schedule=falling)["learning_rate"]
    assert rates[0] == 0.1
    assert falling.rate == pytest.approx(0.1 * 0.5**3)


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 0.4), (1.99, 0.4), (2, 0.2), (2.01, 0.2), (4.99, 0.2), (5.0, 0.1), (1000, 0.1)]
)
def test_multi_step_falls_at_its_milestones(epoch, rate):
    assert nerva.MultiStep(0.4, milestones=[2, 5], gamma=0.5)(epoch) == pytest.approx(rate)
    assert nerva.MultiStep(0.4, milestones=np.array([2, 5]), gamma=0.5)(epoch) == pytest.approx(rate)


def test_schedules_and_what_becomes_one():
    assert nerva.MultiStep(0.1, ())(99) == nerva.Constant(0.1)(99) == nerva.schedules.as_schedule(0.1)(0) == 0.1
    assert nerva.MultiStep(0.1, [0, 0])(0) == pytest.approx(0.001)
    assert nerva.schedules.as_schedule(np.float32(0.5))(3.3) == 0.5
    assert nerva.schedules.as_schedule(0)(1) == 0
    assert nerva.schedules.as_schedule(math.sqrt) is math.sqrt
    multi = nerva.MultiStep(0.1, [1])
    assert nerva.schedules.as_schedule(multi) is multi


@pytest.mark.parametrize(
    ("make", "error", "name"),
    [
        (lambda: nerva.Constant(-1), ValueError, "rate"),
        (lambda: nerva.Constant(math.nan), ValueError, "rate"),
        (lambda: nerva.Constant("0.1"), TypeError, "rate"),
        (lambda: nerva.Constant("fast"), TypeError, "rate"),
        (lambda: nerva.MultiStep(math.inf, [1]), ValueError, "rate"),
        (lambda: nerva.MultiStep(0.1, [1], gamma=-0.1), ValueError, "gamma"),
        (lambda: nerva.MultiStep(0.1, [1], gamma=None), TypeError, "gamma"),
        (lambda: nerva.MultiStep(0.1, [5, 2]), ValueError, "milestones"),
        (lambda: nerva.MultiStep(0.1, [-1, 2]), ValueError, "milestones"),
        (lambda: nerva.MultiStep(0.1, [1, math.nan]), ValueError, "milestones"),
        (lambda: nerva.MultiStep(0.1, ["1"]), TypeError, "milestones"),
        (lambda: nerva.MultiStep(0.1, 50), TypeError, "milestones"),
        (lambda: nerva.schedules.as_schedule(-0.1), ValueError, "schedule"),
        (lambda: nerva.schedules.as_schedule(None), TypeError, "schedule"),
        (lambda: nerva.schedules.as_schedule("constant"), TypeError, "schedule"),
        (lambda: nerva.validation.check_not_negative([1.0, 2.0], "gamma"), TypeError, "gamma"),
    ],
)
def test_wrong_rates_are_named(make, error, name):
    with pytest.raises(error, match=rf"^{name} is"):
        make()


def test_what_does_not_listen_is_left_alone():
    tell(0.1, 3.0)
    tell(nerva.Constant(0.1), 3.0)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_plateau_goes_on_from_its_state(wrapped):
    def make():
        schedule = nerva.ReduceOnPlateau(1.0, factor=0.5, patience=1, cooldown=2, least=0.2)
        return nerva.WarmUp(schedule, 2) if wrapped else schedule

    losses = [3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    for after in range(len(losses)):
        whole, half, other = make(), make(), make()
        for i, loss in enumerate(losses):
            whole.observe(loss)
            if i < after:
                half.observe(loss)
            if i == after:
                restore_schedule(other, json.loads(json.dumps(schedule_state(half))))
            if i >= after:
                other.observe(loss)
                assert other(4.0) == whole(4.0)
        assert schedule_state(other) == schedule_state(whole)


def test_what_remembers_nothing_has_no_state():
    for schedule in (nerva.Constant(0.1), nerva.WarmUp(0.1, 3), lambda epoch: 0.1):
        assert schedule_state(schedule) is None
        restore_schedule(schedule, None)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: nerva.TimeBased(-1, 0.1), "rate"),
        (lambda: nerva.TimeBased(1, math.nan), "decay"),
        (lambda: nerva.StepDecay(1, every=0), "every"),
        (lambda: nerva.Exponential(1, "fast"), "decay"),
        (lambda: nerva.Cosine(1, 0), "period"),
        (lambda: nerva.Cosine(1, 3, growth=0.5), "growth"),
        (lambda: nerva.WarmUp(nerva.Constant(1), -1), "epochs"),
        (lambda: nerva.WarmUp("slow", 1), "schedule"),
        (lambda: nerva.OneCycle(1, 10, rise=1), "rise"),
        (lambda: nerva.OneCycle(1, 10, start=0), "start"),
        (lambda: nerva.ReduceOnPlateau(1, factor=1), "factor"),
        (lambda: nerva.ReduceOnPlateau(1, patience=-1), "patience"),
        (lambda: nerva.ReduceOnPlateau(1, patience=2.5), "patience"),
        (lambda: nerva.Cosine(1, 3, growth="2"), "growth"),
        (lambda: nerva.OneCycle(1, 10, rise="x"), "rise"),
    ],
)
def test_wrong_settings_are_named(make, name):
    with pytest.raises((TypeError, ValueError), match=rf"^{name} is"):
        make()


# ---- symbolic formulas

e = sp.Symbol("epoch", nonnegative=True)


def half_wave(first, last, part):
    """From the first number to the last along half a cosine, as part goes from 0 to 1."""
    return first * sp.cos(sp.pi * part / 2) ** 2 + last * sp.sin(sp.pi * part / 2) ** 2


R, LEAST = exact(0.3), exact(0.02)


SCHEDULES = [
    (nerva.Constant(0.3), R),
    (nerva.MultiStep(0.3, (2, 5), 0.5), sp.Piecewise((R, e < 2), (R / 2, e < 5), (R / 4, True))),
    (nerva.TimeBased(0.3, 0.25), R / (1 + e / 4)),
    (nerva.StepDecay(0.3, 0.5, 3), R / 2 ** sp.floor(e / 3)),
    (nerva.Exponential(0.3, 0.25), R * sp.exp(-e / 4)),
    (nerva.Cosine(0.3, 4, 0.02), sp.Piecewise((half_wave(R, LEAST, e / 4), e < 4), (LEAST, True))),
    (nerva.Cosine(0.3, 4, 0.02, 1.0), half_wave(R, LEAST, e / 4 - sp.floor(e / 4))),
    (nerva.Cosine(0.3, 2, 0.02, 2.0), sp.Piecewise(
        *((half_wave(R, LEAST, (e - 2 * (2**i - 1)) / 2 ** (i + 1)), e < 2 * (2 ** (i + 1) - 1)) for i in range(4)))),
    (nerva.WarmUp(nerva.TimeBased(0.3, 0.25), 4, 0.25),
     R / (1 + e / 4) * sp.Min(1, sp.Rational(1, 4) + 3 * e / 16)),
    (nerva.OneCycle(0.3, 8, 0.25, 10, 1000), sp.Piecewise(
        (half_wave(R / 10, R, e / 2), e < 2), (half_wave(R, R / 1000, (e - 2) / 6), e < 8), (R / 1000, True))),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES, ids=lambda value: type(value).__name__)
def test_schedules(schedule, formula):
    rate, epochs = compiled([[e]], [formula]), (0, 0.5, 1.75, 2, 3.25, 4, 5, 6, 7.5, 8, 11, 13.9, 14, 20)
    assert_agree([schedule(epoch) for epoch in epochs], [rate([epoch]) for epoch in epochs])
