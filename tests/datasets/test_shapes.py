"""The drawn images of ten shapes."""

import hashlib
import importlib

import numpy as np
import pytest

from nerva.datasets import Dataset, Split, shapes


def test_shapes_have_the_layout_of_images():
    data = shapes(203, seed=1, test=57)
    assert isinstance(data, Dataset)
    assert (data.name, len(data.classes), data.image_shape) == ("shapes", 10, (3, 32, 32))
    for split, n in ((data.train, 203), (data.test, 57)):
        assert isinstance(split, Split)
        assert split.X.shape == (n, 3072)
        assert split.X.pixels.dtype == np.uint8
        assert split.y.shape == (n,)
        assert split.y.dtype == np.int64
        counts = np.bincount(split.y, minlength=10)
        assert counts.max() - counts.min() == 1
        assert (np.diff(split.y) < 0).any()


def test_shapes_are_the_same_bytes_for_the_same_seed():
    def digest(split):
        return hashlib.sha256(split.X.pixels.tobytes() + split.y.astype("<i8").tobytes()).hexdigest()[:16]

    data = shapes(300, seed=0, test=100)
    assert (digest(data.train), digest(data.test)) == ("3028818e1d82bb54", "29b1245965ba2c07")
    assert digest(shapes(300, seed=0, test=7).train) == digest(data.train)
    assert digest(shapes(7, seed=0, test=100).test) == digest(data.test)
    assert digest(shapes(300, seed=1, test=7).train) != digest(data.train)
    assert not (data.test.X.pixels[:, None, ::97] == data.train.X.pixels[None, :, ::97]).all(axis=2).any()


def test_shapes_are_standardised():
    values = np.asarray(shapes(2000, test=1).train.X).reshape(2000, 3, 1024)
    np.testing.assert_allclose(values.mean(axis=(0, 2)), 0, atol=0.05)
    np.testing.assert_allclose(values.std(axis=(0, 2)), 1, atol=0.05)


def test_shapes_cover_the_pixels_they_are_named_for():
    """Compare without noise, at the centre: every shape as a small picture."""
    module = importlib.import_module("nerva.datasets.shapes")
    axis = np.arange(-4, 5, dtype=np.int32)
    u, v = np.meshgrid(axis, axis)
    drawn = {k: f(u, v, np.maximum(abs(u), abs(v)), np.int32(4)) for k, f in module.SHAPES.items()}
    areas = {name: int(mask.sum()) for name, mask in drawn.items()}
    assert areas["square"] == 81
    assert areas["frame"] == 81 - 25
    assert areas["disk"] == 49
    assert areas["ring"] == 49 - 13
    np.testing.assert_array_equal(drawn["rows"], drawn["columns"].T)
    for name in ("disk", "ring", "square", "frame", "plus", "cross"):
        np.testing.assert_array_equal(drawn[name], np.rot90(drawn[name]))
    np.testing.assert_array_equal(drawn["triangle"].sum(axis=1), [1, 1, 3, 3, 5, 5, 7, 7, 9])


def linear_accuracy(train_X, train_y, test_X, test_y):
    """Give the best test accuracy of a linear softmax classifier over three learning rates and all epochs."""
    best, rng = 0.0, np.random.default_rng(0)
    targets = np.eye(10, dtype=np.float32)[train_y]
    for rate in (1e-2, 1e-3, 1e-4):
        W, b = np.zeros((3072, 10), np.float32), np.zeros(10, np.float32)
        for _ in range(4):
            for batch in np.array_split(rng.permutation(len(train_X)), len(train_X) // 50):
                Y = train_X[batch] @ W + b
                P = np.exp(Y - Y.max(axis=1, keepdims=True))
                G = (P / P.sum(axis=1, keepdims=True) - targets[batch]) / len(batch)
                W -= rate * 10 * (train_X[batch].T @ G)
                b -= rate * 10 * G.sum(axis=0)
            best = max(best, float((np.argmax(test_X @ W + b, axis=1) == test_y).mean()))
    return best


def test_shapes_are_too_hard_for_a_linear_classifier():
    data = shapes(5000, seed=0, test=1000)
    train, test = np.asarray(data.train.X), np.asarray(data.test.X)
    assert linear_accuracy(train, data.train.y, test, data.test.y) < 0.35

    # The same classifier does well once the shapes are told from the background, so it is the images that are hard.
    def contrast(X):
        planes = X.reshape(-1, 3, 1024)
        return abs(planes - planes[:, :, :32].mean(axis=2, keepdims=True)).reshape(X.shape)

    assert linear_accuracy(contrast(train), data.train.y, contrast(test), data.test.y) > 0.6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, "n is 0; it must be at least 1"),
        ({"test": -1}, ValueError, "test is -1; it must be at least 1"),
        ({"seed": -1}, ValueError, "seed is -1; it must be at least 0"),
        ({"n": 2.5}, TypeError, "n is 2.5; it must be an integer"),
    ],
)
def test_shapes_refuse_impossible_numbers(arguments, error, message):
    with pytest.raises(error, match=message):
        shapes(**arguments)
