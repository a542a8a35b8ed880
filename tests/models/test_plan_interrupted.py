"""A compiled step that an error or a signal breaks off: the network is before the step or behind it, never between."""

import copy
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

import nerva
from nerva._kernels import workspace
from nerva._kernels.plan import Plan
from nerva.layers import Layer
from nerva.layers.dropout import MaskKeys
from nerva.parameters import Parameter, Step

from ..compiled_reference import SIZES, counted, network, samples

NETWORKS = {
    "plain": network,
    "random": lambda: network(batch_norm=True, dropout=0.2, drop_connect=0.2),
}
OPTIMIZERS = {
    "Adam": nerva.Adam,
    "groups": lambda: nerva.Groups([("bias", nerva.Adam())], rest=nerva.Momentum()),
}
# What a step calls, in the order of the first calls: a signal may be handled in any of them, before or behind it.
CALLED = [(Step, "take"), (Parameter, "claim"), (MaskKeys, "next"), (Plan, "step"), (Layer, "forget_batch")]


class Alarm(Exception):
    """Of a signal."""


def all_of(model):
    """All that the next steps depend on."""
    layers = [getattr(layer, "_keys", None) for layer in model.layers]
    return (
        [array.tobytes() for layer in model.layers for array in layer.arrays().values()],
        [(each.owner is None, each.steps) for each in model.parameters()],
        [{name: each.state[name].tobytes() for name in each.state} for each in model.parameters()],
        [keys.count for keys in layers if keys is not None],
    )


def broken_off(monkeypatch, kind, name, call, behind, step):
    """Take a step that raises Alarm at a call of a method; return whether it did."""
    calls, own = [0], getattr(kind, name)

    def method(self, *arguments, **settings):
        calls[0] += 1
        if calls[0] == call and not behind:
            raise Alarm
        result = own(self, *arguments, **settings)
        if calls[0] == call:
            raise Alarm
        return result

    with monkeypatch.context() as patch:
        if kind is Plan:  # whose class cannot be changed
            patch.setattr("nerva.models.plan.Plan", type("Breaking", (Plan,), {name: method}))
        else:
            patch.setattr(kind, name, method)
        try:
            step()
        except Alarm:
            return True
    return False


@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(("kind", "name"), CALLED, ids=[name for _, name in CALLED])
def test_an_error_anywhere_leaves_the_network_before_or_behind_a_step(monkeypatch, kind, name, make, optimizer, first):
    X, y = samples(100)
    model, own = make(), nerva.Momentum() if first else optimizer()
    model.train_step(X, y, own, 0.01)
    own = optimizer() if first else own
    call, behind, seen = 1, False, 0
    while True:
        one, mine = copy.deepcopy((model, own))
        other, its = copy.deepcopy((model, own))
        before = all_of(one)
        other.train_step(X, y, its, 0.01)
        if not broken_off(monkeypatch, kind, name, call, behind, partial(one.train_step, X, y, mine, 0.01)):
            break
        seen += 1
        assert all_of(one) in (before, all_of(other)), f"call {call} of {name}"
        if all_of(one) == before:
            one.train_step(X, y, mine, 0.01)
        assert all_of(one) == all_of(other), f"call {call} of {name}"
        call, behind = (call + 1, False) if behind else (call, True)
    assert seen >= 2 or kind is MaskKeys


def test_labels_that_have_become_wrong_break_off_a_fit_before_a_step():
    model, wanted, (X, y) = network(), network(), samples(200)
    right = y.copy()

    def spoil(model, record):
        y[150] = SIZES[-1]

    optimizer, other = nerva.Adam(), nerva.Adam()
    with pytest.raises(ValueError, match=r"labels\[150\] is 6; it must be within 0 to 5"):
        model.fit(X, y, epochs=2, batch_size=200, optimizer=optimizer, schedule=0.01, callbacks=[spoil], rng=0)
    wanted.fit(X, right, epochs=1, batch_size=200, optimizer=other, schedule=0.01, rng=0)
    for each, own in ((model, optimizer), (wanted, other)):
        each.train_step(X, right, own, 0.01)
    assert all_of(model) == all_of(wanted)


def test_labels_that_change_during_a_step_are_those_it_checked(monkeypatch):
    """As by another thread, here by what draws the masks."""
    X, y = samples(100)
    model, wanted = network(dropout=0.2), network(dropout=0.2)
    right, own = y.copy(), MaskKeys.next

    def change(self):
        y[:] = 10**6
        return own(self)

    wanted_loss = wanted.train_step(X, right, nerva.SGD(), 0.1)
    monkeypatch.setattr(MaskKeys, "next", change)
    with counted() as steps:
        assert model.train_step(X, y, nerva.SGD(), 0.1) == wanted_loss
    assert steps.train == 1
    assert (y == 10**6).all()
    assert all_of(model) == all_of(wanted)


@pytest.mark.parametrize("use", ["predict", "train_step"])
def test_what_interrupts_a_step_cannot_use_the_network(monkeypatch, use):
    """As the handler of a signal, here what draws the masks: half of the plan is that of the step."""
    X, y = samples(300)
    model, optimizer = network(dropout=0.2), nerva.Adam()
    model.train_step(X[:100], y[:100], optimizer, 0.1)
    before, own = all_of(model), MaskKeys.next
    uses = {"predict": lambda: model.predict(X), "train_step": lambda: model.train_step(X, y, optimizer, 0.1)}

    def interrupted(self):
        uses[use]()
        return own(self)

    with monkeypatch.context() as patch:
        patch.setattr(MaskKeys, "next", interrupted)
        with pytest.raises(RuntimeError, match="the network is within a step"):
            model.train_step(X[:100], y[:100], optimizer, 0.1)
    assert all_of(model) == before
    model.train_step(X[:100], y[:100], optimizer, 0.1)


@pytest.mark.parametrize("call", range(1, 9))
def test_what_breaks_off_while_memory_is_taken_leaves_no_plan_without_it(monkeypatch, call):
    """A prediction needs less of it than a step: what is there already may be enough, but has no pointers yet."""
    X, y = samples(100)
    model, wanted, own, calls = network(), network(), workspace.zeros, []

    def zeros(*arguments):
        found = own(*arguments)
        calls.append(found)
        if len(calls) == call:
            raise Alarm
        return found

    with monkeypatch.context() as patch:
        patch.setattr(workspace, "zeros", zeros)
        with suppress(Alarm):
            model.train_step(X, y, nerva.SGD(), 0.0)
    assert calls
    np.testing.assert_array_equal(model.predict_proba(X), wanted.predict_proba(X))
    assert model.train_step(X, y, nerva.SGD(), 0.1) == wanted.train_step(X, y, nerva.SGD(), 0.1)
