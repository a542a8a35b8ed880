"""ExtremeClassifier: steps and predictions as those of a dense network in NumPy, in float64, and what is refused."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.extreme import ExtremeClassifier


def make(features, width, labels, fan_in, loss, tile, seed=0, dtype="float64"):
    hidden = nerva.Sequential([nerva.Linear(features, width, activation="tanh", rng=seed, dtype=dtype)], rng=seed)
    return ExtremeClassifier(hidden, labels, fan_in=fan_in, loss=loss, tile=tile, rng=seed)


def samples(n, features, labels, seed=0, most=3):
    rng = np.random.default_rng(seed)
    Y = np.zeros((n, labels))
    for row in Y:
        row[rng.integers(0, labels, rng.integers(0, most + 1))] = 1
    return rng.standard_normal((n, features)), scipy.sparse.csr_array(Y)


def loss_of(Z, Y, loss):
    """The mean over samples of the sum over labels; Z and Y are (n, labels)."""
    if loss == "binary-cross-entropy":
        return float((np.logaddexp(0, Z) - Y * Z).sum() / len(Z))
    return float(np.square(np.maximum(0, 1 - (2 * Y - 1) * Z)).sum() / len(Z))


def dense(model):
    """W, b of the hidden layer and of the labels, as dense arrays."""
    layer, last = model.to_sequential().layers
    return [layer.weight.copy(), layer.bias.copy(), last.weight.to_dense(), last.bias.copy()]


def logits(arrays, X):
    W, b, V, c = arrays
    return np.tanh(X @ W.T + b) @ V.T + c


@given(
    n=st.integers(1, 6),
    features=st.integers(1, 5),
    width=st.integers(1, 7),
    labels=st.integers(1, 20),
    tile=st.integers(1, 8),
    loss=st.sampled_from(["binary-cross-entropy", "squared-hinge"]),
    seed=st.integers(0, 50),
)
def test_a_step_follows_the_numerical_gradient(n, features, width, labels, tile, loss, seed):
    model = make(features, width, labels, min(width, 3), loss, tile, seed)
    X, Y = samples(n, features, labels, seed)
    before = dense(model)
    rate = 1e-6
    history = model.fit(X, Y, epochs=1, batch_size=n, optimizer=nerva.SGD(), schedule=rate, verbose=False)
    assert history["loss"][0] == pytest.approx(loss_of(logits(before, X), Y.toarray(), loss), rel=1e-9)
    rng = np.random.default_rng(seed)
    for number, (then, now) in enumerate(zip(before, dense(model), strict=True)):
        moved = (then - now) / rate
        places = [tuple(rng.integers(0, size) for size in then.shape) for _ in range(3)]
        for place in places:
            if number == 2 and then[place] == 0:
                assert now[place] == 0  # no weight
                continue
            step, ends = 1e-5, []
            for sign in (1, -1):
                arrays = [array.copy() for array in before]
                arrays[number][place] += sign * step
                ends.append(loss_of(logits(arrays, X), Y.toarray(), loss))
            assert moved[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("tile", [1, 7, 30, 100])
def test_the_size_of_tiles_changes_rounding_alone(tile):
    X, Y = samples(40, 6, 30)
    found = []
    for size in (30, tile):
        model = make(6, 8, 30, 4, "binary-cross-entropy", 30)
        other = make(6, 8, 30, 4, "binary-cross-entropy", size)
        weight = model.to_sequential().layers[1].weight
        for first, part in zip(other.output.starts, other.output.tiles, strict=False):
            cut = slice(weight.indptr[first], weight.indptr[first + part.weight.rows])
            part.weight.replace(np.arange(0, cut.stop - cut.start + 1, 4), weight.indices[cut], weight.values[cut])
            part.parameters[0].values = part.weight.values
        other.fit(X, Y, epochs=3, batch_size=7, optimizer=nerva.Adam(), schedule=0.01, rng=1, verbose=False)
        found.append(dense(other))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-7, atol=1e-10)


@given(
    n=st.integers(1, 5),
    labels=st.integers(1, 30),
    k=st.integers(1, 30),
    tile=st.integers(1, 9),
    seed=st.integers(0, 30),
)
def test_the_top_labels_are_those_of_all_logits(n, labels, k, tile, seed):
    k = min(k, labels)
    model = make(4, 6, labels, 3, "squared-hinge", tile, seed)
    X, _ = samples(n, 4, labels, seed)
    found, values = model.predict_top(X, k, batch_size=2)
    Z = logits(dense(model), X)
    wanted = np.lexsort((np.broadcast_to(np.arange(labels), Z.shape), -Z.round(12)), axis=1)[:, :k]
    np.testing.assert_allclose(values, np.take_along_axis(Z, wanted, axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(Z, found, axis=1), values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", ["binary-cross-entropy", "squared-hinge"])
@pytest.mark.parametrize("optimizer", [nerva.Nesterov, nerva.Adam])
def test_it_learns_labels_that_features_tell(loss, optimizer):
    rng = np.random.default_rng(0)
    of = rng.integers(0, 60, 600)
    X = scipy.sparse.csr_array(np.eye(60)[of] + 0.1 * (rng.random((600, 60)) < 0.02))
    Y = scipy.sparse.csr_array(np.eye(60)[of])
    model = make(60, 64, 60, 16, loss, 25, dtype="float32")
    rate = {nerva.Nesterov: 0.05, nerva.Adam: 0.01}[optimizer]
    history = model.fit(
        X, Y, epochs=20, batch_size=20, optimizer=optimizer(), schedule=rate, rng=0, validation=(X, Y), verbose=False
    )
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["test_accuracy"][-1] > 0.9
    assert model.evaluate(X, Y)["P@1"] == history["test_accuracy"][-1]


def test_the_bits_do_not_depend_on_threads():
    found = []
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        model = make(6, 32, 500, 8, "binary-cross-entropy", 128, dtype="float32")
        model.fit(*samples(50, 6, 500), epochs=2, batch_size=16, rng=0, verbose=False)
        found.append(dense(model))
    for others in found[1:]:
        for one, two in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, two)


def test_as_one_network_it_can_be_saved(tmp_path):
    X, Y = samples(20, 6, 30)
    model = make(6, 8, 30, 4, "binary-cross-entropy", 7)
    model.fit(X, Y, epochs=1, verbose=False)
    whole = model.to_sequential()
    nerva.save(whole, tmp_path / "model.safetensors")
    Z = nerva.load(tmp_path / "model.safetensors").forward(np.ascontiguousarray(X.T), training=False)
    np.testing.assert_allclose(Z.T, logits(dense(model), X), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Y": np.zeros((5, 30))}, TypeError, "Y is ndarray; it must be a SciPy sparse matrix"),
        ({"Y": scipy.sparse.csr_array((5, 29))}, ValueError, r"Y has shape \(5, 29\); it must be \(5, 30\)"),
        ({"Y": scipy.sparse.csr_array(np.full((5, 30), np.nan))}, ValueError, "Y holds NaN"),
        ({"X": np.zeros((5, 4))}, ValueError, r"X has shape \(5, 4\)"),
        ({"optimizer": nerva.SGD(clip_norm=1.0)}, ValueError, "optimizer has clip_norm"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(change, error, message):
    model = make(6, 8, 30, 4, "squared-hinge", 7)
    before = dense(model)
    arguments = {"X": np.zeros((5, 6)), "Y": scipy.sparse.csr_array((5, 30)), **change}
    with pytest.raises(error, match=message):
        model.fit(arguments.pop("X"), arguments.pop("Y"), **arguments)
    for one, two in zip(before, dense(model), strict=True):
        np.testing.assert_array_equal(one, two)


def test_wrong_settings_are_refused():
    hidden = nerva.MLP([4, 8])
    for settings, message in (
        ({"labels": 0}, "labels is 0"),
        ({"labels": 5, "fan_in": 9}, "fan_in is 9"),
        ({"labels": 5, "fan_in": 4, "loss": "hinge"}, "loss is 'hinge'"),
        ({"labels": 5, "fan_in": 4, "tile": 0}, "tile is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ExtremeClassifier(hidden, **settings)
    with pytest.raises(TypeError, match="hidden is int"):
        ExtremeClassifier(3, 5)
    with pytest.raises(ValueError, match="k is 6"):
        ExtremeClassifier(hidden, 5, fan_in=4).predict_top(np.zeros((1, 4)), 6)
