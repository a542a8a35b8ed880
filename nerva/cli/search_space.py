"""What `nerva search` varies: values of options of `nerva train` as words, and what goes with what in a trial."""

from __future__ import annotations

import re
import tomllib
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from nerva.cli.choices import CRITERIA, LOSSES, LOSSES_OF, OPTIMIZERS, SCHEDULES, TOPOLOGIES
from nerva.cli.rules import flag
from nerva.experiments.space import OneOf, Range, Space, Value, When

Error = Callable[[str], NoReturn]
Fixed = Mapping[str, str | None]  # options by their names in a Namespace; None is a flag that is given
RANGE = re.compile(r"(.*?[^.])\.\.([^.].*?)(:log)?")
# Options that all trials have in common: the data, which are read once, and how long a trial is.
COMMON = (
    "data", "target", "drop", "data_dir", "test_fraction", "task", "preprocess", "epochs", "load_weights", "help",
)  # fmt: skip
# For each option that goes with some values of another one: that one, and those values.
TAKERS = {
    **{
        option: (table.option, tuple(table.taking(option)))
        for table in (OPTIMIZERS, LOSSES, SCHEDULES, TOPOLOGIES, CRITERIA)
        for option in table.options()
    },
    "power_scale": ("distribution", ("erdos-renyi",)),
}
REQUIRED = {
    (table.option, name): row.required for table in (TOPOLOGIES, CRITERIA) for name, row in table.rows.items()
}  # of the values of an option, other options


@dataclass(frozen=True)
class Settings:
    """What holds for all trials, and what is varied.

    Parameters
    ----------
    fixed : options of `nerva train` that are given
    space : what is varied, by the names of options on the command line, without their dashes
    flags : options without a value
    defaults : of the options that say which others go along, where they are not given
    """

    fixed: Fixed
    space: Space
    flags: frozenset[str]
    defaults: Mapping[str, str | None]

    def has(self, option: str) -> bool:
        """Whether an option is given, or varied."""
        return option in self.fixed or dashed(option) in self.space.values

    def called(self, option: str) -> str:
        """Return an option as it is written on the command line of the search."""
        return f"--over {dashed(option)}" if dashed(option) in self.space.values else flag(option)

    def possible(self, option: str) -> Sequence[Value | None]:
        """Return the values that an option may have in a trial; None where it may not be there."""
        values = self.space.values.get(dashed(option))
        if isinstance(values, OneOf):
            return values.values
        return [self.fixed.get(option, self.defaults.get(option))]

    def words(self, params: Mapping[str, Value]) -> list[str]:
        """Return the options of `nerva train` of a trial, without those that do not go with its methods."""
        given = {**self.fixed, **{name.replace("-", "_"): _word(value) for name, value in params.items()}}
        words = []
        for option, word in given.items():
            other, values = TAKERS.get(option, ("", ()))
            if other and given.get(other, self.defaults.get(other)) not in values:
                continue
            if option in self.flags:
                words += [flag(option)] if word in (None, "yes") else []
            elif word != "none" or option in ("hidden", "milestones"):
                words += [flag(option), str(word)]
        return words

    def first(self) -> dict[str, Value]:
        """Return the lowest, or the first, of the values of each option that is varied."""
        return {n: v.low if isinstance(v, Range) else v.values[0] for n, v in self.space.values.items()}

    def check(self, error: Error) -> None:
        """Refuse options that go with no method that may be tried, and methods without an option that they need."""
        for option, (other, values) in TAKERS.items():
            if self.has(option) and not set(values) & set(self.possible(other)):
                error(f"{self.called(option)}: goes with {flag(other)} {' or '.join(values)}")
        for (option, name), required in REQUIRED.items():
            for needed in required:
                if name in self.possible(option) and not self.has(needed):
                    error(f"{self.called(option)}: {name} needs {flag(needed)}, given or varied")


def dashed(option: str) -> str:
    """Return the name of an option on the command line, without the dashes before it.

    >>> dashed("learning_rate")
    'learning-rate'
    """
    return flag(option).removeprefix("--")


def _word(value: Value) -> str:
    return value if isinstance(value, str) else repr(value)


def read_words(words: Sequence[str], train: Any, error: Error) -> dict[str, str | None]:
    """Return the options of `nerva train` in these words; call `error` for one without its value."""
    fixed: dict[str, str | None] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        action = train._option_string_actions.get(name)
        if action is None:
            train.refuse(name + equals + value)
        if action.nargs == 0:
            if equals:
                error(f"{name}: takes no value")
            fixed[action.dest] = None
        else:
            if not equals and not rest:
                error(f"{name}: expected one argument")
            fixed[action.dest] = value if equals else rest.pop(0)
    return fixed


def find_settings(over: Sequence[str], file: str | None, fixed: Fixed, train: Any, error: Error) -> Settings:
    """Return what holds for all trials, and what is varied: as --over and the file of --space say, or by default."""
    actions = {action.dest: action for action in train._actions}
    defaults = {option: actions[option].default for option, _ in TAKERS.values()}
    defaults |= {"loss": LOSSES_OF["classification"][0], "distribution": "erdos-renyi"}
    given: dict[str, str | list[str]] = {} if file is None else read_space(file, error)
    for text in over:
        name, equals, words = text.partition("=")
        if not equals or not words:
            error(f"--over {text}: write NAME=VALUES, as learning-rate=0.01..0.3:log or topology=none,rigl")
        given[dashed(name.replace("-", "_"))] = words
    if not over and file is None:
        given = {**default_space(fixed, defaults)}
    values = {name: _values(name, chosen, fixed, actions, error) for name, chosen in given.items()}
    for option, default in defaults.items():  # of which options that go along depend
        if default is not None and isinstance(one := values.get(dashed(option)), OneOf) and "none" in one.values:
            error(f"--over {dashed(option)}: 'none' would be {default}; name it")
    if not values:
        error(
            "--space: the file names no option" if file else "--over: every option that is varied by default is given"
        )
    conditions = {}
    for name in values:
        other, names = TAKERS.get(name.replace("-", "_"), ("", ()))
        if other and dashed(other) in values:
            conditions[name] = When(dashed(other), names)
    flags = frozenset(option for option, action in actions.items() if action.nargs == 0)
    return Settings(fixed, Space(values, conditions), flags, defaults)


def _values(name: str, given: str | list[str], fixed: Fixed, actions: Mapping[str, Any], error: Error) -> Range | OneOf:
    """Return the values of an option that are to be tried; call `error` where they are none of it."""
    option, where = name.replace("-", "_"), f"--over {name}"
    if option not in actions or option in COMMON:
        reason = "is the same in all trials" if option in actions else "is no option of nerva train"
        error(f"{where}: {reason}")
    if option in fixed:
        error(f"{where}: {flag(option)} is given, too")
    action = actions[option]
    try:
        if isinstance(given, str) and (ends := RANGE.fullmatch(given)):
            low, high = (None if action.type is None else action.type(end) for end in ends.groups()[:2])
            if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
                raise ValueError("takes no range, but values: A,B (of lists: A,B/C)")
            return Range(low, high, log=ends[3] is not None)
        words = _split(given, action) if isinstance(given, str) else given
        for word in words:
            _check(word, action)
        return OneOf(tuple(words))
    except (ArgumentTypeError, ValueError) as problem:
        error(f"{where}: {problem}")


def _split(text: str, action: Any) -> list[str]:
    """Return the words of a choice: separated by commas, or by slashes where the option takes lists with commas."""
    first = text.split(",")[0].split("/")[0]
    lists = action.type is not None and first != "none" and isinstance(action.type(first), list)
    return text.split("/" if lists or "/" in text else ",")


def _check(word: str, action: Any) -> None:
    """Raise ArgumentTypeError for a word that the option does not take."""
    if action.nargs == 0:
        if word not in ("yes", "no"):
            raise ArgumentTypeError(f"{word!r} is neither yes nor no")
    elif action.choices is not None:
        if word not in (*action.choices, "none"):
            raise ArgumentTypeError(f"{word!r} is none of {', '.join(action.choices)}, nor none")
    elif word != "none" and action.type is not None:
        action.type(word)


def read_space(path: str, error: Error) -> dict[str, str | list[str]]:
    """Return what a TOML file says of options: the text of --over, a list of values, or a table low, high, log."""
    try:
        with open(path, "rb") as stream:
            found = tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        error(f"--space {path}: is no TOML ({problem})")
    space: dict[str, str | list[str]] = {}
    for key, value in found.items():
        if isinstance(value, list):
            value = [_plain(item) for item in value]
        elif isinstance(value, dict):
            if not {"low", "high"} <= {*value} <= {"low", "high", "log"}:
                error(f"--space {path}: {key} must have low and high, and may have log; it has {', '.join(value)}")
            value = f"{value['low']}..{value['high']}" + (":log" if value.get("log") else "")
        elif not isinstance(value, str):
            error(f"--space {path}: {key} is {value!r}; it must be a text, a list, or a table of low and high")
        space[dashed(key.replace("-", "_"))] = value
    return space


def _plain(item: Any) -> str:
    """Return an item of a list in a TOML file as a word of the command line."""
    if isinstance(item, list):
        return ",".join(map(_plain, item)) or "none"
    return ("no", "yes")[item] if isinstance(item, bool) else str(item)


def default_space(fixed: Fixed, defaults: Mapping[str, str | None]) -> dict[str, str]:
    """Return what is varied where nothing is said: of these, what is not given and goes with what is."""
    optimizer = OPTIMIZERS.rows.get(fixed.get("optimizer") or str(defaults["optimizer"]))
    rate = {**OPTIMIZERS.defaults, **(optimizer.defaults if optimizer else {})}["learning_rate"]
    space = {"learning_rate": f"{rate / 10:g}..{rate * 10:g}:log", "weight_decay": "1e-06..0.001:log"}
    if not {"densities", "power_scale", "prune_at_start"} & {*fixed}:
        space["distribution"] = "erdos-renyi,uniform"
    methods = ["none", "set", "rigl"]
    if "topology" in fixed:
        methods = [fixed["topology"] or ""]
    elif fixed.get("density") != "1":
        space["topology"] = ",".join(methods)
    if {*methods} & {*TAKERS["drop_fraction"][1]} and fixed.get("density") != "1":
        space["drop_fraction"] = "0.05..0.5"
    return {dashed(option): values for option, values in space.items() if option not in fixed}
