"""Top-KAST: the forward and the backward set of a dense reference with two masks."""

import numpy as np
import pytest

import nerva
from nerva.topology.grow import distinct

from . import masked as dense
from .comparison import BATCH, RATE, STEPS, Batches, assert_same, make, run, twin


def test_top_kast_is_that_of_two_masks(data):
    model = make()
    net, rng = twin(model, 0.9), np.random.default_rng(11)
    real = [W.copy() for W in net.W]  # the weights of the backward set; net.W are those of the forward set

    def choose():
        for i in range(3):
            count = int(net.M[i].sum())
            hidden = dense.first(np.abs(real[i]), net.M[i], count - dense.rounded(0.5 * count))
            net.W[i] = real[i].copy()
            net.W[i].reshape(-1)[hidden] = 0
            shown[i] = net.M[i].copy()
            shown[i].reshape(-1)[hidden] = False

    shown = [None] * 3
    choose()
    for step, _ in run(model, nerva.TopKAST(0.5, 0.2, l2=0.1, every=2, end=0.96, decay="constant", init="zeros"), data):
        X, y = Batches(data, 0).of(step)
        before = [W.copy() for W in net.W]
        net.step(X.T, y, RATE)
        for i in range(3):
            real[i] += net.W[i] - before[i]
            real[i] *= np.where(shown[i], 1 - RATE * 0.1, 1 - RATE * 0.1 / 0.5)
            net.W[i] = np.where(shown[i], real[i], 0)
        if step and step % 2 == 0 and step < 0.96 * STEPS:
            for i in range(3):
                count = dense.rounded(0.2 * net.M[i].sum())
                net.W[i] = real[i]
                out = dense.magnitude_drop(net, i, count)
                net.swap(i, out, dense.random_grow(net, i, count, rng, distinct))
                real[i] = net.W[i]
            choose()
        if step < STEPS - 1:
            assert_same(model, net, step)
    net.M = shown
    assert_same(model, net, STEPS)
    assert model.nnz == sum(dense.rounded(0.5 * layer.nnz) for layer in make().layers)


@pytest.mark.parametrize("end", [KeyboardInterrupt, MemoryError])
def test_top_kast_leaves_its_forward_set_however_the_training_ends(data, end):
    class Stop:
        def on_batch(self, done, batches):
            if done == 40:
                raise end

        def __call__(self, model, record):
            pass

    X, y = data
    model = make()
    with pytest.raises(end):
        model.fit(X, y, epochs=1, batch_size=BATCH, topology=nerva.TopKAST(0.5, every=10), callbacks=[Stop()])
    assert [layer.nnz for layer in model.layers] == [int(0.5 * layer.nnz + 0.5) for layer in make().layers]
    assert all(layer.weight.values.all() for layer in model.layers)
