"""Methods of dynamic sparse training: the decisions of a dense, masked reference, position for position."""

import re
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import nerva
from nerva._kernels.rewiring import flat_positions
from nerva.topology.drop import smallest
from nerva.topology.grow import distinct, uniformly

from . import topology_reference as dense

SIZES = [12, 16, 14, 5]
STEPS, BATCH, RATE = 110, 16, 0.05


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((STEPS * BATCH, SIZES[0]))
    return X, (X @ rng.standard_normal((SIZES[0], SIZES[-1]))).argmax(axis=1)


def make(density=0.4, **options):
    # None of the layers is dense, so that every one is rewired.
    return nerva.MLP(SIZES, density=[density] * 3, dtype=np.float64, seed=3, backend="native", **options)


def masked(model, momentum):
    weights = [layer.weight.to_dense() for layer in model.layers]
    masks = []
    for layer in model.layers:
        mask = np.zeros(layer.weight.shape, bool)
        mask.reshape(-1)[flat_positions(layer.weight)] = True
        masks.append(mask)
    return dense.Masked(weights, masks, [layer.bias for layer in model.layers], momentum)


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
        model.backward(result.gradient, step=optimizer.at(RATE) if learn else None)
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
    net, rng = masked(model, momentum), np.random.default_rng(11)
    updates = set()
    for step, moves in run(model, topology, data, momentum=momentum):
        X, y = Batches(data, 0).of(step)
        advance(net, X.T, y, step, rng)
        assert_same(model, net, step)
        updates = {record.step for record in moves.records}
    return model, updates


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


def test_gradients_of_batches_add_up(data):
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
                net.swap(i, dense.magnitude_drop(net, i, count), dense.gradient_grow(net, i, count, total))
        else:
            net.step(X, y, RATE)

    _, updates = compare(nerva.RigL(0.2, every=5, decay="constant", accumulate=3), data, advance)
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


def test_threshold_drops_what_is_small(data):
    def advance(net, X, y, step, rng):
        if step and step % 2 == 0:
            for i in range(3):
                out = np.flatnonzero(net.M[i] & (np.abs(net.W[i]) <= 0.05))
                net.swap(i, out, dense.random_grow(net, i, len(out), rng, distinct))
        net.step(X, y, RATE)

    _, updates = compare(nerva.Threshold(0.05, every=2, unit="step", init="zeros"), data, advance)
    assert len(updates) >= 50


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_an_update(data, number):
    """Weights, and what is kept of them, move together or not at all."""
    came = []

    def grow(site, count):
        if site.index == 1 and not came:
            came.append(count)
            signal.raise_signal(number)
        return uniformly(site, count)

    def stop(number, frame):
        raise KeyboardInterrupt

    def take():
        X, y = data
        method = nerva.topology.Topology(nerva.When(5), smallest, grow)
        model.fit(X, y, epochs=1, batch_size=BATCH, topology=method, optimizer=nerva.Adam())

    model, former = make(), signal.signal(number, stop)
    try:
        before = [flat_positions(layer.weight) for layer in model.layers]
        with pytest.raises(KeyboardInterrupt):
            take()
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, former)
    assert came
    for layer, old in zip(model.layers, before, strict=True):
        assert not np.array_equal(flat_positions(layer.weight), old)  # the third as well
        for parameter in layer.parameters():
            assert all(state.shape == parameter.values.shape for state in parameter.state.values())
    take()


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


def fitted(topology, data, threads=1, **options):
    nerva.set_num_threads(threads)
    model = make()
    history = model.fit(*data, epochs=2, batch_size=BATCH, topology=topology, schedule=RATE, rng=1, **options)
    return model, history


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
]


@pytest.mark.parametrize("topology", METHODS, ids=repr)
def test_the_seed_decides_at_any_number_of_threads(data, topology):
    (first, history), (second, again) = fitted(topology, data), fitted(topology, data, threads=2)
    assert history.topology == again.topology
    assert history.topology
    for a, b in zip(first.layers, second.layers, strict=True):
        for name in ("indptr", "indices", "values"):
            np.testing.assert_array_equal(getattr(a.weight, name), getattr(b.weight, name))


@pytest.mark.parametrize("topology", METHODS, ids=repr)
def test_records_tell_what_happened(data, topology):
    model, history = fitted(topology, data)
    steps = 2 * STEPS
    assert {record.layer for record in history.topology} == {0, 1, 2}
    assert all(0 < record.step < steps for record in history.topology)
    for i, layer in enumerate(model.layers):
        records = [record for record in history.topology if record.layer == i]
        nnz = make().layers[i].nnz
        explored = 0.0
        for record in records:
            assert record.nnz == nnz + record.grown - record.dropped
            nnz = record.nnz
            assert record.density == pytest.approx(nnz / (layer.in_features * layer.out_features))
            assert record.exploration >= max(explored, record.density)
            explored = record.exploration
            assert record.churn == pytest.approx(record.grown / nnz)
        assert nnz == layer.nnz
        last = records[-1]
        rows = np.diff(layer.weight.indptr)
        assert (last.fan_in[0], last.fan_in[-1]) == (rows.min(), rows.max())
        assert last.silent_outputs == (rows == 0).sum()
        assert last.unused_inputs == layer.in_features - len(set(layer.weight.indices.tolist()))


def test_exploration_is_exact(data):
    model, ever = make(), [set() for _ in range(3)]
    for i, layer in enumerate(model.layers):
        ever[i].update(flat_positions(layer.weight).tolist())
    for _, moves in run(model, nerva.SET(every=3, unit="step"), data):
        for i, layer in enumerate(model.layers):
            ever[i].update(flat_positions(layer.weight).tolist())
            assert moves.layers[i].ever.positions().tolist() == sorted(ever[i])
    assert moves.records[-1].exploration == len(ever[2]) / (SIZES[2] * SIZES[3])


def test_an_update_keeps_the_steps_of_all_others(data):
    """An update that moves nothing changes no bit, where it takes no step's place."""
    still, _ = fitted(nerva.SET(0.0), data)
    plain, _ = fitted(None, data)
    for a, b in zip(still.layers, plain.layers, strict=True):
        np.testing.assert_array_equal(a.weight.values, b.weight.values)


def test_a_diverged_training_is_left_alone(data):
    model = make()
    with pytest.warns(RuntimeWarning, match="not finite"):
        history = model.fit(
            *data, epochs=2, batch_size=BATCH, topology=nerva.RigL(every=7, end=1.0), schedule=1e30, rng=1
        )
    assert not [record for record in history.topology if record.step > 20]


def test_the_examples_of_the_documentation_run():
    text = (Path(__file__).parents[1] / "docs" / "topology.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(programs) == 3
    names = {}
    for program in programs:
        exec(program.replace("epochs=10", "epochs=1"), names)
        assert names["model"].nnz == pytest.approx(names["model"].density * names["model"].dense_size)


# ---- what is refused


@pytest.mark.parametrize(
    ("make_it", "error", "message"),
    [
        (lambda: nerva.When(every=0), ValueError, "every"),
        (lambda: nerva.When(every=1.5), TypeError, "every"),
        (lambda: nerva.When(unit="day"), ValueError, "unit"),
        (lambda: nerva.When(decay="fast"), ValueError, "decay"),
        (lambda: nerva.When(fraction=1.5), ValueError, "fraction"),
        (lambda: nerva.When(fraction=float("nan")), ValueError, "fraction"),
        (lambda: nerva.When(fraction="0.3"), TypeError, "fraction"),
        (lambda: nerva.When(start=0.5, end=0.5), ValueError, "start"),
        (lambda: nerva.Threshold(-1), ValueError, "threshold"),
        (lambda: nerva.Threshold(float("nan")), ValueError, "threshold"),
        (lambda: nerva.GMP(1.5), ValueError, "density is 1.5"),
        (lambda: nerva.GMP(0.1, scope="all"), ValueError, "scope"),
        (lambda: nerva.DeepR(-1), ValueError, "l1"),
        (lambda: nerva.DeepR(0, float("inf")), ValueError, "temperature"),
        (lambda: nerva.RigL(accumulate=0), ValueError, "accumulate"),
        (lambda: nerva.SET(init="none"), ValueError, "init"),
        (lambda: nerva.Topology(None, None, None), TypeError, "when"),
        (lambda: nerva.Topology(nerva.When(), None, None), TypeError, "drop"),
        (lambda: nerva.Topology(nerva.When(), len, len, moment="now"), ValueError, "moment"),
    ],
)
def test_a_wrong_method_is_refused(make_it, error, message):
    with pytest.raises(error, match=message):
        make_it()


@pytest.mark.parametrize(
    ("model", "topology", "error", "message"),
    [
        (make, "rigl", TypeError, "topology"),
        (make, nerva.RigL, TypeError, "topology"),
        (make, nerva.RigL(every=10**6), ValueError, "never due"),
        (make, nerva.GMP(0.9, every=10), ValueError, "density"),
        (lambda: nerva.MLP(SIZES, dtype=np.float64), nerva.RigL(), ValueError, "no sparse layer"),
    ],
)
def test_a_wrong_fit_is_refused(data, model, topology, error, message):
    model = model()
    before = model.layers[0].weight.copy()
    with pytest.raises(error, match=message):
        model.fit(*data, epochs=1, batch_size=BATCH, topology=topology)
    after = model.layers[0].weight
    np.testing.assert_array_equal(np.asarray(getattr(before, "values", before)), getattr(after, "values", after))


@pytest.mark.parametrize("wrong", [lambda site, n: np.arange(n + 1), lambda site, n: np.arange(n) * 0.5])
@pytest.mark.parametrize("part", ["drop", "grow"])
def test_a_score_that_gives_the_wrong_number_is_refused(data, part, wrong):
    drop = {"drop": wrong, "grow": nerva.topology.drop.smallest}[part]
    grow = {"drop": nerva.topology.grow.uniformly, "grow": wrong}[part]
    with pytest.raises(ValueError, match=part):
        fitted(nerva.Topology(nerva.When(every=10), drop, grow), data)


def test_a_score_that_grows_a_kept_weight_is_refused(data):
    def kept(site, count):
        return flat_positions(site.weight)[-count:]

    with pytest.raises(ValueError, match="grown"):
        fitted(nerva.Topology(nerva.When(every=10), lambda site, n: np.arange(n), kept), data)


# ---- constant fan-in, and the two sets of Top-KAST


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
            needy = alive[i] & (kept.sum(1) < fan_in)
            if needy.any():
                fan_in = min(fan_in, max(1, (D - (M & ~kept).sum(1))[needy].min()))
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


def test_top_kast_is_that_of_two_masks(data):
    model = make()
    net, rng = masked(model, 0.9), np.random.default_rng(11)
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
