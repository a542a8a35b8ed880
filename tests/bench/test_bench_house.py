"""The house of the benchmarks: who imports whom. No import runs upward, and there is no circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"

# Lowest first: a module imports only from floors below, and a module of a folder only from rungs below its own.
FLOORS = [
    ["harness"],
    ["machine", "peers"],
    ["parts"],
    ["compare", "conftest", "gate", "results", "studies", "timings"],
]
RUNGS = {
    "harness": [
        ["__init__", "compiled", "peer", "workloads"],
        ["probe", "use"],
        ["pairs"],
        ["records"],
        ["tables"],
        ["check", "memory", "picture", "ratios"],
    ],
    "peers": [
        ["gathers", "products", "steps"],
        ["epochs", "rows", "sparse_steps"],
        ["by_hand", "features"],
        ["inference"],
        ["__init__"],
    ],
}
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = {
    ".".join(path.relative_to(BENCH).with_suffix("").parts): path
    for path in sorted(BENCH.rglob("*.py"))
    if "__pycache__" not in path.parts
}


def as_module(name):
    """The module that a dotted name means, or None."""
    return next((found for found in (name, f"{name}.__init__") if found in MODULES), None)


def names(module):
    """The dotted names that a module imports, anywhere in it; of `from a import b` both a.b and a."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name,) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *filter(None, [node.module])])
            yield from ((f"{start}.{alias.name}", start) for alias in node.names)


def imports(module):
    """The modules of bench/ that a module imports."""
    found = {next(filter(None, map(as_module, candidates)), None) for candidates in names(module)}
    return found - {None, module}


def height(module):
    """The rung of a module in its folder."""
    room, _, name = module.partition(".")
    rungs = [rung for rung, members in enumerate(RUNGS[room]) if name in members]
    assert rungs, f"{module} stands on no rung: give it one in RUNGS"
    return rungs[0]


def test_the_walk_sees_imports():
    assert imports("compare") >= {"harness.check", "peers.__init__"}
    assert imports("harness.pairs") == {"harness.peer"}
    assert "harness.memory" in imports("timings.bench_memory")


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    room = module.split(".")[0]
    assert room in FLOOR, f"{module} stands on no floor: give it one in FLOORS"
    for other in imports(module):
        below = other.split(".")[0]
        if room == below and room in RUNGS:
            assert height(other) < height(module), f"{module} imports {other}, which is not on a lower rung"
        else:
            assert FLOOR[below] < FLOOR[room], f"{module} imports {other}, which is not on a lower floor"


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[0] in RUNGS])
def test_every_module_stands_on_a_rung(module):
    assert height(module) >= 0


def test_there_is_no_circle():
    list(TopologicalSorter({module: imports(module) for module in MODULES}).static_order())


@pytest.mark.parametrize("module", MODULES)
def test_modules_of_folders_are_imported_by_their_full_names(module):
    """`import tables` would work in scripts of the same folder, and for them alone."""
    inside = {name.split(".")[1] for name in MODULES if "." in name} - {"__init__"}
    tops = {candidates[0].split(".")[0] for candidates in names(module)}
    assert not tops & inside
