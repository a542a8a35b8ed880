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


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a stream whose bytes become the file of this path at the end, or vanish where something fails.

    A file that was there before is replaced, its mode kept. Raises OSError where it cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, not a file")
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
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


def read_npz(path: str | os.PathLike[str], keys: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file by these keys, or all of them; pickled objects are refused.

    Raises FileNotFoundError where there is no such file, and ValueError, which names the file and the array, where it
    is no readable .npz file or lacks a key.
    """
    path = Path(path)
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
    except (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        problem = f"{name} cannot be read ({error})" if name else str(error)
        raise ValueError(f"{path}: {problem}") from error
    return arrays


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
