"""Optuna, and the file that it keeps the trials of a search in."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any


def need_optuna() -> Any:
    """Return the package optuna, which says no more than warnings; raise ImportError, which names the extra."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import optuna
    except ImportError:
        raise ImportError("a search needs Optuna: pip install 'nerva-sparse[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def mend(journal: Path) -> None:
    """Cut off a line that a process was writing when it died: the next one to write would break the journal."""
    if not journal.exists() or _is_whole(journal):
        return
    lock = need_optuna().storages.journal.JournalFileSymlinkLock(str(journal))  # as of those that write
    lock.acquire()
    try:
        if not _is_whole(journal):
            text = journal.read_bytes()
            os.truncate(journal, text.rfind(b"\n") + 1)
    finally:
        with contextlib.suppress(RuntimeError):
            lock.release()


def _is_whole(journal: Path) -> bool:
    """Whether the file is empty, or ends with a line."""
    with open(journal, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 1))
        return stream.read() in (b"", b"\n")
