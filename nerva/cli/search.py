"""The command `nerva search`."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from nerva._kernels import mkl
from nerva.cli.arguments import parse
from nerva.cli.build import Failure, printing
from nerva.cli.samples import need_parquet
from nerva.cli.search_processes import Processes
from nerva.cli.search_trials import Trials
from nerva.cli.train import train
from nerva.experiments.journal import need_optuna
from nerva.experiments.search import Impossible, Mismatch, Study, run, table
from nerva.experiments.space import Value
from nerva.experiments.study import FINISHED, TrialRecord
from nerva.system.files import replacing

POLL = 0.5  # seconds between two looks at what other processes have done


def search(options: Namespace) -> None:
    """Search as the options say, and show it; raise Failure or OSError if that fails."""
    try:
        need_optuna()
        if options.parquet:
            need_parquet()
    except ImportError as error:
        raise Failure(error, 2) from error
    threads = options.threads or mkl.get_num_threads()
    if options.jobs > 1 and options.threads is None:
        options.threads = max(1, threads // options.jobs)
    trials = _trials(options)
    study = open_study(options, trials)
    shown = Shown(study, options, trials.metric)
    try:
        if options.jobs == 1:
            _run(options, study, trials, shown)
        else:
            with Processes(work, options, options.jobs) as processes:
                while processes.alive():
                    time.sleep(POLL)
                    shown.update()
            shown.update()
            processes.check()
    except KeyboardInterrupt:
        shown.write()
        done = sum(record.state in FINISHED for record in study.records())
        print(f"nerva: {done} trials are in {options.out}; the same command goes on", file=sys.stderr)
        raise
    shown.result(trials)
    if options.test:
        mkl.set_num_threads(threads)  # the processes have ended
        _test(options, trials, study)


def work(options: Namespace) -> None:
    """Run trials in one of several processes, which says nothing but its errors."""
    trials = _trials(options)
    _run(options, open_study(options, trials), trials, None)


def _trials(options: Namespace) -> Trials:
    if options.threads is not None:
        mkl.set_num_threads(options.threads)
    try:
        return Trials(options)
    except Impossible as problem:
        raise Failure(problem, 2) from problem


def open_study(options: Namespace, trials: Trials) -> Study:
    """Return the study in the folder; raise Failure where it is of another search."""
    settings = {f"--over {name}": str(values) for name, values in options.settings.space.values.items()}
    settings |= {f"--{name.replace('_', '-')}": word or "given" for name, word in options.settings.fixed.items()}
    settings.pop("--data-dir", None)  # another machine may have them elsewhere
    settings |= {"--seed": str(options.seed), "--validation-split": f"{options.validation_split:g}"}
    settings |= {f"--data, {name}": count for name, count in trials.sizes.items()}
    try:
        return Study(options.out, maximize=trials.maximize, settings=settings, lost_after=options.lost_after * 60)
    except Mismatch as error:
        here, there = (value or "not given" for value in (error.here, error.there))
        problem = f"{error.name}: {here}, but {there} in the search in {options.out}; name another --out"
        raise Failure(problem, 2) from error
    except ValueError as error:
        raise Failure(error) from error


def _run(options: Namespace, study: Study, trials: Trials, shown: Shown | None) -> None:
    after = None if shown is None else shown.update
    how: dict[str, Any] = {name: getattr(options, name) for name in ("trials", "sampler", "pruner", "seed")}
    if shown is not None:
        shown.update()
    run(trials, study, options.settings.space, after=after, **how)


class Shown:
    """Shows the trials of a study, each when it has ended, and keeps the tables of them in its folder."""

    def __init__(self, study: Study, options: Namespace, metric: str) -> None:
        self._study, self._options, self._metric = study, options, metric
        self._seen: set[int] = set()
        self._said = False

    def update(self) -> None:
        """Print a line for each trial that has ended since the last time, and write the tables."""
        records = self._study.records()
        new = [r for r in records if r.state in FINISHED and r.number not in self._seen]
        if not new:
            return
        self._seen |= {record.number for record in new}
        self.write()
        if not self._options.quiet:
            with printing():
                if not self._said:
                    print(f"trial  state     {self._metric:>8}  epochs  seconds  options")
                for record in new:
                    print(self._line(record))
                sys.stdout.flush()
            self._said = True

    def _line(self, record: TrialRecord) -> str:
        seconds = "" if record.seconds is None else f"{record.seconds:.1f}"
        chosen = " ".join(f"{name}={_short(value)}" for name, value in record.params.items())
        figure = self._figure(record.value)
        start = f"{record.number:5}  {record.state:8}  {figure:>8}  {record.steps:6}  {seconds:>7}  {chosen}"
        return f"{start} ({record.reason})" if record.reason else start

    def _figure(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.2%}" if self._metric == "accuracy" else f"{value:.5g}"

    def write(self) -> None:
        """Write the tables of trials, whole or not at all."""
        names, rows = table(self._study.records(), f"validation_{self._metric}")
        folder = Path(self._options.out)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
        with replacing(folder / "trials.csv") as stream:
            stream.write(text.getvalue().encode())
        if self._options.parquet:
            import pandas

            with replacing(folder / "trials.parquet") as stream:
                frame = pandas.DataFrame({n: [row[i] for row in rows] for i, n in enumerate(names)})
                frame.to_parquet(stream, engine="pyarrow", index=False)

    def result(self, trials: Trials) -> None:
        """Print the best trial, and its command; raise Failure where no trial was completed."""
        self.write()
        records, best = self._study.records(), self._study.best()
        counts = Counter(record.state for record in records)
        count = ", ".join(f"{counts[state]} {state}" for state in (*FINISHED, "running") if counts[state])
        done = sum(counts[state] for state in FINISHED)
        if done + counts["running"] < self._options.trials:
            print(f"nerva: {done} of {self._options.trials} trials are done; the same command goes on", file=sys.stderr)
        if best is None:
            reasons = [record.reason for record in records if record.reason]
            raise Failure(f"no trial was completed: {reasons[0] if reasons else count}")
        command = shlex.join(["nerva", "train", *trials.words(best.params)])
        with printing():
            if self._options.quiet:
                print(command)
                return
            print(f"\ntrials       {count}; in {Path(self._options.out) / 'trials.csv'}")
            parts = sorted(self._study.importances().items(), key=lambda item: -item[1])
            if parts:
                print(f"importance   {', '.join(f'{name} {part:.0%}' for name, part in parts)}")
            print(
                f"best         trial {best.number}: validation {self._metric} {self._figure(best.value)}\n\n{command}"
            )


def _test(options: Namespace, trials: Trials, study: Study) -> None:
    """Train the best trial on all training samples, and test it; only say what came of it where that is done."""
    best = study.best()
    assert best is not None
    folder, words = Path(options.out), trials.words(best.params)
    metrics = folder / "best.jsonl"
    argv = [
        "train",
        *words,
        "--metrics",
        str(metrics),
        "--overwrite",
        "--save-weights",
        str(folder / "best.safetensors"),
    ]
    chosen = parse([*argv, "--quiet"] if options.quiet else argv)
    if (found := _tested(metrics, shlex.join(["nerva", *argv]), chosen.epochs)) is not None:
        print(f"nerva: tested before: test {trials.metric} {found:.6g}; see {metrics}", file=sys.stderr)
        return
    if not options.quiet:
        print("\nThe best trial, trained on all training samples, and tested:\n")
    train(chosen, argv)


def _tested(metrics: Path, command: str, epochs: int) -> float | None:
    """Return the test accuracy, or loss, that this command has left; None where it has not ended."""
    try:
        first, *rest = [json.loads(line) for line in metrics.read_text().splitlines()]
        if first["run"]["command"] != command or len(rest) < epochs:
            return None
        accuracy = rest[-1]["test_accuracy"]
        return float(rest[-1]["test_loss"] if accuracy is None else accuracy)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
