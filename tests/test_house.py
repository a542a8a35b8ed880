"""The house: who imports whom, what an import brings along, and that all of it is installed."""

import ast
import importlib
import importlib.util
import inspect
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
    ["pictures", "validation"],
    ["activations", "backends", "datasets", "initializers", "parameters", "schedules"],
    ["losses", "optimizers", "topology"],
    ["layers"],
    ["training"],
    ["models"],
    ["distributed", "extreme", "inspection", "interop", "saving"],
    ["callbacks"],
    ["experiments"],
    ["cli", "sklearn", "torch"],
    ["__init__", "__main__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
LADDERS = {  # of each room, its modules, the lowest rung first
    "_kernels": [
        "arena cores isa mkl pages slices",
        "memory",
        "ages arrays conversion mkl_handles partition pattern supports",
        "activations batches csr dropout losses normalization selection softmax sparse_batch updates",
        "communities dense operations program rewiring sparse_inputs",
        "chain dense_gradient products workspace",
        "plan",
    ],
    "backends": [
        "config cost_model",
        "cost_files measurement",
        "calibration",
        "choice",
    ],
    "callbacks": [
        "best_epoch csv_logger interruption json_lines monitors tensorboard",
        "best_checkpoint early_stopping live_plot",
    ],
    "cli": [
        "choices csv_cells explain scores",
        "report samples",
        "tables",
        "build rules types",
        "distributed export_options options reproduce_options search_processes search_space sweep_options",
        "search_options",
        "arguments evaluate export info predict reproduce summary train",
        "measuring search_trials",
        "search sweep",
    ],
    "datasets": [
        "augment columns direct download extreme idx preprocess tasks",
        "dataset sources",
        "chunked cifar generated mnist npz shapes",
        "cifar10 cifar100 svmlight",
    ],
    "distributed": ["mpi", "data_parallel"],
    "extreme": ["labels", "losses scores", "output", "classifier"],
    "experiments": [
        "cores energy flops grid journal owners paper.__init__ paper.figures paper.protocol paper.reference",
        "paper.sections paper.statistics paper.units prediction ram space stop",
        "backends paper.accuracies paper.batches paper.masked paper.networks study workers",
        "engines paper.peers paper.training rounds search",
        "paper.accuracy paper.distributions paper.epochs paper.results paper.seeds paper.trajectories paper.twice runs",
        "display paper.cause paper.layer_times tables",
        "calling paper.inference paper.layers paper.memory paper.scaling paper.small paper.timing sweeps",
        "paper.document paper.folder paper.parts paper.versions paper.work paper.worker",
        "paper.pool",
        "paper.run",
        "paper.display paper.report",
    ],
    "inspection": ["gradients plots"],
    "interop": [
        "c_functions inference srelu",
        "torch",
        "from_torch named_arrays to_c to_onnx to_torch",
    ],
    "layers": [
        "arrays ranks",
        "layer synchronized",
        "activation dropout sparse_weights weighted",
        "affine normalization",
        "linear sparse",
    ],
    "losses": [
        "targets",
        "loss",
        "classification regression",
    ],
    "models": [
        "compaction input_map plan precision pruning_criteria state summary",
        "sequential",
        "mlp pruning",
    ],
    "optimizers": [
        "optimizer",
        "adaptive gradient_descent",
        "groups",
    ],
    "saving": [
        "contents",
        "header original",
        "weights",
        "model_file",
        "hub",
    ],
    "sklearn": [
        "callbacks settings strength",
        "estimator",
        "classifier regressor",
        "selection",
    ],
    "system": [
        "files nested program signals",
        "tensors",
        "archive",
    ],
    "torch": [
        "pattern",
        "operators",
        "eager",
        "linear",
        "rewiring sequential",
    ],
    "topology": [
        "distributions edges patterns records schedules",
        "networks",
        "supports",
        "layer_state top_gradients",
        "drop grow snapshot",
        "link_prediction topology",
        "cht deepr methods snfs srigl top_kast updater",
    ],
    "training": [
        "checkpoints curves inputs labels profiling read_ahead trainable",
        "history",
        "layers_state moments progress samples",
        "batches",
        "chunked_batches compiled loaded_batches shared_checkpoints",
        "ranks",
        "evaluation run_state",
        "step training_data",
        "run",
        "fit",
    ],
}
LADDERS = {room: [names.split() for names in rungs] for room, rungs in LADDERS.items()}
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_TEST_FILE, MOST_POSITIONAL = 300, 60, 400, 8
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
HEADERS = sorted({f"_kernels.{path.stem}" for path in SOURCE.glob("_kernels/*.pxd")} - set(COMPILED))
TESTS = Path(__file__).parent
SOURCES = sorted(path for path in SOURCE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".c", ".h"))
TEST_FILES = sorted(path for path in TESTS.rglob("*.py"))


def as_module(name):
    """The module, or the package's __init__, that a dotted name within nerva means; None where it is no module."""
    name = name or "__init__"
    return next((found for found in (name, f"{name}.__init__") if found in MODULES | COMPILED), None)


def rung(module):
    """The rung of a module on the ladder of its room; its __init__ stands on top."""
    room, _, name = module.partition(".")
    rungs = [i for i, names in enumerate(LADDERS.get(room, [])) if name in names]
    if name == "__init__":
        return len(LADDERS.get(room, []))
    assert rungs, f"{module} is on no rung: give it one in LADDERS"
    return rungs[0]


def spans(path):
    """The functions of a source file: (name, first line, last line). Of C and Cython, by their indentation."""
    if path.suffix == ".py":
        return [(name, node.lineno, node.end_lineno) for name, node in functions(path)]
    lines, found = path.read_text().splitlines(), []
    if path.suffix in (".c", ".h"):
        opening = None
        for number, line in enumerate(lines, 1):
            if re.match(r"[A-Za-z#].*\($|[A-Za-z_].*\(.*", line) and not line.startswith(("#", "typedef")):
                opening = number if opening is None else opening
            if line.rstrip().endswith(";") and not line.startswith((" ", "}")):
                opening = None
            if line.startswith("}") and opening is not None:
                found.append((lines[opening - 1][:60], opening, number))
                opening = None
        return found
    for number, line in enumerate(lines):
        start = re.match(r"( *)(?:def|cdef|cpdef)\b.*\(", line)
        if not start:
            continue
        indent, last = len(start[1]), number
        closed = line.rstrip().endswith(":")
        for after in range(number + 1, len(lines)):
            text = lines[after]
            if not text.strip():
                continue
            if closed and len(text) - len(text.lstrip()) <= indent:
                break
            closed = closed or text.rstrip().endswith(":")
            last = after
        found.append((start[0].strip(), number + 1, last + 1))
    return found


def imports(module):
    """The modules of nerva that a module imports, anywhere in it."""
    if module in COMPILED or module in HEADERS:
        return compiled_imports(module)
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


def compiled_imports(module):
    """The modules that a compiled one imports or cimports, in its .pyx and its .pxd."""
    path = SOURCE / module.replace(".", "/")
    texts = [path.with_suffix(suffix).read_text() for suffix in (".pyx", ".pxd") if path.with_suffix(suffix).exists()]
    names = re.findall(r"^\s*from \.(\w+) c?import", "\n".join(texts), re.MULTILINE)
    return {f"_kernels.{name}" for name in names} - {module}


def test_the_walk_sees_imports():
    assert {"_kernels.csr", "layers.__init__"} <= imports("__init__")
    assert "_kernels.products" in imports("layers.affine")
    assert imports("datasets.shapes") == {"datasets.dataset", "datasets.preprocess", "validation"}


@pytest.mark.parametrize("module", [*MODULES, *COMPILED, *HEADERS])
def test_imports_go_down(module):
    room = room_of(module)
    assert room in FLOOR, f"{module} stands on no floor: give it one in FLOORS"
    for other in imports(module):
        below = room_of(other)
        if room == below:
            assert rung(other) < rung(module), f"{module} (rung {rung(module)}) imports {other} (rung {rung(other)})"
        else:
            assert FLOOR[below] < FLOOR[room], f"{module} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[below]})"


@pytest.mark.parametrize("room", LADDERS)
def test_a_ladder_has_every_module_of_its_room(room):
    named = [name for names in LADDERS[room] for name in names]
    found = [name.split(".", 1)[1] for name in [*MODULES, *COMPILED, *HEADERS] if name.startswith(f"{room}.")]
    found = [name for name in found if f"{room}.{name}" not in BUILD_SCRIPTS]
    assert sorted(named) == sorted({*found} - {"__init__"})


def functions(path):
    """The functions and methods of a Python file: (name, node)."""
    tree = ast.parse(path.read_text())
    return [(node.name, node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_fit_the_head(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= LONGEST_FILE, f"{len(lines)} lines"
    for name, first, last in spans(path):
        assert last - first + 1 <= LONGEST_FUNCTION, f"{name} has {last - first + 1} lines"


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_files_of_tests_fit_the_head(path):
    assert len(path.read_text().splitlines()) <= LONGEST_TEST_FILE


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_have_few_positional_parameters(module):
    for name, node in functions(MODULES[module]):
        given = [argument for argument in node.args.posonlyargs + node.args.args if argument.arg not in ("self", "cls")]
        if not name.startswith("_") or name == "__init__":
            assert len(given) <= MOST_POSITIONAL, f"{name} takes {len(given)} positional parameters"


@pytest.mark.parametrize("module", list(COMPILED))
def test_public_kernels_have_few_positional_parameters(module):
    for name, value in vars(importlib.import_module(f"nerva.{module}")).items():
        if name.startswith("_") or not callable(value):
            continue
        try:
            parameters = inspect.signature(value).parameters.values()
        except (TypeError, ValueError):
            continue
        given = [parameter for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
        assert len(given) <= MOST_POSITIONAL, f"{name} takes {len(given)} positional parameters"


def test_there_is_no_circle():
    list(TopologicalSorter({module: imports(module) for module in MODULES if module != "__init__"}).static_order())


@pytest.mark.parametrize("path", sorted(SOURCE.glob("_kernels/*.p[yx][xd]")), ids=lambda path: path.name)
def test_the_compiled_floor_knows_nothing_above_it(path):
    text = path.read_text()
    assert not re.search(r"^\s*(from|c?import)\s+nerva\b(?!\._kernels)", text, re.MULTILINE)
    assert not re.search(r"^\s*from\s+\.\.", text, re.MULTILINE)


@pytest.mark.parametrize("module", ["nerva", "nerva.datasets", "nerva._kernels.products", "nerva.experiments"])
def test_an_import_brings_no_optional_package(module, tmp_path):
    program = f"import sys, json, {module}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = json.loads(done.stdout)
    assert not set(loaded) & {
        "scipy",
        "torch",
        "matplotlib",
        "sklearn",
        "pandas",
        "threadpoolctl",
        "pooch",
        "rich",
        "tensorboard",
        "onnx",
        "optuna",
        "huggingface_hub",
        "joblib",
        "email",  # which importlib.metadata brings along
    }
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
        for path, name in re.findall(r"((?:\w+/)*test_\w+\.py)?(?::(test_\w+))?", row):
            file = path or file
            if path:
                assert (tests / path).is_file(), f"{path} is named in the table, and does not exist"
            if name:
                assert f"def {name}(" in (tests / file).read_text(), f"{file} has no {name}"
                named += 1
    assert named > 60
