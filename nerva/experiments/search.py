"""Search for the best settings: try some, learn from them which to try next, and end early what is bad (Optuna)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nerva.experiments.journal import need_optuna
from nerva.experiments.space import OneOf, Range, Space, When
from nerva.experiments.study import Mismatch, Pruned, Study, Taken, Trial, TrialRecord
from nerva.training.history import Diverged
from nerva.validation import check_choice, check_integer

__all__ = ["Impossible", "Mismatch", "OneOf", "Pruned", "Range", "Space", "Study", "Trial", "When", "run", "search"]

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "halving", "none")
Objective = Callable[[Trial], float]


class Impossible(ValueError):
    """The settings of a trial do not go together; the others go on."""


def search(
    objective: Objective,
    space: Space,
    *,
    folder: str | os.PathLike[str],
    trials: int = 20,
    maximize: bool = True,
    sampler: str = "tpe",
    pruner: str = "median",
    seed: int = 0,
    settings: Mapping[str, str] | None = None,
) -> Study:
    """Try settings of a space until so many trials are done, by this process and by others, and return the study.

    Parameters
    ----------
    objective : called with a Trial, whose `params` it tries; returns the value, and may call `report(step, value)`
        after each step, from 1 on, which ends a trial that is bad
    space : what is tried
    folder : of the study: a second call goes on, and several processes and machines may share it
    trials : how many shall be done in the end
    maximize : whether a higher value is better
    sampler : "tpe", which learns from the trials so far, or "random"
    pruner : "median" ends a trial that is worse than half of the others, at its second step or later, once there are
        five; "halving" lets the best third go on after 1, 3, 9, ... steps; "none" ends none
    seed : of the sampler: one process tries the same settings again
    settings : what else must be the same in all calls, by name

    A value that is not finite, and nerva.Diverged, end a trial as diverged; Impossible ends it as failed. Any other
    exception ends the search, and the trial is tried again by the next call.

    Raises ImportError without Optuna; TypeError or ValueError, which names the argument that is wrong; and Mismatch
    where the folder holds a search of another space or other settings.

    >>> space = Space({"rate": Range(0.01, 1.0, log=True)})
    >>> study = search(lambda trial: -abs(trial.params["rate"] - 0.1), space, folder="search", trials=10)
    >>> len(study.records()), 0.01 <= study.best().params["rate"] <= 1
    (10, True)
    """
    values = {f"space.{name}": str(values) for name, values in space.values.items()}
    study = Study(folder, maximize=maximize, settings={**values, **(settings or {})})
    run(objective, study, space, trials=trials, sampler=sampler, pruner=pruner, seed=seed)
    return study


def run(
    objective: Objective,
    study: Study,
    space: Space,
    *,
    trials: int,
    sampler: str = "tpe",
    pruner: str = "median",
    seed: int = 0,
    after: Callable[[], None] | None = None,
) -> None:
    """Run trials of a study until so many are done, and call `after` after each; the rest is as of `search`."""
    trials, seed = check_integer(trials, "trials", least=1), check_integer(seed, "seed", least=0)
    make, ends = _sampler(check_choice(sampler, "sampler", SAMPLERS), seed), make_pruner(pruner)
    while (trial := study.begin(space, trials, make, ends)) is not None:
        try:
            value = float(objective(trial))
        except Pruned:
            study.prune(trial)
        except Diverged:
            study.prune(trial, "diverged")
        except Impossible as problem:
            study.fail(trial, str(problem))
        except Taken:
            pass
        except BaseException:
            study.give_back(trial)
            raise
        else:
            study.finish(trial, value)
        if after is not None:
            after()


def _sampler(name: str, seed: int) -> Callable[[int], Any]:
    """Return what makes the sampler of a trial by how many were begun before it: each has a seed of its own.

    So a search that was interrupted goes on as if it had not been, and processes that share it try different settings.
    """
    samplers = need_optuna().samplers

    def make(number: int) -> Any:
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        return samplers.TPESampler(seed=own) if name == "tpe" else samplers.RandomSampler(seed=own)

    return make


def make_pruner(name: str) -> Any:
    """Return an optuna pruner by its name; raise ValueError for another name."""
    check_choice(name, "pruner", PRUNERS)
    pruners = need_optuna().pruners
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if name == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    return pruners.NopPruner()


def table(records: list[TrialRecord], value: str = "value") -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns, and a row for each trial; `value` is the name of that column."""
    names = list(dict.fromkeys(name for record in records for name in record.params))
    rows = [
        [r.number, r.state, r.value, r.steps, r.seconds, r.reason, *(r.params.get(name) for name in names)]
        for r in records
    ]
    return ["trial", "state", value, "steps", "seconds", "reason", *names], rows
