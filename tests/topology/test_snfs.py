"""Sparse momentum: the decisions of a dense, masked reference."""

import numpy as np
import pytest

import nerva
from nerva.topology.grow import distinct

from . import masked as dense
from .comparison import RATE, STEPS, compare, make, run


def test_sparse_momentum_is_that_of_a_mask(data):
    def advance(net, X, y, step, rng):
        if step and step % 2 == 0:
            counts = [dense.rounded(dense.cosine(0.3, step / STEPS) * M.sum()) for M in net.M]
            means = [np.abs(v[M]).mean() for v, M in zip(net.vW, net.M, strict=True)]
            grown, room = np.zeros(3, int), np.array([(~M).sum() for M in net.M])
            while grown.sum() < sum(counts):  # what a full layer cannot take goes to the others
                parts = np.cumsum(np.where(grown < room, means, 0))
                left = sum(counts) - grown.sum()
                ends = [dense.rounded(left * part / parts[-1]) for part in parts]
                grown = np.minimum(grown + np.diff(ends, prepend=0), room)
            for i in range(3):
                out = dense.magnitude_drop(net, i, counts[i])
                net.swap(i, out, dense.momentum_grow(net, i, int(grown[i]), rng, distinct))
        net.step(X, y, RATE)

    model, updates = compare(nerva.SNFS(0.3, every=2, unit="step"), data, advance, density=0.3)
    assert len(updates) >= 50
    assert model.nnz == make(0.3).nnz


def test_sparse_momentum_moves_weights_between_layers(data):
    model = make()
    before = [layer.nnz for layer in model.layers]
    for _, _moves in run(model, nerva.SNFS(0.3, every=5, unit="step"), data):
        assert sum(layer.nnz for layer in model.layers) == sum(before)
    assert [layer.nnz for layer in model.layers] != before


def test_sparse_momentum_needs_a_momentum(data):
    model = make()
    before = [parameter.values.copy() for parameter in model.parameters()]
    with pytest.raises(ValueError, match=r"topology is SNFS.*needs an optimizer with momentum; this is SGD"):
        model.fit(*data, epochs=1, topology=nerva.SNFS(), optimizer=nerva.SGD())
    for parameter, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.values, old)
    with pytest.raises(ValueError, match="momentum"):
        list(run(make(), nerva.SNFS(every=5, unit="step"), data, momentum=0.0))


def test_the_number_of_weights_is_constant_where_layers_would_lose_all():
    X, y = np.random.default_rng(0).random((60, 6)), np.arange(60) % 4
    for seed in range(20):
        model = nerva.MLP([6, 5, 4, 4], density=0.35, seed=seed)
        before = model.nnz
        history = model.fit(X, y, epochs=3, batch_size=10, topology=nerva.SNFS(0.9, every=1, unit="step"))
        for step in {record.step for record in history.topology}:
            assert sum(record.nnz for record in history.topology if record.step == step) == before
        assert all(layer.nnz for layer in model.layers)
