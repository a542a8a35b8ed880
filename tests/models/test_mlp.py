"""MLP: the layers it is made of."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import nerva

from ..reference import assert_same_bits

SIZES = [12, 8, 6, 4]


def network(**settings):
    return nerva.MLP(SIZES, **{"density": 0.5, "seed": 1} | settings)


def test_a_layer_of_density_one_is_dense_and_the_last_gives_logits(dtype):
    model = nerva.MLP([40, 30, 20, 10], density=[0.2, 1, 0.5], activation="tanh", dtype=dtype, backend="mkl")
    assert [type(layer) for layer in model.layers] == [nerva.SparseLinear, nerva.Linear, nerva.SparseLinear]
    assert [layer.activation for layer in model.layers] == ["tanh", "tanh", "identity"]
    assert [layer.nnz for layer in model.layers] == [240, 600, 100]
    assert [layer.backend for layer in model.layers[::2]] == ["mkl", "mkl"]
    assert {layer.dtype for layer in model.layers} == {model.dtype} == {dtype}
    assert (model.in_features, model.out_features, model.nnz, model.dense_size) == (40, 10, 940, 2000)
    assert model.density == 0.47


def test_the_short_way_is_the_long_way():
    short = nerva.MLP([40, 30, 10], density=0.1, seed=5, init="he")
    rng = np.random.default_rng(5)
    densities = nerva.erdos_renyi([(40, 30), (30, 10)], 0.1)
    hidden = nerva.SparseLinear(40, 30, density=densities[0], activation="relu", init="he", rng=rng)
    last = nerva.SparseLinear(30, 10, density=densities[1], init="he", rng=rng)
    long = nerva.Sequential([hidden, last], rng=rng)
    for one, other in zip(short.layers, long.layers, strict=True):
        assert_same_bits(one.weight.indices, other.weight.indices)
        assert_same_bits(one.weight.values, other.weight.values)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 40)), rng.integers(10, size=50)
    assert short.fit(X, y, epochs=2)["loss"] == long.fit(X, y, epochs=2)["loss"]


@pytest.mark.parametrize("density", [0.3, (0.3, 0.3, 0.3), [0.3] * 3, np.full(3, 0.3)])
def test_density_of_the_whole_or_of_each_layer(density):
    model = network(density=density, distribution="uniform")
    assert [layer.nnz for layer in model.layers] == [29, 14, 7]


@pytest.mark.parametrize(("sparse", "kind"), [(False, nerva.Linear), (True, nerva.SparseLinear)])
def test_full_layers_may_be_sparse_ones(sparse, kind):
    model = network(density=[0.3, 1.0, 1], sparse=sparse)
    assert [type(layer) for layer in model.layers] == [nerva.SparseLinear, kind, kind]
    assert [layer.density for layer in model.layers][1:] == [1, 1]


def test_a_seed_decides_supports_and_weights():
    one, same, other, drawn = network(), network(), network(seed=2), network(seed=np.random.default_rng(1))
    for layer, twin, stranger, generated in zip(one.layers, same.layers, other.layers, drawn.layers, strict=True):
        assert_same_bits(layer.weight.indices, twin.weight.indices)
        assert_same_bits(layer.weight.values, twin.weight.values)
        assert_same_bits(layer.weight.values, generated.weight.values)
        assert not np.array_equal(layer.weight.values, stranger.weight.values)
    assert not np.array_equal(network(seed=None).layers[0].weight.values, network(seed=None).layers[0].weight.values)


@pytest.mark.parametrize("kind", [np.asarray, csr_array, nerva.CSR.from_dense])
def test_a_layer_may_have_a_support_of_its_own(kind):
    mask = np.eye(30, 40)
    model = nerva.MLP([40, 30, 20, 10], density=0.25, support=[kind(mask), "fan-in", None], distribution="uniform")
    np.testing.assert_array_equal(model.layers[0].dense_weight() != 0, mask != 0)
    assert [layer.density for layer in model.layers[1:]] == [0.25, 0.25]
    assert set(np.diff(model.layers[1].weight.indptr)) <= {7, 8}
    shared = nerva.MLP([40, 30, 20, 10], density=0.25, support=[kind(mask), None, None])
    expected = nerva.erdos_renyi([(30, 20), (20, 10)], 0.25)
    assert [layer.density for layer in shared.layers[1:]] == pytest.approx(expected, abs=0.003)
    dense = nerva.MLP([40, 30, 20, 10], support=[kind(mask), None, None])
    assert [type(layer) for layer in dense.layers] == [nerva.SparseLinear, nerva.Linear, nerva.Linear]
    each = nerva.MLP([40, 30, 20, 10], density=[None, 0.1, 1.0], support=[kind(mask), None, None])
    assert [layer.nnz for layer in each.layers] == [30, 60, 200]


def test_supports_by_name_are_those_of_one_name():
    one, each = (nerva.MLP([40, 30, 10], density=0.2, support=s, seed=0) for s in ("fan-in", ["fan-in", "fan-in"]))
    for mine, theirs in zip(one.layers, each.layers, strict=True):
        np.testing.assert_array_equal(mine.dense_weight(), theirs.dense_weight())


@pytest.mark.parametrize(
    ("changed", "error", "name"),
    [
        ({"sizes": []}, ValueError, "sizes"),
        ({"sizes": [5]}, ValueError, "sizes"),
        ({"sizes": [5, 0, 3]}, ValueError, "sizes"),
        ({"sizes": [5, 2.5, 3]}, ValueError, "sizes"),
        ({"sizes": [5, "7", 3]}, ValueError, "sizes"),
        ({"sizes": 5}, (TypeError, ValueError), "sizes"),
        ({"density": 1.5}, ValueError, "density"),
        ({"density": "0.5"}, TypeError, "density"),
        ({"density": "10"}, TypeError, "density"),
        ({"density": None}, TypeError, "density"),
        ({"density": [0.5]}, ValueError, "density"),
        ({"density": [0.5, -1]}, ValueError, r"density\[1\]"),
        ({"density": np.full((2, 1), 0.5)}, (TypeError, ValueError), "density"),
        ({"distribution": "golden"}, ValueError, "distribution"),
        ({"activation": "swish"}, ValueError, "activation"),
        ({"activation": ["relu", "relu"]}, (TypeError, ValueError), "activation"),
        ({"init": "golden"}, ValueError, "init"),
        ({"dtype": "float16"}, ValueError, "dtype"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": "now"}, TypeError, "seed"),
        ({"backend": "cuda"}, ValueError, "backend"),
        ({"sparse": 1}, TypeError, "sparse"),
        ({"support": "golden"}, ValueError, "support"),
        ({"support": 3}, TypeError, "support"),
        ({"support": ["random"]}, ValueError, "support has 1 entries; there are 2 layers"),
        ({"support": ["random", "golden"]}, ValueError, "support"),
        ({"support": np.eye(4, 5)}, TypeError, r"support is a matrix, \(4, 5\); give a list"),
        ({"support": [np.eye(5), None]}, ValueError, r"support has shape \(5, 5\); it must be \(4, 5\)"),
        ({"support": [np.eye(4, 5), None], "density": [0.5, 0.5]}, ValueError, r"density\[0\] is 0.5; it must be None"),
        ({"support": [np.eye(4, 5), None], "density": [None, None]}, TypeError, r"density\[1\]"),
        ({"density": 1e-9}, ValueError, "density is 1e-09; a network of .* no weight at all"),
        ({"density": 0}, ValueError, "density is 0; a network of .* no weight at all"),
        ({"density": [0, 0.0]}, ValueError, r"density is \[0, 0.0\]; a network of .* no weight at all"),
    ],
)
def test_a_wrong_argument_of_mlp_is_named(changed, error, name):
    with pytest.raises(error, match=rf"\b{name}"):
        nerva.MLP(**{"sizes": [5, 4, 3], "density": 0.5} | changed)


def test_a_layer_that_gets_no_weight_is_told_of():
    with pytest.warns(RuntimeWarning, match="density is 0.01; linear layer 1, 8-4, has no weight at all then"):
        model = nerva.MLP([12, 8, 4], density=0.01, batch_norm=True)
    assert [layer.nnz for layer in model.layers] == [1, 0, 0]


@pytest.mark.parametrize("topology", [None, nerva.RigL(every=3), nerva.SNFS(), nerva.GMP(0.1, every=3), nerva.DeepR()])
@pytest.mark.parametrize("density", [[0, 0.5], [0.5, 0.0]])
def test_a_layer_of_density_0_has_its_bias_alone(tmp_path, density, topology):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 12)), np.minimum(np.arange(90) % 6, 3)
    model = nerva.MLP([12, 8, 4], density=density, seed=1)
    empty = model.layers[density.index(0)]
    model.fit(X, y, epochs=4, batch_size=10, validation=(X, y), topology=topology, schedule=0.1)
    assert (empty.nnz, empty.density) == (0, 0)
    np.testing.assert_array_equal(model.predict(X), 3)  # the most frequent class, whatever the sample
    assert model.evaluate(X, y).accuracy == 0.5
    nerva.save(model, tmp_path / "model")
    np.testing.assert_array_equal(nerva.load(tmp_path / "model").predict_proba(X), model.predict_proba(X))
    nerva.save_weights(model, tmp_path / "weights.npz")
    assert nerva.load_weights(tmp_path / "weights.npz").layers[density.index(0)].nnz == 0
