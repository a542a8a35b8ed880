"""Methods that combine criteria: the decisions of a dense, masked reference, position for position."""

import inspect
from itertools import pairwise

import numpy as np
import pytest

import nerva
from nerva.topology.grow import distinct

from . import masked as dense
from .comparison import RATE, SIZES, STEPS, compare, make


@pytest.mark.parametrize("drop", ["set", "magnitude"])
def test_set_and_magnitude_are_those_of_a_mask(data, drop):
    def advance(net, X, y, step, rng):
        if step and step % 2 == 0:
            for i in range(3):
                count = dense.rounded(0.3 * net.M[i].sum())
                out = (dense.set_drop if drop == "set" else dense.magnitude_drop)(net, i, count)
                net.swap(i, out, dense.random_grow(net, i, count, rng, distinct))
        net.step(X, y, RATE)

    method = nerva.SET if drop == "set" else nerva.Magnitude
    model, updates = compare(method(0.3, every=2, unit="step"), data, advance)
    assert len(updates) >= 50
    assert model.nnz == make().nnz


def test_threshold_drops_what_is_small(data):
    def advance(net, X, y, step, rng):
        if step and step % 2 == 0:
            for i in range(3):
                out = np.flatnonzero(net.M[i] & (np.abs(net.W[i]) <= 0.05))
                net.swap(i, out, dense.random_grow(net, i, len(out), rng, distinct))
        net.step(X, y, RATE)

    _, updates = compare(nerva.Threshold(0.05, every=2, unit="step", init="zeros"), data, advance)
    assert len(updates) >= 50


@pytest.mark.parametrize("regrow", [False, True])
def test_rigl_is_that_of_a_mask(data, regrow):
    def advance(net, X, y, step, rng):
        if step and step % 2 == 0 and step < STEPS * 0.96:
            dW, _ = net.gradients(X, y)
            for i in range(3):
                count = dense.rounded(dense.cosine(0.3, step / (0.96 * STEPS)) * net.M[i].sum())
                out = dense.magnitude_drop(net, i, count)
                if regrow:
                    net.swap(i, out, [])
                    out = []
                net.swap(i, out, dense.gradient_grow(net, i, count, dW))
        else:
            net.step(X, y, RATE)

    method = nerva.RigL(0.3, every=2, end=0.96, regrow=regrow)
    model, updates = compare(method, data, advance)
    assert len(updates) >= 50
    assert model.nnz == make().nnz


@pytest.mark.parametrize("regrow", [False, True])
def test_gradients_of_batches_add_up(data, regrow):
    """RigL over three batches: the dense gradients of each, with the weights it saw, are added."""
    sums = []

    def advance(net, X, y, step, rng):
        dW, _ = net.gradients(X, y)
        due = step and step % 5 == 0 and step < STEPS * 0.75
        sums.append(dW)
        if due:
            total = [sum(parts) for parts in zip(*sums[-3:], strict=True)]
            for i in range(3):
                count = dense.rounded(0.2 * net.M[i].sum())
                out = dense.magnitude_drop(net, i, count)
                if regrow:
                    net.swap(i, out, [])
                    out = []
                net.swap(i, out, dense.gradient_grow(net, i, count, total))
        else:
            net.step(X, y, RATE)

    _, updates = compare(nerva.RigL(0.2, every=5, decay="constant", accumulate=3, regrow=regrow), data, advance)
    assert len(updates) == 16


def test_gmp_is_that_of_a_mask(data):
    positions = sum(a * b for a, b in pairwise(SIZES))
    start = make(0.9).nnz / positions

    def advance(net, X, y, step, rng):
        if step in range(2, 109, 2):
            total = dense.rounded(dense.cubic(start, 0.1, (step - 2) / 106) * positions)
            for i, out in enumerate(dense.global_prune(net, total)):
                net.swap(i, out, [])
        net.step(X, y, RATE)

    model, updates = compare(nerva.GMP(0.1, every=2, end=1.0), data, advance, density=0.9)
    assert len(updates) == 54
    assert model.nnz == dense.rounded(0.1 * positions)


def test_granet_is_that_of_a_mask(data):
    positions = sum(a * b for a, b in pairwise(SIZES))
    start = make(0.9).nnz / positions

    def advance(net, X, y, step, rng):
        if step in range(2, 109, 2):
            dW, _ = net.gradients(X, y)
            total = dense.rounded(dense.cubic(start, 0.2, (step - 2) / 106) * positions)
            for i, out in enumerate(dense.global_prune(net, total)):
                left = int(net.M[i].sum()) - len(out)
                count = min(dense.rounded(dense.cosine(0.5, step / STEPS) * left), left, int((~net.M[i]).sum()))
                out = dense.magnitude_drop(net, i, len(out) + count)
                net.swap(i, out, dense.gradient_grow(net, i, count, dW))
        else:
            net.step(X, y, RATE)

    model, updates = compare(nerva.GraNet(0.2, every=2, end=1.0), data, advance, density=0.9)
    assert len(updates) == 54
    assert model.nnz == dense.rounded(0.2 * positions)


# ---- their settings

STEPS_OF_RIGL = {"every": 100, "unit": "step", "start": 0.0, "end": 0.75, "decay": "cosine"}
EPOCHS_OF_SET = {"every": 1, "unit": "epoch", "start": 0.0, "end": 1.0, "decay": "constant"}
SETTINGS = [
    (nerva.SET, (), 0.3, EPOCHS_OF_SET),
    (nerva.Magnitude, (), 0.3, EPOCHS_OF_SET),
    (nerva.Threshold, (0.1,), 1.0, EPOCHS_OF_SET),
    (nerva.RigL, (), 0.3, STEPS_OF_RIGL),
    (nerva.SRigL, (), 0.3, STEPS_OF_RIGL),
    (nerva.GMP, (0.1,), 0.0, STEPS_OF_RIGL | {"decay": "constant"}),
    (nerva.GraNet, (0.1,), 0.5, STEPS_OF_RIGL),
    (nerva.SNFS, (), 0.3, EPOCHS_OF_SET | {"decay": "cosine"}),
    (nerva.DeepR, (), 1.0, EPOCHS_OF_SET | {"unit": "step"}),
    (nerva.TopKAST, (), 0.1, STEPS_OF_RIGL),
    (nerva.CHT, (), 0.3, EPOCHS_OF_SET),
    (nerva.CHTs, (), 0.3, EPOCHS_OF_SET),
]
FIXED = {nerva.Threshold, nerva.GMP, nerva.DeepR}  # in fraction and decay


@pytest.mark.parametrize(("method", "given", "fraction", "defaults"), SETTINGS)
def test_settings_of_when_are_keywords(method, given, fraction, defaults):
    assert method(*given).when == nerva.When(fraction=fraction, **defaults)
    changed = {"every": 7, "unit": "epoch", "start": 0.25, "end": 0.5}
    wanted = defaults | changed
    if method not in FIXED:
        changed["decay"] = wanted["decay"] = "linear"
    assert method(*given, **changed).when == nerva.When(fraction=fraction, **wanted)
    for name, value in changed.items():
        assert method(*given, **{name: value}).when == nerva.When(fraction=fraction, **defaults | {name: value})
    if method not in FIXED:
        assert method(*given, fraction=0.05).when == nerva.When(fraction=0.05, **defaults)


@pytest.mark.parametrize(("method", "given", "fraction", "defaults"), SETTINGS)
def test_signatures_show_the_settings(method, given, fraction, defaults):
    shown = inspect.signature(method).parameters
    free = [name for name in defaults if name != "decay" or method not in FIXED]
    assert {name: shown[name].default for name in free} == {name: defaults[name] for name in free}
    assert "when" not in shown
    assert ("fraction" in shown) == (method not in FIXED)
    assert sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in shown.values()) <= 2


@pytest.mark.parametrize(("method", "given", "fraction", "defaults"), SETTINGS)
def test_an_unknown_setting_is_named(method, given, fraction, defaults):
    for name in ["period", "when", *(["fraction", "decay"] if method in FIXED else [])]:
        with pytest.raises(TypeError, match=f"'{name}'"):
            method(*given, **{name: 0.5})
    with pytest.raises(ValueError, match="unit is 'day'"):
        method(*given, unit="day")


def test_a_subclass_shows_its_own_signature():
    class Often(nerva.RigL):
        def __init__(self, every):
            super().__init__(every=every)

    class Weekly(nerva.SET):
        defaults = nerva.When(every=7, unit="epoch", end=1.0, decay="constant")

    assert list(inspect.signature(Often).parameters) == ["every"]
    assert Often(3).when.every == 3
    assert inspect.signature(Weekly).parameters["every"].default == Weekly().when.every == 7
