"""Nested data taken apart into JSON and arrays, and put together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAY, NUMBER, TUPLE, DICT = "$array", "$number", "$tuple", "$dict"


def take_apart(value: Any) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return what JSON can hold of nested dicts, lists, tuples, numbers and strings, and their arrays by name.

    The name of an array is its path. Raises TypeError, which names the path, for anything else.

    >>> take_apart({"layers": [{"values": np.ones(2)}], "step": 3})
    ({'layers': [{'values': {'$array': 'layers.0.values'}}], 'step': 3}, {'layers.0.values': array([1., 1.])})
    """
    arrays: dict[str, NDArray[Any]] = {}
    return _apart(value, "", arrays), arrays


def put_together(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the data that `take_apart` made two of; raise ValueError where these do not go together.

    >>> put_together(*take_apart([(1, 2.5), {3: None}]))
    [(1, 2.5), {3: None}]
    """
    if isinstance(value, list):
        return [put_together(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()), ("", None))
    if not kind.startswith("$"):
        return {name: put_together(item, arrays) for name, item in value.items()}
    if kind in (ARRAY, NUMBER) and isinstance(content, str) and content in arrays:
        return arrays[content] if kind == ARRAY else arrays[content][()]
    if kind == TUPLE and isinstance(content, list):
        return tuple(put_together(item, arrays) for item in content)
    if kind == DICT and isinstance(content, list):
        return dict(_pair(item, arrays) for item in content)
    raise ValueError(f"its data are broken at {str(value)[:60]}")


def _apart(value: Any, path: str, arrays: dict[str, NDArray[Any]]) -> Any:
    within = f"{path}." if path else ""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        name, again = path, 1
        while name in arrays:  # of a key with a dot in it
            again += 1
            name = f"{path}#{again}"
        arrays[name] = np.asarray(value)
        return {ARRAY if isinstance(value, np.ndarray) else NUMBER: name}
    if type(value) in (list, tuple):
        items = [_apart(item, f"{within}{i}", arrays) for i, item in enumerate(value)]
        return items if type(value) is list else {TUPLE: items}
    if type(value) is dict:
        items = [(key, _apart(item, f"{within}{key}", arrays)) for key, item in value.items()]
        if all(type(key) is str and not key.startswith("$") for key in value):
            return dict(items)
        for key in value:
            if key is not None and type(key) not in (bool, int, float, str):
                raise TypeError(f"{path or 'the state'} has a key {key!r}, which a file cannot hold")
        return {DICT: [list(item) for item in items]}
    held = "numbers, strings, lists, tuples, dicts and arrays"
    raise TypeError(f"{path or 'the state'} is a {type(value).__name__}; a file holds {held}")


def _pair(item: Any, arrays: Mapping[str, NDArray[Any]]) -> tuple[Any, Any]:
    if not isinstance(item, list) or len(item) != 2 or isinstance(item[0], (list, dict)):
        raise ValueError("its data are broken: they have no pair of a key and a value where there must be one")
    return item[0], put_together(item[1], arrays)
