"""Every loss in a compiled step: all but one are called between its forward and its backward pass."""

import gc
import tracemalloc

import numpy as np
import pytest

import nerva

from ..bfloat16_reference import needs_bfloat16
from ..compiled_reference import KINDS, arrays, assert_close, assert_same, counted, layer_by_layer
from ..loss_cases import CASES, K

SIZES = [40, 60, 50, K]
BATCHES = [1, 7, 64, 100, 130, 256]
EPS = 1e-12
NETWORKS = {
    **KINDS,
    "output": {"output": "tanh"},
}


def network(dtype=np.float64, **settings):
    settings = {"density": [0.5, 0.6, 1.0], "seed": 1, "backend": "native"} | settings
    return nerva.MLP(SIZES, dtype=dtype, **settings)


def samples(n, dtype=np.float64):
    return np.random.default_rng(n).standard_normal((n, SIZES[0])).astype(dtype)


def targets_of(name, n):
    """The targets of a case, as often as there are samples."""
    targets = np.asarray(CASES[name][1])
    return targets[np.arange(n) % len(targets)]


def train(model, loss, n, name="softmax of rows", steps=3, optimizer=None, **settings):
    """The losses of some steps."""
    X, y, optimizer = samples(n, model.dtype), targets_of(name, n), optimizer or nerva.Nesterov(weight_decay=1e-3)
    return [model.train_step(X, y, optimizer, 0.02, loss=loss, **settings) for _ in range(steps)]


def assert_agree(make, loss, n, name, tolerance=EPS, **settings):
    one, other = make(), layer_by_layer(make())
    with counted() as steps:
        losses = train(one, loss, n, name, **settings)
    assert steps.train == 3
    np.testing.assert_allclose(losses, train(other, loss, n, name, **settings), rtol=tolerance)
    assert_close(one, other, 10 * tolerance)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n", BATCHES)
def test_every_loss(name, n, way):
    assert_agree(lambda: network(output=CASES[name][2]), CASES[name][0], n, name)


@pytest.mark.parametrize("name", CASES)
def test_every_loss_in_float32(name, way):
    for n in (7, 100):
        assert_agree(lambda: network(np.float32, output=CASES[name][2]), CASES[name][0], n, name, 1e-5)


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("n", BATCHES[1:])
def test_every_network(settings, n, way):
    assert_agree(lambda: network(**settings), nerva.SoftmaxCrossEntropy(label_smoothing=0.1), n, "softmax", 1e-10)


@pytest.mark.parametrize(
    "optimizer", [nerva.SGD(), nerva.Adam(), nerva.Lion(), nerva.Groups([("bias", nerva.SGD())])], ids=repr
)
def test_every_optimizer(optimizer, way):
    assert_agree(network, nerva.SquaredError(), 130, "squared", 1e-8, optimizer=optimizer)


@pytest.mark.parametrize("loss", [nerva.SoftmaxCrossEntropy(), nerva.SquaredError(classes=True)], ids=repr)
def test_sample_weights(loss, way):
    weights = np.random.default_rng(3).uniform(0.1, 2, 130)
    assert_agree(network, loss, 130, "softmax", sample_weight=weights)


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_the_bits_do_not_depend_on_threads(settings, dtype, way):
    found = []
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        model = network(dtype, **settings)
        found.append((train(model, nerva.MeanSquaredError(), 256, "mean squared"), model))
    for losses, model in found[1:]:
        assert losses == found[0][0]
        assert_same(model, found[0][1])


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("turns", [(1, 3), (3, 1), (2, 3)])
def test_the_two_passes_may_have_different_threads(settings, turns, way):
    class Turning(nerva.MeanSquaredError):
        def __call__(self, Z, y):
            nerva.set_num_threads(turns[1])
            return super().__call__(Z, y)

    model, other = network(**settings), network(**settings)
    for _ in range(2):
        nerva.set_num_threads(turns[0])
        train(model, Turning(), 256, "mean squared", steps=1)
    nerva.set_num_threads(2)
    for _ in range(2):
        train(other, nerva.MeanSquaredError(), 256, "mean squared", steps=1)
    assert_same(model, other)


@needs_bfloat16
@pytest.mark.parametrize("name", CASES)
def test_in_bfloat16(name, way):
    output = CASES[name][2]
    model = network(np.float32, precision="bfloat16", output=output)
    other = layer_by_layer(network(np.float32, output=output))
    with counted() as steps:
        losses = train(model, CASES[name][0], 100, name)
    assert steps.train == 3
    np.testing.assert_allclose(losses, train(other, CASES[name][0], 100, name), rtol=0.02)


def test_both_kinds_of_steps_in_turn():
    """Labels, which the step itself computes the loss of, rows, evaluations, and batches of other sizes between."""
    one, other = network(batch_norm=True), layer_by_layer(network(batch_norm=True))
    for n in (100, 7, 256):
        for name in ("softmax", "softmax of rows", "softmax"):
            losses = [train(model, nerva.SoftmaxCrossEntropy(), n, name) for model in (one, other)]
            np.testing.assert_allclose(*losses, rtol=1e-10)
            values = [model.evaluate(samples(n), targets_of(name, n)).loss for model in (one, other)]
            np.testing.assert_allclose(*values, rtol=1e-10)
    assert_close(one, other, 1e-10)


# ---- losses of one's own


class Distance(nerva.losses.Loss):
    """The distance of outputs from rows, whose gradient is written over the outputs."""

    def __call__(self, Z, y):
        value = float(((Z - y.T) ** 2).sum() / Z.shape[1])
        Z -= y.T
        Z *= 2 / Z.shape[1]
        return nerva.losses.LossResult(value, Z, None, float(Z.shape[1]))

    def _each(self, Z, y):
        raise NotImplementedError

    def check_targets(self, y, samples, outputs, name="y"):
        return np.asarray(y, np.float64)


def test_a_loss_that_writes_its_gradient_over_the_outputs(way):
    for n in (7, 100, 256):
        one, other = network(), network()
        with counted() as steps:
            losses = train(one, Distance(), n, "squared")
        assert steps.train == 3
        np.testing.assert_allclose(losses, train(other, nerva.SquaredError(), n, "squared"), rtol=EPS)
        assert_close(one, other, EPS)


def test_the_gradient_may_be_any_array_that_kernels_take():
    class Spread(nerva.SquaredError):
        def __call__(self, Z, y):
            result = super().__call__(Z, y)
            wide = np.zeros((2 * len(Z), Z.shape[1] + 5))
            wide[::2, 3:-2] = result.gradient
            return result._replace(gradient=wide[::2, 3:-2])

    one, other = network(), network()
    train(one, Spread(), 130, "squared")
    train(other, nerva.SquaredError(), 130, "squared")
    assert_same(one, other)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda DY: DY.astype(np.float32), TypeError, "DY has dtype float32"),
        (lambda DY: DY[:, :-1], ValueError, "DY has shape"),
        (lambda DY: DY[:-1], ValueError, "DY has shape"),
        (lambda DY: None, TypeError, "DY"),
        (lambda DY: np.asfortranarray(DY), ValueError, "DY"),
    ],
    ids=["another dtype", "too few samples", "too few outputs", "nothing", "columns"],
)
def test_a_gradient_that_is_none_changes_no_parameter(change, error, message, batch_norm):
    class Wrong(nerva.SquaredError):
        def __call__(self, Z, y):
            result = super().__call__(Z, y)
            return result._replace(gradient=change(result.gradient))

    model, optimizer = network(batch_norm=batch_norm), nerva.Adam()
    train(model, nerva.SquaredError(), 100, "squared", optimizer=optimizer)
    before = [(p.values.copy(), p.steps, {k: v.copy() for k, v in p.state.items()}) for p in model.parameters()]
    with pytest.raises(error, match=message):
        train(model, Wrong(), 100, "squared", optimizer=optimizer)
    for parameter, (values, steps, state) in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.values, values)
        assert parameter.steps == steps
        for name, moment in state.items():
            np.testing.assert_array_equal(parameter.state[name], moment)
    train(model, nerva.SquaredError(), 100, "squared", optimizer=optimizer)


def test_what_a_loss_raises_is_raised_and_the_next_step_is_as_before():
    class Broken(nerva.SquaredError):
        def __call__(self, Z, y):
            raise ArithmeticError("no loss")

    one, other = network(), network()
    with pytest.raises(ArithmeticError, match="no loss"):
        train(one, Broken(), 100, "squared")
    assert_same(one, other)
    for model in (one, other):
        train(model, nerva.SquaredError(), 100, "squared")
    assert_same(one, other)


def rewired(model):
    layer = model.layers[0]
    layer.rewire(np.arange(50), np.flatnonzero(layer.dense_weight().reshape(-1) == 0)[:50])


def pruned(model):
    model.layers[1].rewire(np.arange(500), np.empty(0, np.int64))


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.predict(samples(7)),
        lambda model: model.evaluate(samples(300), targets_of("squared", 300)),
        lambda model: model.train_step(
            samples(300), targets_of("squared", 300), nerva.SGD(), 0.1, nerva.SquaredError()
        ),
        rewired,
        pruned,
    ],
    ids=["predict", "evaluate", "train_step", "rewire", "prune"],
)
def test_a_loss_must_leave_the_network_alone(use):
    class Meddling(nerva.SquaredError):
        def __call__(self, Z, y):
            result = super().__call__(Z, y)
            use(model)
            return result

    model = network()
    train(model, nerva.SquaredError(), 100, "squared", steps=1)
    with pytest.raises(RuntimeError, match="a loss must not do that"):
        train(model, Meddling(), 100, "squared")
    train(model, nerva.SquaredError(), 100, "squared")
    assert np.isfinite(np.concatenate([array.reshape(-1) for array in arrays(model)])).all()


# ---- what a step costs, and what it must not change


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_a_value_that_is_not_finite_changes_nothing(settings):
    model, other, optimizers = network(**settings), network(**settings), (nerva.Adam(), nerva.Adam())
    X = samples(130)
    X[120, 3] = np.nan
    with pytest.raises(ValueError, match=r"X\[120, 3\] is nan"):
        model.train_step(X, targets_of("squared", 130), optimizers[0], 0.1, loss=nerva.SquaredError())
    for one, optimizer in zip((model, other), optimizers, strict=True):
        train(one, nerva.SquaredError(), 130, "squared", optimizer=optimizer)
    assert_same(model, other)
    for mine, right in zip(model.layers, other.layers, strict=True):
        for name, array in mine.arrays().items():
            np.testing.assert_array_equal(array, right.arrays()[name])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_steady_step_allocates_no_batch(threads, way):
    """What the loss itself computes with is freed again; of the step, nothing stays or comes."""
    nerva.set_num_threads(threads)
    model, optimizer, loss = network(), nerva.Nesterov(), Distance()
    X, y, held = samples(256), targets_of("squared", 256), []
    tracemalloc.start()
    try:
        for i in range(230):
            if i in (10, 30):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
            model.train_step(X, y, optimizer, 0.01, loss=loss)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 20 * 100
    assert held[2] - held[1] < 200 * 50


def test_a_profile_has_the_phases_and_the_time_of_the_loss():
    import time

    class Slow(nerva.SquaredError):
        def __call__(self, Z, y):
            time.sleep(0.02)
            return super().__call__(Z, y)

    model = network()
    with nerva.profile() as profile:
        train(model, Slow(), 100, "squared")
    assert profile.steps == {"": 3}
    rows = {(row.layer[:1], row.phase): row for row in profile.rows}
    layers = [(str(i), phase) for i in range(3) for phase in ("forward", "backward")]
    assert set(rows) == {("", "data"), ("", "loss"), ("", "update"), *layers}
    assert 0.06 <= rows["", "loss"].seconds < 0.5
    assert all(row.calls == 3 and row.seconds > 0 for row in rows.values())
