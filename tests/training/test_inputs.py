"""Samples in every form that users have them in."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import nerva
from nerva.training.samples import Samples


class Lazy:
    """What has `__array__`, and nothing else."""

    def __init__(self, X):
        self.X = X

    def __array__(self, dtype=None, copy=None):
        return self.X if dtype is None else self.X.astype(dtype)


KINDS = {"i": 0, "u": 1, "f": 2, "b": 20, "U": 21}


class Column:
    """A column of the data frame interchange protocol, and its own chunks."""

    def __init__(self, values, missing=0, offset=0, pieces=1):
        self.values, self.null_count, self.offset = values, missing, offset
        self.dtype = KINDS[values.dtype.kind], 8 * values.itemsize, values.dtype.str, "="
        self._pieces = pieces

    def size(self):
        return len(self.values) - self.offset

    def get_chunks(self):
        return [Column(piece, self.null_count, self.offset) for piece in np.array_split(self.values, self._pieces)]

    def get_buffers(self):
        return {"data": (self, None)}

    @property
    def ptr(self):
        return self.values.ctypes.data


class Frame:
    """What has the data frame interchange protocol, and nothing else."""

    def __init__(self, **columns):
        self._columns = columns

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self

    def column_names(self):
        return list(self._columns)

    def get_column_by_name(self, name):
        return self._columns[name]


def taken(X, dtype=np.float32):
    return Samples(X, 3, dtype).array


FORMS = [
    lambda X: X.astype(np.int64),
    lambda X: X.astype(np.int8),
    lambda X: X.astype(np.uint16),
    lambda X: X.astype(np.float16),
    lambda X: X.astype(np.longdouble),
    lambda X: X.astype(object),
    lambda X: X.tolist(),
    lambda X: X.astype(">f4"),
    Lazy,
    pd.DataFrame,
    lambda X: pd.DataFrame(X, columns=list("abc")).astype({"a": int, "b": "Float64", "c": np.uint8}),
    lambda X: pd.DataFrame(X, columns=list("abb")).astype(object),
    lambda X: pl.DataFrame(X),
    lambda X: pl.DataFrame(X, schema=list("abc")).with_columns(pl.col("a").cast(pl.Int32)),
    lambda X: Frame(a=Column(X[:, 0].copy()), b=Column(X[:, 1].astype(np.uint8)), c=Column(X[:, 2].astype(np.int16))),
    lambda X: Frame(**{name: Column(X[:, j].astype(np.float32), pieces=3) for j, name in enumerate("abc")}),
    lambda X: Frame(**{name: Column(np.append(7, X[:, j]), offset=1) for j, name in enumerate("abc")}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken(form, dtype):
    X = np.arange(30, dtype=np.float64).reshape(10, 3)
    np.testing.assert_array_equal(taken(form(X), dtype), X)
    model = nerva.MLP([3, 2], dtype=dtype)
    np.testing.assert_array_equal(model.predict_proba(form(X)), model.predict_proba(X))


def test_true_and_false_are_bytes_without_a_copy(tmp_path):
    X = np.eye(3, dtype=bool)
    assert taken(X).dtype == np.uint8
    assert np.shares_memory(taken(X), X)
    np.testing.assert_array_equal(taken(pd.DataFrame(X)), X)
    np.testing.assert_array_equal(
        taken(pd.DataFrame(X).assign(**{"2": 0.5}).iloc[:, [0, 1, 3]]), [[1, 0, 0.5], [0, 1, 0.5], [0, 0, 0.5]]
    )


def test_a_memory_map_is_read_where_it_is(tmp_path):
    X = np.memmap(tmp_path / "X", mode="w+", shape=(5, 3), dtype=np.float32)
    X[:] = 2
    assert np.shares_memory(taken(X), X)
    nerva.MLP([3, 2]).fit(X, [0, 1, 0, 1, 0], epochs=1)


def test_data_frames_train_as_their_numbers(rng):
    X, y = rng.standard_normal((30, 3)).astype(np.float32), rng.integers(0, 2, 30)
    losses = [
        nerva.MLP([3, 2]).fit(data, labels, validation=(data, labels), epochs=2, rng=0)["test_loss"]
        for data, labels in ((X, y), (pd.DataFrame(X), pd.Series(y)), (pl.DataFrame(X), pl.Series(y)))
    ]
    assert losses[0] == losses[1] == losses[2]


FRAME = pd.DataFrame({"age": [1, 2], "city": ["Rome", "Oslo"], "born": pd.to_datetime(["2001-01-01", "2002-01-01"])})


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ma.array(np.ones((2, 3)), mask=np.eye(2, 3)), "X is a masked array; fill what is missing"),
        (FRAME, r"X\['city'\] (holds 'Rome'|has dtype)"),
        (
            FRAME[["age", "age", "born"]].set_axis(list("abc"), axis=1),
            r"X\['c'\] (holds Timestamp|has dtype datetime64)",
        ),
        (pd.DataFrame({"a": [True, None], "b": True, "c": True}, dtype="boolean"), r"X\['a'\] holds <NA>, in sample 1"),
        (pl.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [1, 2]}), r"X\['b'\] (holds 'x', in sample 0|has dtype)"),
        (Frame(a=Column(np.ones(2)), b=Column(np.array(["x", "y"]))), r"X\['b'\] is of kind 21"),
        (Frame(a=Column(np.ones(2), missing=1)), r"X\['a'\] has 1 missing values"),
        (np.array([["1", "2", "3"]]), "X has dtype <U1; it must be real numbers"),
        (np.ones((2, 3), complex), "X has dtype complex128; it must be real numbers"),
        (np.array([[1, "2", 3]], object), r"X\[1\] holds '2', in sample 0"),
        (np.array([[1, None, 3]], object), r"X\[1\] holds None, in sample 0"),
    ],
)
def test_what_is_no_number_is_named(X, message):
    for use in (nerva.MLP([3, 2]).predict, lambda X: nerva.MLP([3, 2]).fit(X, [0, 1])):
        with pytest.raises(TypeError, match=message):
            use(X)


def test_numbers_beyond_the_dtype_of_the_network():
    with pytest.raises(ValueError, match=r"X\[0, 1\] is inf; every number must be finite in float32"):
        taken(np.array([[1, 1e300, 2]], np.longdouble))
    with pytest.raises(ValueError, match=r"X has shape \(2, 2\); it must be \(samples, 3\)"):
        taken(pd.DataFrame({"a": [1, 2], "b": [1, 2]}))
