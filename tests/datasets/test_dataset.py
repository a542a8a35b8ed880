"""Samples that are stored as bytes and standardized when read."""

import numpy as np
import pytest

from nerva.datasets import Standardized


def test_standardized_computes_the_values(pixels):
    mean, std = np.linspace(0.1, 0.9, 5), np.linspace(0.2, 0.4, 5)
    X = Standardized(pixels, mean, std)
    expected = (pixels / 255 - mean) / std
    values = np.asarray(X)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, atol=2e-6)
    np.testing.assert_array_equal(values, pixels * X.scale + X.shift)
    np.testing.assert_array_equal(X[3], values[3])
    np.testing.assert_array_equal(X[np.int64(-1)], values[-1])
    assert np.asarray(X, dtype=np.float64).dtype == np.float64
    np.testing.assert_allclose(Standardized(pixels, 0.5, 0.25), (pixels / 255 - 0.5) / 0.25, atol=2e-6)


def test_standardized_describes_itself(pixels):
    X = Standardized(pixels, 0.5, 0.25)
    assert (X.shape, X.ndim, X.dtype, len(X), X.nbytes) == ((12, 5), 2, np.float32, 12, 60 + 20 + 20)
    assert X.scale.dtype == X.shift.dtype == np.float32
    assert X.scale.shape == X.shift.shape == (5,)
    assert "12 samples of 5 features" in repr(X)


def test_standardized_selects_samples(pixels):
    X = Standardized(pixels, 0.5, 0.25)
    mask = pixels[:, 0] > 100
    indices = np.array([3, -1, 3])
    for rows in (slice(2, 7), slice(None, None, -2), indices, [3, 1], mask, [], slice(5, 5)):
        part = X[rows]
        chosen = np.asarray(rows, dtype=np.intp) if isinstance(rows, list) else rows
        assert isinstance(part, Standardized)
        assert part.pixels.flags.c_contiguous
        assert part.scale is X.scale
        assert part.shift is X.shift
        np.testing.assert_array_equal(part.pixels, pixels[chosen])
    assert np.shares_memory(X[2:7].pixels, pixels)
    assert X.pixels is pixels


@pytest.mark.parametrize(
    "rows", [(0, 1), 1.5, None, "a", np.zeros((2, 2), int), np.zeros(2), 12, [12], np.ones(3, bool)]
)
def test_standardized_refuses_other_selections(pixels, rows):
    with pytest.raises(IndexError):
        Standardized(pixels, 0.5, 0.25)[rows]


def test_standardized_refuses_bad_input(pixels):
    for wrong, error, message in (
        (pixels.astype(np.float32), TypeError, "uint8, found float32"),
        (pixels.tolist(), TypeError, "uint8, found list"),
        (pixels[0], ValueError, r"found \(5,\)"),
        (pixels[:, :0], ValueError, r"found \(12, 0\)"),
    ):
        with pytest.raises(error, match=message):
            Standardized(wrong, 0.5, 0.25)
    for mean, std, message in (
        (np.zeros(4), 1.0, r"mean must be a scalar or have the shape \(5,\), found \(4,\)"),
        (0.0, np.ones((5, 1)), r"std must be a scalar .* found \(5, 1\)"),
        (np.nan, 1.0, "mean must be finite"),
        (0.0, np.inf, "std must be finite"),
        (0.0, [1, 1, 0, 1, 1], "std must be positive, found 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            Standardized(pixels, mean, std)
    with pytest.raises(ValueError, match="without a copy"):
        np.array(Standardized(pixels, 0.5, 0.25), copy=False)


def test_standardized_copies_what_is_not_contiguous(pixels):
    X = Standardized(np.asfortranarray(pixels), 0.5, 0.25)
    assert X.pixels.flags.c_contiguous
    np.testing.assert_array_equal(X.pixels, pixels)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, size=(12, 5), dtype=np.uint8)
