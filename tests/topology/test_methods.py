"""Methods that combine criteria: the decisions of a dense, masked reference, position for position."""

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
