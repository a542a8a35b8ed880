"""The networks that the experiments train: seeds of supports and of weights, and the mask drawn twice."""

from itertools import pairwise

import numpy as np
import pytest

import nerva
from nerva.experiments.paper.networks import WAYS, network
from nerva.experiments.paper.training import nonzeros

SIZES = (3072, 1024, 512, 10)


def made(sparsity=0.99, support=1, weights=1, **settings):
    return network(SIZES, sparsity, support_seed=support, weight_seed=weights, **settings)


def patterns(model):
    return [(layer.weight.indptr.tolist(), layer.weight.indices.tolist()) for layer in model.layers]


def values(model):
    return [np.array(layer.weight.values) for layer in model.layers]


@pytest.mark.parametrize("way", WAYS)
def test_the_weights_are_as_many_as_the_density_says(way):
    assert made(0.99, way=way).nnz == pytest.approx(0.01 * 3675136, abs=2)


def test_layers_get_the_weights_of_the_original():
    # Inventory of the original: weights by layer at these densities, halves rounded up.
    assert [layer.nnz for layer in made(0.99).layers] == [24461, 9173, 3117]
    assert [layer.nnz for layer in made(0.5).layers] == [1332689, 499759, 5120]
    assert [layer.nnz for layer in made(0.999).layers] == [2446, 917, 312]
    assert [layer.nnz for layer in made(0.99, way="balanced").layers] == pytest.approx([15816, 15816, 5120], abs=1)


def test_a_dense_layer_is_dense():
    assert isinstance(made(0.5).layers[-1], nerva.Linear)
    assert all(isinstance(layer, nerva.Linear) for layer in made(0.0).layers)


def test_the_seed_of_the_support_says_where_weights_are_and_nothing_else():
    one, other = made(support=1), made(support=2)
    assert patterns(one) == patterns(made(support=1, weights=5))
    assert all(a != b for a, b in zip(patterns(one), patterns(other), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(values(one), values(other), strict=True))


def test_the_seed_of_the_weights_says_what_they_are():
    assert not any(np.array_equal(a, b) for a, b in zip(values(made()), values(made(weights=2)), strict=True))
    bounds = [(6 / (D + K)) ** 0.5 for D, K in pairwise(SIZES)]
    for layer, bound in zip(made().layers, bounds, strict=True):
        assert 0.98 * bound < np.abs(layer.weight.values).max() <= bound
        assert not np.any(layer.bias)


def test_biases_as_those_of_nn_linear_change_no_weight():
    plain, biased = made(way="twice"), made(way="twice-biased")
    assert all(np.array_equal(a, b) for a, b in zip(values(plain), values(biased), strict=True))
    for layer in biased.layers:
        bound = layer.in_features**-0.5
        assert -bound <= layer.bias.min() < -0.5 * bound
        assert 0.5 * bound < layer.bias.max() <= bound
    assert not any(np.any(layer.bias) for layer in plain.layers)


def test_float64_has_the_values_of_float32():
    one, other = made(), made(dtype=np.float64)
    assert other.dtype == np.float64
    assert patterns(one) == patterns(other)
    assert all(np.array_equal(a, b) for a, b in zip(values(one), values(other), strict=True))


@pytest.mark.parametrize(("sparsity", "logged"), [(0.99, 2287), (0.999, 20)])
def test_a_mask_drawn_twice_leaves_what_the_original_logged(sparsity, logged):
    counts = np.array([nonzeros(made(sparsity, seed, seed, way="twice")) for seed in range(5)])
    once = made(sparsity)
    expected = [layer.nnz**2 / (layer.in_features * layer.out_features) for layer in once.layers]
    assert np.all(np.abs(counts - expected) < 4 * np.sqrt(expected) + 1)
    assert abs(counts.sum(axis=1) - logged).max() < 4 * logged**0.5


def test_a_mask_drawn_twice_trains_as_many_weights_as_one():
    once, twice = made(0.99), made(0.99, way="twice")
    assert [layer.nnz for layer in twice.layers] == [layer.nnz for layer in once.layers]
    first = patterns(once)  # the first mask is the one that a network with one mask has
    for layer, (indptr, indices) in zip(twice.layers, first, strict=True):
        rows, columns, found = layer.entries()
        kept = set(zip(np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)).tolist(), indices, strict=True))
        both = np.array([position in kept for position in zip(rows.tolist(), columns.tolist(), strict=True)])
        assert np.array_equal(found != 0, both)


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="way is 'thrice'"):
        made(way="thrice")
