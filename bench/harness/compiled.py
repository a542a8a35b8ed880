"""The C sources of this folder as shared libraries, compiled on first use by the system's C compiler."""

import ctypes
import hashlib
import os
import shlex
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path


def library(source: Path, flags: Sequence[str]) -> ctypes.CDLL:
    """Return the library, compiled unless there is one of the same source, compiler and flags."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    options = [*flags, "-shared", "-fPIC"]
    key = hashlib.sha256(source.read_bytes() + repr((compiler, options)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"nerva-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to another user")
    made = folder / f"{source.stem}-{key}.so"
    if not made.exists():
        unfinished = folder / f"{made.name}.{os.getpid()}"
        for command in (compiler, "cc"):
            try:
                subprocess.run([command, *options, str(source), "-o", str(unfinished)], check=True)
                break
            except FileNotFoundError:
                continue
        else:
            raise RuntimeError(f"no C compiler found: neither {compiler} nor cc")
        unfinished.replace(made)
    return ctypes.CDLL(str(made))
