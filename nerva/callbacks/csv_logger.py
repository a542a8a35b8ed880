"""The figures of each epoch in a CSV file."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from nerva.system.files import append_whole, as_path, replacing
from nerva.training.history import EpochRecord
from nerva.training.run import Run
from nerva.validation import check_flag

COLUMNS = tuple(field.name for field in fields(EpochRecord))


class CSVLogger:
    """Write a line for each epoch to a CSV file, below a line with the names of the figures.

    Parameters
    ----------
    path : the file; created at the start of `fit`
    overwrite : whether `fit` may replace a file that is not empty

    A line is written as soon as its epoch is over. What an epoch lacks, such as accuracies in regression, is empty. A
    `fit` that goes on, after `resume=True` or with an `initial_epoch`, goes on with the file: the lines of the epochs
    before are kept, and those of epochs that are done again are replaced.

    Raises FileExistsError, at the start of `fit`, for a file that is not empty, ValueError for one of something else
    that the run would go on with, and OSError, which names the file, where it cannot be written.

    >>> log = nerva.callbacks.CSVLogger("run.csv")
    >>> history = nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, epochs=2, callbacks=[log])
    >>> with open("run.csv") as file:
    ...     [line.split(",")[:2] for line in file]
    [['epoch', 'learning_rate'], ['1', '0.01'], ['2', '0.01']]
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path = as_path(path)
        self._overwrite = check_flag(overwrite, "overwrite")

    def on_train_begin(self, run: Run) -> None:
        """Begin the file, or go on with it."""
        kept = _rows(self.path, run.current_epoch) if run.current_epoch else []
        if not run.current_epoch and not self._overwrite and self.path.is_file() and self.path.stat().st_size:
            raise FileExistsError(f"{self.path} exists already, and it would be lost; overwrite=True replaces it")
        with replacing(self.path) as stream:
            stream.write(_lines([COLUMNS, *kept]))

    def on_epoch_end(self, run: Run, record: EpochRecord) -> None:
        """Write the line of an epoch."""
        size = self.path.stat().st_size
        try:
            with open(self.path, "ab", buffering=0) as file:
                append_whole(file, _lines([asdict(record).values()]), size)
        except OSError as error:
            raise OSError(f"cannot write {self.path}: {error.strerror or error}") from error


def _lines(rows: list[Any]) -> bytes:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _rows(path: Path, epochs: int) -> list[list[str]]:
    """Return the rows of the first epochs in a file of these columns, none where there is no such file."""
    if not path.is_file() or not path.stat().st_size:
        return []
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.reader(file))
    if tuple(rows[0]) != COLUMNS:
        raise ValueError(f"{path}: holds something else than the figures of a run, which it would go on with")
    return [row for row in rows[1:] if len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= epochs]
