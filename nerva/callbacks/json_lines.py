"""Metrics of a training run in a file of JSON lines."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict
from math import isfinite
from typing import Any

from nerva.models.sequential import Sequential
from nerva.system.files import append_whole
from nerva.training.history import EpochRecord


class Metrics:
    """Write JSON objects to a file, one per line; as a callback of `fit`, record and weights (nnz) of each epoch.

    Parameters
    ----------
    path : the file; created where it does not exist
    overwrite : empty a file that is not empty, instead of raising FileExistsError
    resume : leave what the file holds until a run goes on from a checkpoint, with which it goes on from its lines then;
        or, where there is none, until the first line

    Lines are not buffered, and each is written whole or not at all. NaN and infinity, which JSON lacks, become null.
    Raises FileExistsError for a file that is not empty, and OSError, which names the file, where it cannot be opened or
    written.

    >>> from nerva.callbacks import Metrics
    >>> with Metrics("run.jsonl") as metrics:
    ...     history = nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, epochs=2, callbacks=[metrics])
    >>> with open("run.jsonl") as file:
    ...     [line[:12] for line in file]
    ['{"epoch": 1,', '{"epoch": 2,']
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False, resume: bool = False) -> None:
        self.path = os.fspath(path)
        self._size = 0
        try:
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise self._failure(error) from error
        found = os.fstat(self._file.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_size > 0:
            if not overwrite and not resume:
                self.close()
                raise FileExistsError(f"{self.path} exists already, and it would be lost")
            if not resume:
                self._file.truncate(0)
        self._kept = resume and stat.S_ISREG(found.st_mode)  # what is in the file, not yet part of this run

    def write(self, entry: dict[str, Any]) -> None:
        """Write one object as a line; raise OSError where it could not be written whole."""
        line = json.dumps(_finite(entry), allow_nan=False).encode() + b"\n"
        if self._kept:
            self._file.truncate(0)
            self._kept = False
        try:
            append_whole(self._file, line, self._size)
        except OSError as error:
            raise self._failure(error) from error
        self._size += len(line)

    def __call__(self, model: Sequential, record: EpochRecord) -> None:
        self.write({**asdict(record), "nnz": model.nnz})

    def state(self) -> dict[str, int]:
        """Return how long the file is, in bytes."""
        return {"size": self._size}

    def restore(self, state: dict[str, int]) -> None:
        """Go on from a state: what was written after it is cut off, since the run will write it again.

        Raises ValueError where the file is shorter than it was then.
        """
        size, found = state["size"], os.fstat(self._file.fileno())
        if stat.S_ISREG(found.st_mode):
            if found.st_size < size:
                raise ValueError(f"{self.path} has {found.st_size} bytes; with this checkpoint it had {size}")
            self._file.truncate(size)
        self._size, self._kept = size, False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _failure(self, error: OSError) -> OSError:
        """Return the error with the path in its message."""
        return OSError(f"cannot write {self.path}: {error.strerror or error}")


def _finite(entry: Any) -> Any:
    """Return the entry with None in the place of every float that is not finite."""
    if isinstance(entry, dict):
        return {key: _finite(value) for key, value in entry.items()}
    if isinstance(entry, (list, tuple)):
        return [_finite(value) for value in entry]
    return None if isinstance(entry, float) and not isfinite(entry) else entry
