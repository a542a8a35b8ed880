"""Deep rewiring: the decisions of a dense, masked reference."""

import numpy as np
import pytest

import nerva
from nerva.topology.grow import distinct

from . import masked as dense
from .comparison import RATE, compare, make


@pytest.mark.parametrize("temperature", [0.0, 1e-5])
def test_deep_r_is_that_of_a_mask(data, temperature):
    signs = {}

    def advance(net, X, y, step, rng):
        if not signs:
            for i in range(3):
                signs[i] = np.sign(net.W[i]) * net.M[i]
        net.step(X, y, RATE)
        if step == 0:
            return
        for i in range(3):
            net.W[i] -= RATE * 1e-2 * signs[i]
            if temperature:
                noise = rng.standard_normal(int(net.M[i].sum()))
                net.W[i][net.M[i]] += np.sqrt(2 * RATE * temperature) * noise
        for i in range(3):
            out = np.flatnonzero(net.W[i] * signs[i] < 0)
            if len(out):
                grown = dense.random_grow(net, i, len(out), rng, distinct)
                s = 2 * rng.integers(2, size=len(out)) - 1
                net.swap(i, out, grown, s * 1e-12)
                signs[i].reshape(-1)[out] = 0
                signs[i].reshape(-1)[grown] = s

    model, updates = compare(nerva.DeepR(1e-2, temperature), data, advance, momentum=0.0)
    assert len(updates) >= 50
    assert model.nnz == make().nnz
