"""Files that stand there whole or not at all, and archives of arrays read with clear errors."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

BAD_ZIP = (zipfile.BadZipFile, zlib.error)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a stream whose bytes become the file of this path at the end, or vanish where something fails.

    A file that was there before is replaced, its mode kept; where the path is a link, the file it leads to. Raises
    TypeError where that is no path, and OSError where it cannot be written, or stands for a device or the like.
    """
    path, (handle, name) = _beside(path)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise what `replacing` would, and change nothing."""
    _, (handle, name) = _beside(path)
    os.close(handle)
    os.unlink(name)


def _beside(path: str | os.PathLike[str]) -> tuple[Path, tuple[int, str]]:
    """The file that a path leads to, and a new file beside it: its handle and name."""
    path = as_path(path)
    file = Path(os.path.realpath(path))
    if file.is_dir():
        raise IsADirectoryError(f"{path}: a folder, not a file")
    if file.exists() and not file.is_file():
        raise OSError(f"{path}: a device or the like, not a file")
    try:
        return file, tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    except OSError as error:
        raise type(error)(f"{path}: cannot be written ({error.strerror})") from None


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return a Path; raise TypeError for what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is {path!r}; it must be a string or a path")
    return Path(path)


def read_npz(path: str | os.PathLike[str], keys: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file by these keys, or all of them; pickled objects are refused.

    Raises FileNotFoundError where there is no such file, and ValueError, which names the file and the array, where it
    is no readable .npz file or lacks a key.
    """
    path = as_path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an .npz file, or a truncated one (no end of a zip archive found)")
    name = ""
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in keys or () if key not in file.files]
            if missing:
                present = ", ".join(file.files) or "nothing"
                raise ValueError(f"lacks {', '.join(missing)}; it holds {present}")
            arrays = {}
            for name in file.files if keys is None else keys:
                arrays[name] = np.asanyarray(file[name])
    except (ValueError, EOFError, KeyError, NotImplementedError, OSError, RuntimeError, *BAD_ZIP) as error:
        problem = f"{name} cannot be read ({error})" if name else str(error)
        raise ValueError(f"{path}: {problem}") from error
    return arrays


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
