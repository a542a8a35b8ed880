"""From values of options to runs: every combination, each with a name for its folder."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

# An option is set to a word, is a flag that is on or off, or is not given (None).
Value = str | bool | None
Settings = Mapping[str, Value]
LONGEST = 180  # characters of a folder's name


def read_toml(path: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a TOML file says at its top, and each of its tables [[grid]].

    Dashes and underscores in names are the same. Raises OSError where there is no such file, and ValueError, which
    names it, where it is no TOML, or holds other tables.
    """
    try:
        with open(path, "rb") as stream:
            found = tomllib.load(stream)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: is no TOML ({error})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is no TOML (it is not UTF-8)") from None
    grids = found.pop("grid", [])
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
        raise ValueError(f"{path}: grid is a list of tables, each under a line [[grid]]")
    return _named(found, path), [_named(grid, path) for grid in grids]


def _named(table: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a table by the names that options have in Python."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if isinstance(value, dict) and name != "submitit":
            raise ValueError(f"{path}: [{key}] is a table; options stand at the top, or under [[grid]]")
        if name in found:
            raise ValueError(f"{path}: {key} is there twice")
        found[name] = value
    return found


def combinations(grids: Sequence[Mapping[str, Sequence[Value]]]) -> list[dict[str, Value]]:
    """Return every combination of the values in each grid, the last option varying first; each once.

    >>> combinations([{"density": ["0.1", "0.2"], "seed": ["1"]}])
    [{'density': '0.1', 'seed': '1'}, {'density': '0.2', 'seed': '1'}]
    """
    found: dict[tuple[tuple[str, Value], ...], dict[str, Value]] = {}
    for grid in grids:
        for values in product(*grid.values()):
            given: dict[str, Value] = {
                name: value for name, value in zip(grid, values, strict=True) if value not in (None, False)
            }
            found.setdefault(tuple(sorted(given.items())), given)
    return list(found.values())


def varied(settings: Sequence[Settings], order: Sequence[str] = ()) -> list[str]:
    """Return the options that are not the same in all settings; in this order, where they are in it.

    >>> varied([{"seed": "1", "epochs": "5"}, {"seed": "2", "epochs": "5"}])
    ['seed']
    """
    names = dict.fromkeys(name for each in settings for name in each)
    listed = [*(name for name in order if name in names), *(name for name in names if name not in order)]
    return [name for name in listed if len({each.get(name) for each in settings}) > 1]


def folder_names(settings: Sequence[Settings], order: Sequence[str] = ()) -> list[str]:
    """Return a name for the folder of each settings, made of the options that vary, in this order.

    >>> folder_names([{"density": "0.1", "seed": "1"}, {"density": "0.1", "seed": "2", "augment": True}])
    ['seed=1,augment=off', 'seed=2,augment=on']
    """
    names = varied(settings, order)
    flags = {name for name in names if any(isinstance(each.get(name), bool) for each in settings)}
    parts = [[f"{dashed(name)}={_word(each.get(name), name in flags)}" for name in names] for each in settings]
    found = [",".join(each) or "run" for each in parts]
    twice = {name for name in found if found.count(name) > 1} if len({*found}) < len(found) else set()
    return [
        f"{name[:LONGEST]}-{_digest(each)}" if name in twice or len(name) > LONGEST else name
        for name, each in zip(found, settings, strict=True)
    ]


def dashed(name: str) -> str:
    """Return the name of an option as it is written.

    >>> dashed("batch_norm")
    'batch-norm'
    """
    return name.replace("_", "-")


def _word(value: Value, flag: bool) -> str:
    """Return a value as a part of a file's name."""
    if flag:
        return "on" if value else "off"
    text = "none" if value is None else str(value)
    return re.sub(r"[^\w.,+-]", "-", Path(text).stem if "/" in text else text)


def _digest(settings: Settings) -> str:
    return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:8]


def as_argv(settings: Settings) -> list[str]:
    """Return settings as options of `nerva train`.

    >>> as_argv({"batch_size": "10", "augment": True, "topology": None})
    ['--batch-size', '10', '--augment']
    """
    argv = []
    for name, value in settings.items():
        if value is not None and value is not False:
            argv += [f"--{dashed(name)}", *([] if value is True else [value])]
    return argv
