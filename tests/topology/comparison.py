"""Methods on sparse layers beside the masked reference, step for step, and networks trained with them."""

import numpy as np

import nerva
from nerva._kernels.rewiring import flat_positions

from . import masked

SIZES = [12, 16, 14, 5]
STEPS, BATCH, RATE = 110, 16, 0.05
METHODS = [
    nerva.SET(),
    nerva.RigL(every=7),
    nerva.RigL(every=7, accumulate=3, regrow=True),
    nerva.Magnitude(every=7, unit="step", init="xavier"),
    nerva.Threshold(0.02),
    nerva.GMP(0.1, every=7),
    nerva.GraNet(0.1, every=7, scope="layer"),
    nerva.SNFS(),
    nerva.DeepR(1e-3, 1e-7),
    nerva.SRigL(every=7),
    nerva.CHT(every=7, unit="step"),
    nerva.CHTs(every=7, unit="step"),
]


def make(density=0.4, **options):
    # None of the layers is dense, so that every one is rewired.
    return nerva.MLP(SIZES, density=[density] * 3, dtype=np.float64, seed=3, backend="native", **options)


def twin(model, momentum):
    weights = [layer.weight.to_dense() for layer in model.layers]
    masks = []
    for layer in model.layers:
        mask = np.zeros(layer.weight.shape, bool)
        mask.reshape(-1)[flat_positions(layer.weight)] = True
        masks.append(mask)
    return masked.Masked(weights, masks, [layer.bias for layer in model.layers], momentum)


class Batches:
    """Batches in the order given: no rng of the data is drawn from."""

    def __init__(self, data, seed):
        self.rng, self.data = np.random.default_rng(seed), data

    def of(self, step):
        X, y = self.data
        return X[step * BATCH : (step + 1) * BATCH], y[step * BATCH : (step + 1) * BATCH]


def run(model, topology, data, seed=11, steps=STEPS, momentum=0.9):
    """What fit's loop does, but with the samples in order, so that the reference sees the same; yields each step."""
    batches = Batches(data, seed)
    optimizer = nerva.Momentum(momentum) if momentum else nerva.SGD()
    moves = nerva.topology.TopologyUpdater(topology, model.layers, steps, steps, batches.rng)
    loss = nerva.SoftmaxCrossEntropy()
    for step in range(steps):
        learn = moves.before(step)
        X, y = batches.of(step)
        result = loss(model.forward(np.ascontiguousarray(X.T)), y)
        model.backward(result.gradient)
        if learn:
            optimizer.step(model.parameters(), RATE)
        moves.after(step, RATE)
        yield step, moves
    moves.finish()


def assert_same(model, net, step):
    for i, layer in enumerate(model.layers):
        np.testing.assert_array_equal(flat_positions(layer.weight), np.flatnonzero(net.M[i]), err_msg=f"{step}, {i}")
        np.testing.assert_allclose(layer.weight.values, net.W[i][net.M[i]], rtol=1e-7, atol=1e-11)
        if "momentum" in layer.parameters()[0].state:
            np.testing.assert_allclose(
                layer.parameters()[0].state["momentum"], net.vW[i][net.M[i]], rtol=1e-6, atol=1e-10
            )


def compare(topology, data, advance, density=0.4, momentum=0.9):
    """Run both, `advance(net, X, y, step, rng)` being the reference's step, and count the updates."""
    model = make(density)
    net, rng = twin(model, momentum), np.random.default_rng(11)
    updates = set()
    for step, moves in run(model, topology, data, momentum=momentum):
        X, y = Batches(data, 0).of(step)
        advance(net, X.T, y, step, rng)
        assert_same(model, net, step)
        updates = {record.step for record in moves.records}
    return model, updates


def fitted(topology, data, threads=1, **options):
    nerva.set_num_threads(threads)
    model = make()
    history = model.fit(*data, epochs=2, batch_size=BATCH, topology=topology, schedule=RATE, rng=1, **options)
    return model, history
