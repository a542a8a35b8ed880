"""Keep measured costs in the user's cache: a file for each machine, version, dtype and number of threads.

The folder is NERVA_CACHE, or else `nerva` in XDG_CACHE_HOME or ~/.cache.
"""

import json
import os
from contextlib import suppress
from hashlib import sha256
from math import isfinite
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels import isa, mkl
from nerva.backends.config import package_version, processor
from nerva.backends.cost_model import BATCHES, CANDIDATES, DENSITIES, Costs
from nerva.validation import real_dtype


def identity(dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return what costs were measured for; they hold for nothing else."""
    return {
        "processor": processor(),
        "instruction set": isa.chosen(),
        "nerva": package_version(),
        "MKL": mkl.version(),
        "dtype": dtype.name,
        "threads": mkl.get_num_threads(),
        "densities": list(DENSITIES),
        "batches": list(BATCHES),
    }


def cache_file(dtype: npt.DTypeLike) -> Path | None:
    """Return the path for a dtype and the present number of threads, of a file or none; None without a home folder."""
    dtype = real_dtype(dtype)
    named, base = os.environ.get("NERVA_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(named) if named else (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "nerva"
    except RuntimeError:
        return None
    digest = sha256(json.dumps(identity(dtype)).encode()).hexdigest()
    return folder / f"costs-{dtype.name}-{mkl.get_num_threads()}-{digest[:12]}.json"


def load(path: Path | None, wanted: dict[str, Any]) -> Costs | None:
    """Return the costs in a file, or None where it cannot be read, is broken, or is of another identity."""
    try:
        content = json.loads(path.read_bytes()) if path is not None else {}
        if any(content[name] != value for name, value in wanted.items()):
            return None
        rates = {
            product: {backend: _table(content["rates"][product][backend]) for backend in backends}
            for product, backends in CANDIDATES.items()
        }
        return Costs(rates)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def save(path: Path | None, about: dict[str, Any], costs: Costs) -> None:
    """Write costs and their identity to a file, whole or not at all; do nothing where that is impossible."""
    if path is None:
        return
    text = json.dumps({**about, "rates": costs.rates}, indent=1)
    with suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may read or write the file at any time: it appears under its name when it is complete.
        handle, name = mkstemp(dir=path.parent, prefix=".costs-")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def _table(rows: Any) -> list[list[float]]:
    table = [[_positive(rate) for rate in row] for row in rows]
    if [len(row) for row in table] != [len(BATCHES)] * len(DENSITIES):
        raise ValueError("the table has another shape")
    return table


def _positive(x: Any) -> float:
    if not isinstance(x, float) or not isfinite(x) or x <= 0:
        raise ValueError("the rate is not a positive number")
    return x
