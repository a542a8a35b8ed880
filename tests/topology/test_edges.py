"""Supports from a list of edges between named inputs and outputs."""

import numpy as np
import pandas
import polars
import pytest

import nerva

EDGES = [("b", "y"), ("a", "x"), ("c", "x"), ("d", "y")]
WANTED = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]])
INPUTS, OUTPUTS = list("abcd"), list("xyz")


def support_of(edges=EDGES, inputs=INPUTS, outputs=OUTPUTS):
    return nerva.support_from_edges(edges, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize(
    "edges",
    [
        EDGES,
        [list(edge) for edge in EDGES],
        dict(EDGES).items(),
        np.array(EDGES),
        pandas.DataFrame(EDGES, columns=["gene", "pathway"]),
        polars.DataFrame(EDGES, schema=["gene", "pathway"], orient="row"),
    ],
)
@pytest.mark.parametrize("names", [list, tuple, np.array, pandas.Index, polars.Series])
def test_edges_are_the_weights(edges, names):
    np.testing.assert_array_equal(support_of(edges, names(INPUTS), names(OUTPUTS)).to_dense(), WANTED)


def test_edges_may_come_one_by_one():
    np.testing.assert_array_equal(support_of(iter(EDGES), iter(INPUTS), iter(OUTPUTS)).to_dense(), WANTED)


def test_names_are_any_that_can_be_keys():
    found = support_of([(3, None), ((1, 2), "x")], [3, (1, 2)], ["x", None])
    np.testing.assert_array_equal(found.to_dense(), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"edges": [("a", "x"), ("q", "x")]}, "edges name 'q', which is no inputs"),
        ({"edges": [("a", "x"), ("a", "q"), ("b", "r")]}, "edges name 'q', 'r', which are no outputs"),
        ({"edges": [(i, "x") for i in range(9)]}, r"edges name 0, 1, 2, 3, 4 and 4 more, which are no inputs"),
        ({"edges": [*EDGES, ("a", "x"), ("b", "y")]}, r"edges holds \('a', 'x'\), \('b', 'y'\) more than once"),
        ({"edges": []}, "edges is empty"),
        ({"edges": [("a", "x"), ("a", "x", 1)]}, r"edges\[1\] is \('a', 'x', 1\); it must be a pair"),
        ({"edges": ["ax"]}, r"edges\[0\] is 'ax'; it must be a pair"),
        ({"edges": [(["a"], "x")]}, r"edges\[0\] is \(\['a'\], 'x'\); it must be a pair"),
        ({"edges": "ax"}, "edges is 'ax'; it must be a list of pairs"),
        ({"edges": 3}, "edges is 3; it must be a list of pairs"),
        ({"edges": pandas.DataFrame(EDGES).assign(weight=1)}, r"edges has the columns \[0, 1, 'weight'\]"),
        ({"inputs": ["a", "b", "a", "b", "c"]}, "inputs holds 'a', 'b' more than once"),
        ({"outputs": ["x", "x"]}, "outputs holds 'x' more than once"),
        ({"outputs": []}, "outputs is empty"),
        ({"inputs": "abcd"}, "inputs is 'abcd'; it must be a list of names"),
        ({"inputs": 4}, "inputs is 4; it must be a list of names"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        support_of(**arguments)


def test_a_layer_takes_it():
    support = support_of()
    layer = nerva.SparseLinear(4, 3, support=support)
    np.testing.assert_array_equal(layer.dense_weight() != 0, WANTED)
    layer.rewire(np.array([0]), np.array([11]))
    np.testing.assert_array_equal(support.to_dense(), WANTED)  # the layer has a pattern of its own
    assert not any(map(np.shares_memory, nerva.supports.from_mask(support), (support.indptr, support.indices)))


def test_layers_of_named_neurons():
    first, second = support_of(), support_of([("x", "top"), ("y", "top")], OUTPUTS, ["top", "rest"])
    model = nerva.MLP([4, 3, 2, 1], support=[first, second, None])
    assert [layer.nnz for layer in model.layers] == [4, 2, 2]
