"""Validate arguments: every error names the argument, its value and what it must be.

Each check returns the value, converted, or raises TypeError for a value of another kind and ValueError for one out of
range. `name` is that of the argument in messages.
"""

import difflib
from collections.abc import Collection, Iterable, Sequence
from math import inf, isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

RATES = ("lr", "learning_rate", "rate")  # as others call it


def check_integer(value: Any, name: str, *, least: int | None = None, most: int | None = None) -> int:
    """Return an integer from `least` to `most` as an int; a bool is not one.

    >>> check_integer(np.int64(3), "epochs", least=1)
    3
    >>> check_integer(0, "epochs", least=1)
    Traceback (most recent call last):
    ValueError: epochs is 0; it must be at least 1
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; it must be an integer")
    if (least is not None and value < least) or (most is not None and value > most):
        wanted = f"at least {least}" if most is None else f"within {least} to {most}"
        raise ValueError(f"{name} is {value}; it must be {wanted}")
    return int(value)


def check_number(value: Any, name: str, *, wanted: str = "finite") -> float:
    """Return a finite real number as a float; a bool or a string is not one.

    `wanted` says in messages what the number must be.

    >>> check_number("1", "rate")
    Traceback (most recent call last):
    TypeError: rate is '1'; it must be a number, finite
    """
    if isinstance(value, (bool, np.bool_, str, bytes)) or np.ndim(value) != 0 or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is {value!r}; it must be a number, {wanted}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} is {value!r}; it must be a number, {wanted}") from None
    if not isfinite(number):
        raise ValueError(f"{name} is {value}; it must be {wanted}")
    return number


def check_not_negative(value: Any, name: str) -> float:
    """Return a finite number from 0 on as a float."""
    return _check_range(value, name, 0.0 <= _comparable(value) < inf, "finite and not negative")


def check_positive(value: Any, name: str) -> float:
    """Return a finite number above 0 as a float."""
    return _check_range(value, name, 0.0 < _comparable(value) < inf, "finite and above 0")


def check_fraction(value: Any, name: str) -> float:
    """Return a number from 0 to 1, both included, as a float.

    >>> check_fraction(1.5, "density")
    Traceback (most recent call last):
    ValueError: density is 1.5; it must be within 0 to 1
    """
    return _check_range(value, name, 0.0 <= _comparable(value) <= 1.0, "within 0 to 1")


def check_below_one(value: Any, name: str) -> float:
    """Return a number from 0 to below 1 as a float."""
    return _check_range(value, name, 0.0 <= _comparable(value) < 1.0, "from 0 to below 1")


def check_proper_fraction(value: Any, name: str) -> float:
    """Return a number above 0 and below 1 as a float."""
    return _check_range(value, name, 0.0 < _comparable(value) < 1.0, "above 0 and below 1")


def _comparable(value: Any) -> float:
    """Return the value as a float; NaN, which is in no range, for anything but a number."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _check_range(value: Any, name: str, within: bool, wanted: str) -> float:
    """Return the value as a float if it is a number `within` its range."""
    number = check_number(value, name, wanted=wanted)
    if not within:
        raise ValueError(f"{name} is {value}; it must be {wanted}")
    return number


def check_ascending(values: Any, name: str) -> None:
    """Raise TypeError where values are not a sequence of numbers, ValueError where they do not ascend from 0.

    >>> check_ascending((75, 50), "milestones")
    Traceback (most recent call last):
    ValueError: milestones is [75, 50]; they must ascend from 0
    """
    try:
        ascending = all(isfinite(value) and value >= 0 for value in values) and list(values) == sorted(values)
    except TypeError:
        raise TypeError(f"{name} is {values!r}; it must be a sequence of numbers") from None
    if not ascending:
        raise ValueError(f"{name} is {list(values)}; they must ascend from 0")


def check_flag(value: Any, name: str) -> bool:
    """Return True or False, NumPy's included, as a bool; raise TypeError for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}; it must be True or False")
    return bool(value)


def check_choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """Return a word if it is one of the choices; raise ValueError, which lists them, for anything else.

    >>> check_choice("lively", "fan", ("dense", "live"))
    Traceback (most recent call last):
    ValueError: fan is 'lively'; it must be one of dense, live
    """
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
    return value


def check_sizes(sizes: Any) -> list[int]:
    """Return the numbers of features from input to output, at least two, as a list of positive integers.

    Raises TypeError for anything but a sequence, ValueError for its entries.
    """
    if not isinstance(sizes, (Sequence, Iterable)) or isinstance(sizes, (str, bytes)):
        raise TypeError(f"sizes is {sizes!r}; it must be at least two positive integers")
    sizes = list(sizes)
    integers = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in sizes)
    if len(sizes) < 2 or not integers:
        raise ValueError(f"sizes is {sizes}; it must be at least two positive integers")
    return [int(n) for n in sizes]


def check_features(n: Any, name: str) -> int:
    """Return a number of features, from 1 to 2**31 - 1: indices are int32."""
    return check_integer(n, name, least=1, most=2**31 - 1)


def check_shape(array: npt.ArrayLike, name: str, wanted: Array) -> Array:
    """Return an array of real numbers of the shape of another array, which it is to be copied to.

    Raises ValueError for another shape, TypeError for a dtype that is not of real numbers.
    """
    array = np.asarray(array)
    if array.shape != wanted.shape:
        raise ValueError(f"{name} has shape {array.shape}; it must be {wanted.shape}")
    if not np.can_cast(array.dtype, wanted.dtype, "same_kind"):
        raise TypeError(f"{name} has dtype {array.dtype}; it must be real numbers")
    return array


def check_weights(values: npt.ArrayLike, name: str) -> Array:
    """Return weights of classes or outputs as float64 (n,): finite, not negative, with a positive sum in float32.

    Raises ValueError for anything else.
    """
    vector = np.asarray(values)
    if vector.ndim != 1 or vector.dtype.kind not in "fiu":
        raise ValueError(f"{name} has shape {vector.shape} and dtype {vector.dtype}; it must be a vector of numbers")
    if not np.isfinite(vector).all() or (vector < 0).any():
        raise ValueError(f"{name} holds a number that is negative or not finite")
    with np.errstate(over="ignore"):
        total = vector.sum(dtype=np.float64)
    if vector.size and not 0 < total <= np.finfo(np.float32).max:
        raise ValueError(f"{name} has the sum {total}; it must be above 0, and within float32")
    return vector.astype(np.float64)


def real_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return the dtype if it is float32 or float64; raise TypeError for what is not a dtype, ValueError for others."""
    try:
        result = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype is {dtype!r}; it must be float32 or float64") from None
    if dtype is None or result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype is {dtype!r}; it must be float32 or float64")
    return result


def as_generator(rng: np.random.Generator | int | None, name: str = "rng") -> np.random.Generator:
    """Return the generator itself, one of a seed, or a fresh one for None."""
    if rng is not None and not isinstance(rng, (np.random.Generator, int, np.integer)):
        raise TypeError(f"{name} is {type(rng).__name__}; it must be a numpy.random.Generator, a seed or None")
    if isinstance(rng, (int, np.integer)) and rng < 0:
        raise ValueError(f"{name} is {rng}; a seed must not be negative")
    return np.random.default_rng(rng)


def refuse_keywords(given: Iterable[str], known: Collection[str], name: str) -> None:
    """Raise TypeError for the first keyword that a function does not have, and say which one may have been meant.

    >>> refuse_keywords(["lr"], ["X", "y", "schedule"], "fit")
    Traceback (most recent call last):
    TypeError: fit() got an unexpected keyword argument 'lr'; the learning rate is schedule=
    """
    for unknown in given:
        if unknown not in known:
            rate = next((own for own in ("schedule", "rate") if own in known and unknown in RATES), None)
            alike = difflib.get_close_matches(unknown, known, n=1)
            hint = f"; the learning rate is {rate}=" if rate else f"; did you mean {alike[0]}=?" if alike else ""
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown!r}{hint}")
