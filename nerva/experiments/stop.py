"""The word to stop, for processes that share no more than a folder."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


class Stop:
    """A word to stop that reaches every process which can see a folder: a file there, with a name of its own.

    Parameters
    ----------
    folder : made where there is none

    It can be pickled, and is set, asked and cleared on whatever machine it is. Raises OSError where the file cannot be
    written.

    >>> stop = Stop("runs")
    >>> stop.set()
    >>> stop.is_set()
    True
    >>> stop.clear()
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.token = uuid.uuid4().hex
        self._path = os.path.abspath(Path(folder) / f".stop-{self.token}")

    def set(self) -> None:
        """Say it."""
        Path(self._path).touch()

    def is_set(self) -> bool:
        """Return whether it was said."""
        return os.path.exists(self._path)

    def clear(self) -> None:
        """Take it back, which removes the file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
