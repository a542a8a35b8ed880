"""What a search tries: the values that settings may have, and which settings go with which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

Value = float | int | str


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones where both are.

    Parameters
    ----------
    low, high : the ends
    log : whether they are drawn evenly by their logarithms, which a learning rate is; the ends are then above 0

    Raises TypeError or ValueError for ends that are none.

    >>> str(Range(0.01, 0.3, log=True)), Range(1, 8).whole
    ('0.01..0.3:log', True)
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} is {value!r}; it must be a number")
            if not isfinite(value):
                raise ValueError(f"{name} is {value!r}; it must be finite")
        if not self.low < self.high:
            raise ValueError(f"low is {self.low!r}, which is not below high, {self.high!r}")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low!r}; with log it must be above 0")

    @property
    def whole(self) -> bool:
        """Whether the numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: Any, name: str) -> Value:
        """Return the value that an optuna.Trial suggests."""
        suggest = trial.suggest_int if self.whole else trial.suggest_float
        value: Value = suggest(name, self.low, self.high, log=self.log)
        return value

    def __str__(self) -> str:
        return f"{self.low!r}..{self.high!r}" + (":log" if self.log else "")


@dataclass(frozen=True)
class OneOf:
    """One of two or more values, numbers or words, which are all different; raises ValueError otherwise.

    >>> str(OneOf(("none", "rigl")))
    'none,rigl'
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise ValueError(f"{', '.join(map(str, self.values)) or 'nothing'} is no choice: name two values or more")
        for value in self.values:
            if self.values.count(value) > 1:
                raise ValueError(f"{value} is there twice")

    def suggest(self, trial: Any, name: str) -> Value:
        """Return the value that an optuna.Trial suggests."""
        value: Value = trial.suggest_categorical(name, self.values)
        return value

    def __str__(self) -> str:
        words = [str(value) for value in self.values]
        return ("/" if any("," in word for word in words) else ",").join(words)


@dataclass(frozen=True)
class When:
    """A condition: another setting of the space has one of these values."""

    name: str
    values: tuple[Value, ...]


class Space:
    """The settings that a search varies.

    Parameters
    ----------
    values : for each setting, by its name, a Range or a OneOf
    conditions : of settings that trials have only where another one, itself without a condition, has some values

    Raises ValueError, which names the setting, where nothing is varied, or a condition is about no setting.

    >>> space = Space({"method": OneOf(("set", "none")), "drop": Range(0.1, 0.5)}, {"drop": When("method", ("set",))})
    >>> import optuna
    >>> space.suggest(optuna.trial.FixedTrial({"method": "none"}))
    {'method': 'none'}
    """

    def __init__(self, values: Mapping[str, Range | OneOf], conditions: Mapping[str, When] | None = None) -> None:
        self.values, self.conditions = dict(values), dict(conditions or {})
        if not self.values:
            raise ValueError("values is empty: a search varies one setting or more")
        for name, condition in self.conditions.items():
            if name not in self.values:
                raise ValueError(f"conditions has {name}, which is not in the space")
            if condition.name not in self.values or condition.name in self.conditions:
                raise ValueError(f"{name}: its condition is about {condition.name}, which is no setting of every trial")

    def suggest(self, trial: Any) -> dict[str, Value]:
        """Return the settings that an optuna.Trial suggests, in the order of the space."""
        always = [name for name in self.values if name not in self.conditions]
        found = {name: self.values[name].suggest(trial, name) for name in always}
        for name, condition in self.conditions.items():
            if found[condition.name] in condition.values:
                found[name] = self.values[name].suggest(trial, name)
        return {name: found[name] for name in self.values if name in found}

    def __str__(self) -> str:
        return ", ".join(f"{name}={values}" for name, values in self.values.items())
