"""The house: who imports whom, what an import brings along, and that all of it is installed."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "nerva"

# A room imports from floors below only, and a module of a room from rungs below its own. What is named is a folder of
# nerva/ or a file in it.
FLOORS = [
    ["_kernels", "system", "tables"],
    ["validation"],
    ["activations", "backends", "datasets", "initializers", "parameters", "schedules"],
    ["losses", "optimizers", "topology"],
    ["layers"],
    ["training"],
    ["callbacks", "models"],
    ["experiments", "inspection", "interop", "saving"],
    ["cli"],
    ["__init__", "__main__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Run by the build, not part of what is installed.
BUILD_SCRIPTS = {"_kernels.find_mkl"}


def room_of(module):
    """The line of FLOORS that speaks for a module: its folder's, or its own where it stands in none."""
    return module.split(".")[0]


def modules():
    """The Python modules of the tree, by their names within nerva."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts): path
        for path in sorted(SOURCE.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


MODULES = modules()
COMPILED = {f"_kernels.{path.stem}": path for path in sorted(SOURCE.glob("_kernels/*.pyx"))}


def as_module(name):
    """The module, or the package's __init__, that a dotted name within nerva means; None where it is no module."""
    name = name or "__init__"
    return next((found for found in (name, f"{name}.__init__") if found in MODULES | COMPILED), None)


def imports(module):
    """The modules of nerva that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ["nerva", *module.split(".")[:-1]]
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *filter(None, [node.module])])
            names = [(start, alias.name) for alias in node.names]
        else:
            continue
        for start, name in names:
            if start.split(".")[0] == "nerva":
                inside = start.removeprefix("nerva").lstrip(".")
                found.add(as_module(f"{inside}.{name}".lstrip(".")) or as_module(inside))
    return found - {None, module}


def test_the_walk_sees_imports():
    assert {"_kernels.csr", "layers.__init__"} <= imports("__init__")
    assert "_kernels.products" in imports("layers.affine")
    assert imports("datasets.shapes") == {"datasets.dataset", "datasets.preprocess"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    room = room_of(module)
    assert room in FLOOR, f"{module} stands on no floor: give it one in FLOORS"
    for other in imports(module):
        below = room_of(other)
        if room == below and (SOURCE / room).is_dir():
            continue
        assert FLOOR[below] < FLOOR[room], f"{module} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[below]})"


def test_there_is_no_circle():
    list(TopologicalSorter({module: imports(module) for module in MODULES if module != "__init__"}).static_order())


@pytest.mark.parametrize("path", sorted(SOURCE.glob("_kernels/*.p[yx][xd]")), ids=lambda path: path.name)
def test_the_compiled_floor_knows_nothing_above_it(path):
    text = path.read_text()
    assert not re.search(r"^\s*(from|c?import)\s+nerva\b(?!\._kernels)", text, re.MULTILINE)
    assert not re.search(r"^\s*from\s+\.\.", text, re.MULTILINE)


@pytest.mark.parametrize("module", ["nerva", "nerva.datasets", "nerva._kernels.products"])
def test_an_import_brings_no_optional_package(module, tmp_path):
    program = f"import sys, json, {module}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = json.loads(done.stdout)
    assert not set(loaded) & {"scipy", "torch", "matplotlib", "sklearn", "pandas", "threadpoolctl", "pooch", "rich"}
    assert "nerva" in loaded


@pytest.mark.parametrize("module", [module for module in [*MODULES, *COMPILED] if module not in BUILD_SCRIPTS])
def test_every_module_of_the_tree_is_installed(module):
    name = f"nerva.{module}".removesuffix(".__init__")
    assert importlib.util.find_spec(name) is not None, f"{name} is in the tree, but cannot be imported"


def test_the_types_are_installed():
    """Editable, the files are those of the tree; installed, they must have been copied."""
    installed = Path(importlib.util.find_spec("nerva").origin).parent
    assert (installed / "py.typed").exists()
    assert installed == SOURCE or not list(installed.rglob("meson.build"))


def test_the_tests_that_documentation_names_exist():
    """In tables, `test_a.py:test_b, :test_c` and files of their own."""
    tests, root = Path(__file__).parent, SOURCE.parent
    text = (root / "docs" / "from-the-original.md").read_text()
    named = 0
    for row in text.splitlines():
        file = None
        for path, name in re.findall(r"((?:parity/)?test_\w+\.py)?(?::(test_\w+))?", row):
            file = path or file
            if path:
                assert (tests / path).is_file(), f"{path} is named in the table, and does not exist"
            if name:
                assert f"def {name}(" in (tests / file).read_text(), f"{file} has no {name}"
                named += 1
    assert named > 60
