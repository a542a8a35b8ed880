"""When updates are due, how the fraction decays and the density falls, and how a total is divided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.topology.schedules import in_proportion


@given(
    every=st.integers(1, 12),
    unit=st.sampled_from(["step", "epoch"]),
    start=st.integers(0, 19),
    length=st.integers(1, 20),
    steps=st.integers(1, 60),
    per_epoch=st.integers(1, 9),
)
def test_updates_are_due_at_multiples_within_start_and_end(every, unit, start, length, steps, per_epoch):
    end = min(start + length, 20)
    period = every * (per_epoch if unit == "epoch" else 1)
    wanted = [s for s in range(1, steps) if s % period == 0 and start * steps <= 20 * s < end * steps]
    start, end = start / 20, end / 20
    when = nerva.When(every, unit, start, end, 0.5, "linear")
    assert list(when.updates(steps, per_epoch)) == wanted
    for step in range(steps + 1):
        update = when.due(step, steps, per_epoch)
        assert (update is not None) == (step in wanted)
        if update is not None:
            assert update.step == step
            assert update.fraction == pytest.approx(0.5 * (1 - (step / steps - start) / (end - start)))
            span = wanted[-1] - wanted[0]
            assert update.progress == pytest.approx((step - wanted[0]) / span if span else 1.0)


@given(
    every=st.integers(1, 300),
    unit=st.sampled_from(["step", "epoch"]),
    start=st.integers(0, 19),
    length=st.integers(1, 20),
    steps=st.integers(1, 200),
    per_epoch=st.integers(1, 50),
)
def test_a_schedule_is_fitted_to_a_run_that_is_too_short_for_it(every, unit, start, length, steps, per_epoch):
    when = nerva.When(every, unit, start / 20, min(start + length, 20) / 20, 0.5, "linear")
    found, each = when.fitted(steps, per_epoch), nerva.When(1, "step", when.start, when.end)
    if when.updates(steps, per_epoch):
        assert found is when
    elif found is None:
        assert not each.updates(steps, per_epoch)
    else:
        updates = found.updates(steps, per_epoch)
        assert 1 <= len(updates) <= 4
        assert len(updates) < len(each.updates(steps, per_epoch)) or len(updates) == 1
        assert found.every < when.every or (found.unit, when.unit) == ("step", "epoch")
        assert (found.start, found.end, found.fraction, found.decay) == (when.start, when.end, 0.5, "linear")


@pytest.mark.parametrize(
    ("decay", "fractions"), [("constant", [0.4] * 3), ("linear", [0.4, 0.3, 0.2]), ("cosine", [0.4, 0.341421, 0.2])]
)
def test_fractions_decay(decay, fractions):
    when = nerva.When(every=25, start=0.25, end=1.0, fraction=0.4, decay=decay)
    found = [when.due(step, steps=400, steps_per_epoch=400) for step in (100, 175, 250)]  # t = 0, 1 / 4, 1 / 2
    assert [update.fraction for update in found] == pytest.approx(fractions, abs=1e-6)


def test_settings_are_overridden_by_name():
    when = nerva.When(every=7)
    assert when.override({}) == when
    assert when.override({"end": 0.5}, decay="linear") == nerva.When(every=7, end=0.5, decay="linear")
    with pytest.raises(TypeError, match=r"'period'; updates are set by every, unit, start, end, fraction, decay"):
        when.override({"period": 3})
    with pytest.raises(TypeError, match=r"'decay'; updates are set by every, unit, start, end, fraction"):
        when.override({"decay": "linear"}, decay="constant")


def test_the_density_falls_along_a_cubic():
    density = nerva.topology.Cubic(0.1)
    assert [density(0.9, t) for t in (0.0, 0.5, 1.0)] == pytest.approx([0.9, 0.1 + 0.8 / 8, 0.1])
    with pytest.raises(ValueError, match=r"final is 1\.5"):
        nerva.topology.Cubic(1.5)


@given(
    total=st.integers(0, 300),
    parts=st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 100)), min_size=1, max_size=6),
)
def test_shares_are_exact(total, parts):
    weights, most = zip(*parts, strict=True)
    shares = in_proportion(total, weights, most)
    assert sum(shares) == min(total, sum(most))
    assert all(0 <= share <= cap for share, cap in zip(shares, most, strict=True))


@pytest.mark.parametrize(
    ("total", "parts", "most", "shares"),
    [
        (10, [1.0, 3.0, 0.0], [9, 5, 9], [5, 5, 0]),
        (4, [0.0, 0.0], [1, 9], [1, 3]),
        (9, [1.0, 1.0], [2, 3], [2, 3]),
        (1, [1.0, 1.0, 1.0], [1, 1, 1], [0, 1, 0]),
    ],
)
def test_shares_by_hand(total, parts, most, shares):
    assert in_proportion(total, parts, most) == shares
