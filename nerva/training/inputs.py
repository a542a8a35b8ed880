"""Samples as users have them, as an array that the kernels read: of any real numbers, or a data frame."""

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nerva._kernels.memory import Array

READ = (np.float32, np.float64, np.uint8)  # what kernels gather from as it is
NUMBERS = {0: "i", 1: "u", 2: "f", 20: "b"}  # kinds of the data frame interchange protocol


def as_dense(X: object, name: str, dtype: np.dtype[Any]) -> Array:
    """Return samples as an array of float32, float64 or uint8, without a copy where they are that already.

    Booleans are taken as bytes, float16 becomes float32, other numbers become `dtype`. A data frame of numbers is taken
    by `__array__` or the data frame interchange protocol.

    Raises TypeError, which names the column, for what is no number, and for a masked array.

    >>> as_dense(np.array([[True, False]]), "X", np.dtype(np.float32))
    array([[1, 0]], dtype=uint8)
    """
    if np.ma.isMaskedArray(X):
        raise TypeError(f"{name} is a masked array; fill what is missing, as with {name}.filled(0)")
    if not isinstance(X, np.ndarray) and not hasattr(X, "__array__") and hasattr(X, "__dataframe__"):
        return _of_columns(_interchanged(X, name), name, dtype)
    try:
        array = np.asarray(X)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name} is no array: {error}") from None
    if array.dtype.type in READ:
        return array
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind in "iuf":
        with np.errstate(over="ignore"):  # what overflows is not finite, which is found later
            return array.astype(np.float32 if array.dtype == np.float16 else dtype)
    if array.ndim == 2 and (array.dtype == object or hasattr(X, "columns")):
        return _of_columns(_columns(X, array), name, dtype)
    raise TypeError(f"{name} has dtype {array.dtype}; it must be real numbers, such as float32, float64 or uint8")


def kept_dtype(given: np.dtype[Any], dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that samples of a given one have in memory for a network of `dtype`: as `as_dense` makes it.

    >>> kept_dtype(np.dtype(np.int64), np.dtype(np.float32)), kept_dtype(np.dtype(np.uint8), np.dtype(np.float32))
    (dtype('float32'), dtype('uint8'))
    """
    if given.type in READ:
        return given.newbyteorder("=")
    return np.dtype(np.uint8) if given.kind == "b" else np.dtype(np.float32) if given == np.float16 else dtype


def _of_columns(columns: Iterable[tuple[Any, Array]], name: str, dtype: np.dtype[Any]) -> Array:
    """Return the columns side by side; raise TypeError, which names it, for one that is not of real numbers."""
    checked = [_numbers(column, f"{name}[{label!r}]", dtype) for label, column in columns]
    return np.stack(checked, axis=1) if checked else np.empty((0, 0), dtype)


def _numbers(column: Array, name: str, dtype: np.dtype[Any]) -> Array:
    if column.dtype == object:
        for i, value in enumerate(column):
            if not isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
                raise TypeError(f"{name} holds {value!r}, in sample {i}; every feature must be a number")
    elif column.dtype.kind not in "iufb":
        raise TypeError(f"{name} has dtype {column.dtype}; every feature must be a number")
    with np.errstate(over="ignore"):
        return column.astype(dtype)


def _columns(X: Any, array: Array) -> Iterator[tuple[Any, Array]]:
    """Yield the columns of a data frame by their names, those of an array by their numbers."""
    labels = getattr(X, "columns", None)
    if labels is None or not hasattr(X, "__getitem__") or len(set(labels)) != array.shape[1]:
        yield from ((j, array[:, j]) for j in range(array.shape[1]))
    else:
        yield from ((label, np.asarray(X[label])) for label in labels)


def _interchanged(X: Any, name: str) -> Iterator[tuple[str, Array]]:
    """Yield the columns of a data frame that has the interchange protocol alone, by their names."""
    frame = X.__dataframe__()
    for label in frame.column_names():
        column = frame.get_column_by_name(label)
        if column.null_count:
            raise TypeError(f"{name}[{label!r}] has {column.null_count} missing values; every feature must be a number")
        yield label, np.concatenate([_values(chunk, f"{name}[{label!r}]") for chunk in column.get_chunks()])


def _values(column: Any, name: str) -> Array:
    kind, bits = column.dtype[:2]
    if int(kind) not in NUMBERS or bits not in (8, 16, 32, 64):
        raise TypeError(f"{name} is of kind {kind}, {bits} bits; every feature must be a number of whole bytes")
    dtype, size = np.dtype(f"{NUMBERS[int(kind)]}{bits // 8}"), column.size()
    data, _ = column.get_buffers()["data"]
    if size == 0:
        return np.empty(0, dtype)
    first = data.ptr + column.offset * dtype.itemsize
    view = np.frombuffer((ctypes.c_char * (size * dtype.itemsize)).from_address(first), dtype)
    return view.copy()  # the memory is the frame's
