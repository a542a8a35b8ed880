"""Tell what nerva runs on: versions, libraries, instruction set, threads."""

import platform
import sys
from pathlib import Path

import numpy as np

from nerva._kernels import isa, mkl


def config() -> dict[str, str]:
    """Return what `show_config` prints, by name.

    >>> nerva.config()["NumPy"] == np.__version__
    True
    """
    lacking = isa.lacking_for_bfloat16()
    return {
        "nerva": package_version(),
        "Python": sys.version.split()[0],
        "NumPy": np.__version__,
        "MKL": mkl.version(),
        "MKL library": ", ".join(_loaded("libmkl_rt")) or "unknown",
        "OpenMP runtime": mkl.openmp(),
        "processor": processor(),
        "instruction set": f"{isa.chosen()} (this processor has {', '.join(isa.supported())})",
        "bfloat16": "yes" if lacking is None else f"no: it needs {lacking}",
        "threads": str(mkl.get_num_threads()),
    }


def show_config() -> None:
    """Print versions, the MKL and the OpenMP runtime in use, the instruction set and the number of threads."""
    entries = config()
    width = max(map(len, entries))
    for name, value in entries.items():
        print(f"{name:<{width}}  {value}")


def package_version() -> str:
    """Return the version of nerva that is installed."""
    from importlib.metadata import PackageNotFoundError, version  # here, since it takes a tenth of nerva's own import

    try:
        return version("nerva-sparse")
    except PackageNotFoundError:
        return "unknown"


def processor() -> str:
    """Return the name of the processor, with family and model where Linux tells them: several may have one name."""
    found: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    name = found.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{key.removeprefix('cpu ')} {found[key]}" for key in ("cpu family", "model") if found.get(key)]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _loaded(*parts: str) -> list[str]:
    """Return the paths of files mapped into this process whose name holds one of the parts."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    paths = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}
    return sorted(path for path in paths if any(part in Path(path).name for part in parts))
