"""Structured RigL: the decisions of a dense, masked reference."""

import numpy as np
import pytest

import nerva

from . import masked as dense
from .comparison import RATE, SIZES, STEPS, compare, make


def test_srigl_is_that_of_a_mask(data):
    alive = [np.ones(K, bool) for K in SIZES[1:]]
    started = [layer.nnz for layer in make().layers]

    def advance(net, X, y, step, rng):
        if not (step and step % 2 == 0 and step < 0.96 * STEPS):
            net.step(X, y, RATE)
            return
        dW, _ = net.gradients(X, y)
        for i in range(3):
            K, D = net.W[i].shape
            M = net.M[i]
            count = min(dense.rounded(dense.cosine(0.4, step / (0.96 * STEPS)) * M.sum()), (~M).sum())
            out = dense.first(np.abs(net.W[i]), M, count)
            chosen = dense.gradient_grow(net, i, count, dW)
            kept = M.copy()
            kept.reshape(-1)[out] = False
            salient = kept.sum(1) + np.bincount(chosen // D, minlength=K)
            still = alive[i] & (salient >= max(1, 0.4 * (started[i] // alive[i].sum())))
            alive[i] = still if still.any() else alive[i]
            kept[~alive[i]] = False
            fan_in = min(max(1, started[i] // alive[i].sum()), D)
            for row in np.flatnonzero(alive[i] & (kept.sum(1) < fan_in)):
                gone = M[row] & ~kept[row]
                back = max(0, fan_in - (D - gone.sum()))
                kept[row, dense.first(-np.abs(net.W[i][row]), gone, back)] = True
            grown = []
            for row in range(K):
                extra = kept[row].sum() - fan_in
                if extra > 0:
                    kept[row, dense.first(np.abs(net.W[i][row]), kept[row], extra)] = False
                elif alive[i][row]:
                    free = dense.first(-np.abs(dW[i][row]), ~M[row], -extra)
                    grown.extend(row * D + free)
            net.swap(i, np.flatnonzero(M & ~kept), np.array(grown, int))

    model, updates = compare(nerva.SRigL(0.4, every=2, end=0.96, salient=0.4), data, advance)
    assert len(updates) >= 50
    for layer, lives in zip(model.layers, alive, strict=True):
        assert len(set(np.diff(layer.weight.indptr)[lives].tolist())) == 1
        assert not np.diff(layer.weight.indptr)[~lives].any()
    assert not all(lives.all() for lives in alive)  # some were ablated


@pytest.mark.parametrize("seed", range(6))
def test_a_row_without_an_empty_position_keeps_weights(seed):
    """All weights of a full row are to be dropped, the others are ablated, and nothing of it is empty."""
    X, y = np.random.default_rng(0).random((60, 6)), np.arange(60) % 4
    model = nerva.MLP([6, 8, 4], density=[0.8] * 2, seed=seed)
    before = [layer.nnz for layer in model.layers]
    method = nerva.SRigL(1.0, salient=1.0, every=1, decay="constant")
    model.fit(X, y, epochs=3, batch_size=10, topology=method, schedule=0.05)
    for layer, nnz in zip(model.layers, before, strict=True):
        fan_ins = np.diff(layer.weight.indptr)
        active = np.count_nonzero(fan_ins)
        assert set(fan_ins.tolist()) - {0} == {min(nnz // active, layer.in_features)}
