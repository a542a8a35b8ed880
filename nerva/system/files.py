"""Write files atomically, and read .npz files with clear errors."""

from __future__ import annotations

import contextlib
import io
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
    """Open a file for atomic writing: it appears, complete, when the context ends, and not at all if that fails.

    An existing file is replaced, and keeps its mode; a symbolic link stays one, and its target is replaced. Raises
    TypeError if `path` is not a path, OSError, which names the file, if it cannot be written, as on a full disk, or is
    a folder or a device.

    >>> with replacing("new.txt") as stream:
    ...     _ = stream.write(b"all of it")
    >>> Path("new.txt").read_text()
    'all of it'
    """
    given, (path, (handle, name)) = path, _temporary(path)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # before the rename, or a crash could leave an empty file under the name
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):  # interrupted after it had its name
            os.unlink(name)
        if isinstance(error, OSError) and error.filename is None:  # of a write or a sync, which know no name
            named = type(error)(f"{os.fspath(given)}: cannot be written ({error.strerror or error})")
            named.errno = error.errno
            raise named from error
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Let a new name in a folder outlast a crash of the machine, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems refuse
        pass
    finally:
        os.close(descriptor)


def append_whole(file: io.FileIO, data: bytes, size: int) -> None:
    """Append to an unbuffered file that is `size` bytes long, all of it or nothing; raise OSError, as of `write`."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(size)  # a part of a line would break every reader
        raise


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise what `replacing` would raise, and change nothing."""
    _, (handle, name) = _temporary(path)
    os.close(handle)
    os.unlink(name)


def _temporary(path: str | os.PathLike[str]) -> tuple[Path, tuple[int, str]]:
    """Resolve the links of a path, and create a temporary file in the same folder: its descriptor and name."""
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
    """Return a Path; raise TypeError for anything but a string or a path."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is {path!r}; it must be a string or a path")
    return Path(path)


def read_npz(path: str | os.PathLike[str], keys: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file by these keys, or all of them; pickled objects are refused.

    Raises FileNotFoundError if there is no such file, ValueError, which names the file and the array, if it is not a
    readable .npz file or lacks a key.

    >>> np.savez("a.npz", x=np.arange(3))
    >>> read_npz("a.npz", ["x"])
    {'x': array([0, 1, 2])}
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
    """Return the mask of the process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
