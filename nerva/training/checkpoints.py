"""Checkpoints of a training run in a folder: the last two, each whole, with a hash of every array."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nerva.system.files import as_path
from nerva.system.nested import put_together, take_apart
from nerva.system.tensors import read_tensors, write_tensors
from nerva.validation import check_integer

KEPT = 2
FORMAT, VERSION = "nerva.checkpoint", 1
NAME = re.compile(r"step-(\d{1,18})\.safetensors")
TEMPORARY = re.compile(r"\.step-\d{1,18}\.safetensors-\w+")  # as nerva.system.files.replacing calls them


class Checkpoints:
    """The checkpoints of one run at a time, in a folder of their own; `with` it, no other process may write there.

    Parameters
    ----------
    folder : made where there is none
    every : steps from one checkpoint to the next; None is after every epoch
    resume : whether the folder may hold checkpoints already

    Entered, it clears temporary files that a killed process left behind, and reads the last state. Raises TypeError or
    ValueError for an argument that is wrong; entered, FileExistsError for a folder with checkpoints, unless `resume`,
    ValueError where none of them can be read, and OSError where another process writes there, or none can.

    >>> with Checkpoints("runs/a") as checkpoints:
    ...     checkpoints.write({"weights": np.ones(3)}, step=100)
    ...     checkpoints.newest()
    (PosixPath('runs/a/step-100.safetensors'), {'weights': array([1., 1., 1.])})
    """

    def __init__(self, folder: str | os.PathLike[str], every: int | None = None, *, resume: bool = False) -> None:
        if not isinstance(folder, (str, os.PathLike)):
            raise TypeError(f"checkpoint is {folder!r}; it must be the path of a folder")
        self.folder = as_path(folder)
        self.every = None if every is None else check_integer(every, "checkpoint_every", least=1)
        self._resume = resume
        self._lock: int | None = None
        self._last: tuple[Path, dict[str, Any]] | None = None

    def __enter__(self) -> Checkpoints:
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder}: not a folder; checkpoint is that of one")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            with _where_locks_work(self.folder):
                # Of the folder itself: the system releases it however the process ends.
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._resume and (found := self.files()):
                raise FileExistsError(
                    f"{self.folder}: holds checkpoints already ({found[-1].name}); resume=True goes on from the last "
                    "one, or name another folder"
                )
            for path in self.folder.iterdir():
                if TEMPORARY.fullmatch(path.name):
                    path.unlink()
            self._last = self.newest()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write to the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def found(self) -> bool:
        """Whether there is a state to go on from."""
        return self._last is not None

    def go_on(self, restore: Callable[[dict[str, Any]], object]) -> None:
        """Pass the last state that was found, if there was one, to `restore`, whose ValueError then names the file."""
        if self._last is not None:
            (path, state), self._last = self._last, None
            try:
                restore(state)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error

    def files(self) -> list[Path]:
        """Return the paths of the checkpoints, the oldest first."""
        return checkpoint_files(self.folder)

    def due(self, step: int, after_epoch: bool) -> bool:
        """Return whether there shall be a checkpoint after so many steps, or after an epoch."""
        return after_epoch if self.every is None else not after_epoch and step % self.every == 0

    def write(self, state: Mapping[str, Any], step: int, trusted: int = 0) -> None:
        """Write the state of a run after so many steps, and delete all but the last two.

        And but the last one of the first `trusted` steps: of later ones it is not known yet whether they diverge.

        Raises TypeError, which names it, for a part of the state that is no number, string, list, tuple, dict or array,
        and OSError where it cannot be written: those there were remain.
        """
        plain, arrays = take_apart(dict(state))
        about = {"format": FORMAT, "version": VERSION, "state": plain}
        write_tensors(self.folder / f"step-{step}.safetensors", arrays, about)
        # Only now that the new one is on the disk.
        files = self.files()
        kept = {*files[-KEPT:], *[path for path in files if _step(path) <= trusted][-1:]}
        for path in files:
            if path not in kept:
                path.unlink()

    def set_aside(self, trusted: int) -> None:
        """Rename the checkpoints after the first `trusted` steps, which have diverged: the run goes on before them."""
        for path in self.files():
            if _step(path) > trusted:
                path.rename(path.with_suffix(".diverged"))

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Return path and state of the last checkpoint, None where there is none.

        One that is broken is set aside, as NAME.broken, with a RuntimeWarning, and the one before is taken. Raises
        ValueError, which names the file, where none can be read.
        """
        files = self.files()
        for path in reversed(files):
            try:
                return path, read_checkpoint(path)
            except ValueError as error:
                if path == files[0]:
                    raise
                warnings.warn(f"{error}; the checkpoint before it is taken", RuntimeWarning, stacklevel=5)
                path.rename(path.with_suffix(".broken"))  # else it would count as one of the two to keep
        return None


def _step(path: Path) -> int:
    """Return after how many steps a checkpoint was written."""
    return int(path.stem.removeprefix("step-"))


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the paths of the checkpoints in a folder, the oldest first."""
    found = {path: NAME.fullmatch(path.name) for path in folder.iterdir()}
    return sorted((path for path, match in found.items() if match), key=_step)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state in a file; raise ValueError, which names it, where it is broken or no checkpoint."""
    arrays, about = read_tensors(path)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{path}: no checkpoint of a run")
    if about.get("version") != VERSION:
        raise ValueError(f"{path}: of version {about.get('version')}; this nerva reads version {VERSION}")
    try:
        state = put_together(about.get("state"), arrays)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path}: no state of a run")
    return state


@contextlib.contextmanager
def _where_locks_work(folder: Path) -> Iterator[None]:
    """Raise BlockingIOError where another process has the lock; go on where the file system has none."""
    try:
        yield
    except BlockingIOError:
        raise BlockingIOError(f"{folder}: another run writes its checkpoints there") from None
    except OSError:  # of some network file systems
        pass
