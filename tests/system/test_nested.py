"""Nested data as JSON and arrays."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva.system.nested import put_together, take_apart

WORDS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
KEYS = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["$array", "$dict", "a.b"])
NESTED = st.recursive(
    WORDS, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner), max_leaves=20
)


def same(one, other):
    if isinstance(one, np.ndarray | np.generic):
        return type(one) is type(other) and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and all(same(one[key], other[key]) for key in one)
    return one == other


@given(NESTED)
def test_there_and_back(value):
    plain, arrays = take_apart(value)
    assert same(put_together(json.loads(json.dumps(plain)), arrays), value)


def test_arrays_have_their_paths_as_names():
    value = {"a": [np.ones(2), (np.float32(3),)], "a.0": np.zeros(1), "b": {"c": np.array(4)}}
    plain, arrays = take_apart(value)
    assert sorted(arrays) == ["a.0", "a.0#2", "a.1.0", "b.c"]
    assert same(put_together(plain, arrays), value)


@pytest.mark.parametrize("value", [{"a": [{1}]}, {"a": [b"x"]}, {"a": [lambda: 0]}])
def test_what_a_file_cannot_hold_is_refused_by_its_path(value):
    with pytest.raises(TypeError, match=r"a\.0 is a .*; a file holds numbers"):
        take_apart(value)


def test_keys_that_a_file_cannot_hold_are_refused():
    with pytest.raises(TypeError, match=r"a has a key \(1, 2\)"):
        take_apart({"a": {(1, 2): 3}})


@pytest.mark.parametrize("value", [{"$array": "b"}, {"$array": 3}, {"$tuple": 3}, {"$dict": [1]}, {"$x": 1},
                                   {"$dict": [[[], 1]]}])  # fmt: skip
def test_broken_data_are_refused(value):
    with pytest.raises(ValueError, match="its data are broken"):
        put_together([value], {"a": np.ones(1)})
