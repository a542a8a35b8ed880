"""The trials of a search in a folder that processes, and machines, may share without a server: Optuna's journal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from nerva.experiments.journal import mend, need_optuna
from nerva.experiments.owners import is_lost, owner
from nerva.experiments.space import Space, Value
from nerva.system.signals import deferred

JOURNAL, NAME = "journal.log", "search"
PATIENCE = 60.0  # seconds to wait for another process that chooses what to try
SIGN = 5.0  # seconds from one sign of a trial to the next, at least
LOSSES = 3  # processes that may die of a trial before nobody tries it again
AGAIN = ("interrupted", "killed")  # ends of trials that are tried again
FINISHED = ("complete", "pruned", "diverged", "failed")


class Mismatch(ValueError):
    """The folder holds a search of other settings: one that differs is `name`, with the values `here` and `there`."""

    def __init__(self, name: str, here: str | None, there: str | None) -> None:
        super().__init__(f"{name} is {here}; the search in the folder has {there}")
        self.name, self.here, self.there = name, here, there


class Pruned(Exception):
    """A trial is worse than others were at the same step, and shall end."""


class Taken(Exception):
    """Another process has taken the process of this trial for dead, and runs the trial itself."""


@dataclass(frozen=True)
class TrialRecord:
    """What came of a trial.

    Parameters
    ----------
    number : from 0
    state : "complete", "pruned", "diverged", "failed", "interrupted", "killed", "running" or "waiting"
    value : what the search is about; of a trial that was not completed, the last one reported, or None
    steps : how many were reported
    seconds : from the start to the end; None where there is none yet
    reason : why it failed, or ""
    params : the settings it tried
    """

    number: int
    state: str
    value: float | None
    steps: int
    seconds: float | None
    reason: str
    params: dict[str, Value]


class Trial:
    """A trial that runs: its `number`, the `params` to try, and `report`."""

    def __init__(self, trial: Any, params: dict[str, Value]) -> None:
        self.number: int = trial.number
        self.params, self._trial, self._seen = params, trial, time.time()

    def report(self, step: int, value: float, *, last: bool = False) -> None:
        """Tell the value after a step, from 1 on.

        Raises Pruned where the trial is not worth another step, and Taken where another process runs it by now.
        """
        gone = need_optuna().exceptions.UpdateFinishedTrialError
        try:
            with deferred():
                self._trial.report(value, step)
                if time.time() - self._seen > SIGN:
                    self._seen = time.time()
                    self._trial.set_user_attr("seen", self._seen)
                prune = not last and self._trial.should_prune()
        except gone as error:
            raise Taken from error
        if prune:
            raise Pruned


class Study:
    """The trials in a folder, which is made where it does not exist.

    Parameters
    ----------
    folder : of the journal; other processes may use it at the same time
    maximize : whether a higher value is better
    settings : what must be the same for the values of trials to be comparable, by name
    lost_after : seconds after which a trial of another machine counts as lost if nothing was heard of it

    Raises ImportError without Optuna, Mismatch where the folder holds a search of other settings, OSError where it
    cannot be written, and ValueError, which names the journal, where that is broken.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        maximize: bool = True,
        settings: Mapping[str, str] | None = None,
        lost_after: float = 3600.0,
    ) -> None:
        optuna = need_optuna()
        self.folder = Path(os.path.abspath(folder))  # Optuna's lock is a link, which must not depend on where we are
        self.maximize, self.lost_after = maximize, lost_after
        self._states, self._gone = optuna.trial.TrialState, optuna.exceptions.UpdateFinishedTrialError
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = self.folder / JOURNAL
        settings = {"direction": "maximize" if maximize else "minimize", **(settings or {})}
        with self._turn():
            try:
                mend(journal)
                storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
                if NAME in optuna.get_all_study_names(storage):
                    self._study = optuna.load_study(study_name=NAME, storage=storage)
                else:
                    self._study = optuna.create_study(study_name=NAME, storage=storage, direction=settings["direction"])
                there = self._study.user_attrs.get("settings")
                if there is None:
                    self._study.set_user_attr("settings", settings)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{journal}: is no journal of a search, or broken ({error})") from error
        for name in sorted({**settings, **(there or settings)}):
            if settings.get(name) != (there or settings).get(name):
                raise Mismatch(name, settings.get(name), (there or settings).get(name))

    def begin(self, space: Space, limit: int, sampler: Any, pruner: Any) -> Trial | None:
        """Return the next trial to run; None where `limit` are finished or run.

        Trials whose process has died are marked as killed, and tried again first, and so are those that were
        interrupted. `sampler` is called with the number of trials begun so far for an optuna sampler; `pruner` is one
        of Optuna's.
        """
        begun: Trial | None = None
        try:
            with self._turn():
                self._bury()
                states = [record.state for record in self.records()]
                count = sum(state in (*FINISHED, "running") for state in states)
                if count >= limit:
                    return None
                self._study.sampler, self._study.pruner = sampler(count), pruner
                trial = self._study.ask()
                trial.set_user_attr("owner", owner())
                begun = Trial(trial, space.suggest(trial))
        except BaseException:  # a signal that had to wait
            if begun is not None:
                self.give_back(begun)
            raise
        return begun

    def finish(self, trial: Trial, value: float) -> None:
        """Keep the value of a trial that is completed; one that is not finite has diverged."""
        if isfinite(value):
            self._end(trial, value=value)
        else:
            self.prune(trial, "diverged")

    def prune(self, trial: Trial, end: str = "pruned") -> None:
        """End a trial as pruned, or as diverged, which the sampler takes for as bad."""
        self._end(trial, {"end": end}, state=self._states.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """End a trial whose settings are impossible, for a reason."""
        self._end(trial, {"reason": reason}, state=self._states.FAIL)

    def _end(self, trial: Trial, attrs: Mapping[str, str] | None = None, **how: Any) -> None:
        """End a trial, unless another process, which took this one for dead, has ended it."""
        with deferred(), contextlib.suppress(self._gone):
            for name, value in (attrs or {}).items():
                trial._trial.set_user_attr(name, value)
            self._study.tell(trial._trial, how.get("value"), state=how.get("state"), skip_if_finished=True)

    def give_back(self, trial: Trial) -> None:
        """End a trial that is interrupted, so that the next one to begin tries it again."""
        with deferred(), contextlib.suppress(self._gone):
            self._again(trial._trial._trial_id, "interrupted", trial.params, trial._trial.user_attrs)

    def records(self) -> list[TrialRecord]:
        """Return what is known of every trial, in the order of their numbers."""
        return [self._record(trial) for trial in self._study.get_trials(deepcopy=False)]

    def best(self) -> TrialRecord | None:
        """Return the best trial that is completed, the first of several; None before there is one."""
        complete = [record for record in self.records() if record.state == "complete"]
        sign = -1 if self.maximize else 1
        return min(complete, key=lambda record: sign * (record.value or 0.0), default=None)

    def importances(self) -> dict[str, float]:
        """Return how much each setting matters (PED-ANOVA), the sum is 1; empty where it cannot be told."""
        optuna = need_optuna()
        if sum(record.state == "complete" for record in self.records()) < 2:
            return {}  # Optuna would say that all matter alike
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is new
                evaluator = optuna.importance.PedAnovaImportanceEvaluator()
                found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # too few trials, or all alike
            return {}
        return {name: float(part) for name, part in found.items() if isfinite(part)} if any(found.values()) else {}

    def _record(self, trial: Any) -> TrialRecord:
        state = "failed" if trial.state.name == "FAIL" else trial.state.name.lower()
        if trial.state.is_finished():
            state = trial.user_attrs.get("end", state)
        value = trial.value if state == "complete" else None
        steps = trial.intermediate_values
        if value is None and steps:
            value = steps[max(steps)]
        seconds = None if trial.duration is None else trial.duration.total_seconds()
        return TrialRecord(
            trial.number, state, value, max(steps, default=0), seconds, trial.user_attrs.get("reason", ""), trial.params
        )

    def _bury(self) -> None:
        """Mark the trials whose process has died, and let them be tried again; called by one process at a time."""
        for trial in self._study.get_trials(deepcopy=False, states=(self._states.RUNNING,)):
            started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
            seen = trial.user_attrs.get("seen", started)
            if is_lost(trial.user_attrs.get("owner"), seen, self.lost_after):
                self._again(trial._trial_id, "killed", trial.params, trial.user_attrs)

    def _again(self, number: int, end: str, params: dict[str, Value], attrs: Mapping[str, Any]) -> None:
        """End a trial, and let one of the same settings wait; one that several processes died of has failed."""
        deaths = attrs.get("deaths", 0) + (end == "killed")
        storage = self._study._storage
        if deaths < LOSSES:
            storage.set_trial_user_attr(number, "end", end)
            self._study.enqueue_trial(params, user_attrs={"deaths": deaths})
        else:
            storage.set_trial_user_attr(number, "reason", f"{LOSSES} processes died of it, as of too little memory")
        storage.set_trial_state_values(number, self._states.FAIL)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one process at a time choose what to try; signals wait. Without locks of files, all choose at once."""
        lock = os.open(self.folder, os.O_RDONLY)
        try:
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.02)
                except OSError:  # a file system without locks
                    break
            with deferred():
                yield
        finally:
            os.close(lock)  # which releases it, as the system does however the process ends
