"""Print where this interpreter's MKL, OpenMP runtime and NumPy headers lie, for meson.build.

The wheels `mkl-devel`, `mkl` and `intel-openmp` carry only versioned libraries (`libmkl_rt.so.3`), which neither
`-lmkl_rt` nor pkg-config finds in an isolated build, so the installed files are asked instead. A system-wide MKL is
taken from MKLROOT where there are no wheels.
"""

import importlib.metadata
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def installed_files(distributions: tuple[str, ...]) -> Iterator[Path]:
    """Yield every file of the named distributions, then every library and header under MKLROOT."""
    for name in distributions:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            yield Path(str(file.locate()))
    root = os.environ.get("MKLROOT")
    if root:
        for folder in ("include", "lib", "lib/intel64", "../../compiler/latest/lib"):
            yield from sorted(Path(root, folder).glob("*"))


def find(pattern: str, *distributions: str) -> Path:
    for path in installed_files(distributions):
        if re.fullmatch(pattern, path.name) and path.exists():
            return path.resolve() if path.suffix == ".h" else path.parent.resolve() / path.name
    sys.exit(f"nerva: no file {pattern} in {', '.join(distributions)} nor under MKLROOT; pip install mkl-devel")


def main() -> None:
    """Print MKL's include folder, NumPy's, the link arguments, and the run path of a lasting environment."""
    import numpy

    header = find(r"mkl\.h", "mkl-include", "mkl-devel")
    mkl = find(r"libmkl_rt\.so(\.\d+)?", "mkl", "mkl-devel")
    openmp = find(r"libiomp5\.so", "intel-openmp")
    folders = list(dict.fromkeys([mkl.parent, openmp.parent]))
    print(header.parent)
    print(numpy.get_include())
    # Kernels find the OpenMP runtime when they are loaded, not by its symbols: it is needed all the same.
    needed = ["-Wl,--push-state,--no-as-needed", f"-l:{openmp.name}", "-Wl,--pop-state"]
    print(*(f"-L{folder}" for folder in folders), f"-l:{mkl.name}", *needed)
    temporary = mkl.is_relative_to(Path(tempfile.gettempdir()).resolve())
    if mkl.is_relative_to(Path(sys.prefix).resolve()) or not temporary:  # pip's build environment is neither
        print(":".join(map(str, folders)))


if __name__ == "__main__":
    main()
