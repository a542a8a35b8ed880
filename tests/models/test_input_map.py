"""The input map counts what the first linear layer has, and its pictures show it."""

import base64
import io
import re

import matplotlib.image
import numpy as np
import pytest

import nerva


def network(dtype="float32", before=()):
    W = np.zeros((5, 12), dtype)
    W[[0, 1, 4, 2, 2], [0, 0, 0, 7, 11]] = [0.5, -2.0, 1.0, 0.25, -3.0]
    layers = [nerva.SparseLinear(12, 5, weight=nerva.CSR.from_dense(W)), nerva.Linear(5, 3, dtype=dtype)]
    return nerva.Sequential([*before, *layers]), W


def pixels(html):
    """The grey levels of the pictures in an HTML text."""
    found = re.findall(r"data:image/png;base64,([\w+/=]+)", html)
    return [np.rint(matplotlib.image.imread(io.BytesIO(base64.b64decode(data))) * 255).astype(int) for data in found]


@pytest.mark.parametrize("shape", [None, (12,), (3, 4), [2, 2, 3], (np.int64(1), 12)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_are_counted_and_added_up(shape, dtype):
    model, W = network(dtype)
    found = model.input_map(shape)
    assert found.shape == ((12,) if shape is None else tuple(shape)) == found.weights.shape == found.strength.shape
    np.testing.assert_array_equal(found.weights.ravel(), (W != 0).sum(axis=0))
    np.testing.assert_array_equal(found.strength.ravel(), np.abs(W).sum(axis=0))
    assert found.unused == 9
    assert (found.weights.dtype, found.strength.dtype) == (np.int64, np.float64)


def test_a_dense_first_layer_has_every_weight_of_an_input():
    model = nerva.MLP([6, 4, 2], seed=0)
    found = model.input_map((2, 3))
    assert (found.weights == 4).all()
    np.testing.assert_allclose(found.strength.ravel(), np.abs(model.layers[0].weight).sum(axis=0), rtol=1e-6)


def test_a_weight_of_0_is_a_weight():
    model, _ = network()
    model.layers[0].weight.values[:] = 0
    found = model.input_map()
    assert found.weights.sum() == 5
    assert found.strength.sum() == 0
    assert "nan" not in found._repr_html_()


def test_layers_before_the_first_linear_one_are_passed_over():
    model, W = network(before=[nerva.BatchNorm(12), nerva.Dropout(0.1)])
    np.testing.assert_array_equal(model.input_map().weights, (W != 0).sum(axis=0))


def test_it_is_of_the_moment_it_was_made_in():
    model, _ = network()
    before = model.input_map()
    model.layers[0].weight.values[:] = 7
    model.layers[0].rewire(np.array([0]), np.array([5]))
    assert before.strength.sum() == 6.75
    assert (before.weights[5], model.input_map().weights[5]) == (0, 1)


def test_a_notebook_shows_channels_added_up():
    model, W = network()
    found = model.input_map((3, 2, 2))
    counts, strength = pixels(found._repr_html_())
    weights = (W != 0).sum(axis=0).reshape(3, 2, 2).sum(axis=0)
    assert ((counts == 255) == (weights == 0)).all()
    assert counts[weights == 3] == 0
    assert np.argmin(strength) == np.argmin(-np.abs(W).sum(axis=0).reshape(3, 4).sum(axis=0))
    assert "3 x 2 x 2 inputs, 5 weights, 9 inputs without any" in found._repr_html_()
    assert [picture.shape for picture in pixels(model.input_map()._repr_html_())] == [(1, 12), (1, 12)]


def test_weights_that_are_not_finite_are_shown_all_the_same():
    model, _ = network()
    model.layers[0].weight.values[:2] = np.inf, np.nan
    assert len(pixels(model.input_map((3, 4))._repr_html_())) == 2


def test_images_are_plotted_as_images_and_features_as_bars(tmp_path):
    model, W = network()
    counts, strength, *_ = model.input_map((3, 2, 2)).plot(path=tmp_path / "map.png").axes
    np.testing.assert_array_equal(counts.images[0].get_array(), (W != 0).sum(axis=0).reshape(3, 2, 2).sum(axis=0))
    np.testing.assert_array_equal(strength.images[0].get_array(), np.abs(W).sum(axis=0).reshape(3, 2, 2).sum(axis=0))
    assert (tmp_path / "map.png").stat().st_size > 1000
    bars = model.input_map().plot().axes[1].patches[0].get_data()
    np.testing.assert_array_equal(bars.values, np.abs(W).sum(axis=0))
    np.testing.assert_array_equal(bars.edges, np.arange(13) - 0.5)


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        (12, TypeError, "shape is 12; it must be positive integers"),
        ("12", TypeError, "shape is '12'"),
        ((3, 4.0), TypeError, "shape is 4.0; it must be an integer"),
        ((), ValueError, r"shape is \(\)"),
        ((-3, -4), ValueError, r"shape is \(-3, -4\)"),
        ((1, 1, 3, 4), ValueError, r"shape is \(1, 1, 3, 4\)"),
        ((3, 5), ValueError, r"shape is \(3, 5\), of 15 inputs; the network has 12"),
    ],
)
def test_a_wrong_shape_is_named(shape, error, message):
    with pytest.raises(error, match=message):
        network()[0].input_map(shape)


def test_a_layer_of_ones_own_in_front_is_refused():
    class Mine(nerva.Dropout):
        pass

    with pytest.raises(TypeError, match=r"layers\[0\] is Mine"):
        network(before=[Mine(0.1)])[0].input_map()
    with pytest.raises(TypeError, match="no linear layer"):
        nerva.Sequential([nerva.BatchNorm(3)]).input_map()
