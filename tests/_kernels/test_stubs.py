"""Each .pyi agrees with the compiled module: names, parameters, their order, kinds and defaults."""

import ast
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "nerva" / "_kernels"
MODULES = sorted(path.stem for path in FOLDER.glob("*.pyx"))


def parameters(node):
    """(name, kind, default) of each parameter of a function in a syntax tree."""
    given = node.args
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    missing = [None] * (len(given.args) - len(given.defaults))
    found = [(a.arg, kinds[0], default) for a, default in zip(given.args, [*missing, *given.defaults], strict=True)]
    found += [(a.arg, kinds[1], default) for a, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    assert not given.posonlyargs
    assert given.vararg is given.kwarg is None
    return [
        (name, kind, inspect.Parameter.empty if default is None else eval(ast.unparse(default), {"np": np}))
        for name, kind, default in found
    ]


def parameters_of_slot(source, owner, name):
    """The parameters of a special method, which no compiled class tells: from its source, without the C types."""
    text = source[source.index(f"class {owner}:") :]
    listed = re.search(rf"def {name}\((.*?)\):\n", text, re.DOTALL)[1]
    listed = re.sub(r"\b(?:[\w.]+ )+(?=\w+ *(?:=|,|$))", "", re.sub(r"\s+", " ", listed).replace(" not None", ""))
    return parameters(ast.parse(f"def {name}({listed}): ...").body[0])


def parameters_at_run_time(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def public(names):
    return {name for name in names if not name.startswith("_")}


def stubs_of(body):
    """The definitions of a stub by name; a property's setter is not another one."""
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign):
            found[node.target.id] = node
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.setdefault(node.name, node)
    return found


def decorators(node):
    return {ast.unparse(decorator) for decorator in node.decorator_list}


def differences_of_class(stub, kind, source):
    """What a stub of a class says otherwise than the class itself."""
    found, members = stubs_of(stub.body), vars(kind)
    for name in public(found) ^ public(members):
        yield f"{stub.name}.{name} is in {'the stub' if name in found else 'the class'} alone"
    for name, node in found.items():
        member, where = members.get(name), f"{stub.name}.{name}"
        if member is None:
            if name not in public(found):
                yield f"{where} is in the stub alone"
        elif isinstance(node, ast.AnnAssign) or "property" in decorators(node):
            if not inspect.isgetsetdescriptor(member):
                yield f"{where} is no property"
        elif ("classmethod" in decorators(node)) != isinstance(member, classmethod):
            yield f"{where} is a class method in one of them"
        else:
            function = member.__func__ if isinstance(member, classmethod) else member
            slot = type(function).__name__ == "wrapper_descriptor"
            wanted = parameters_of_slot(source, stub.name, name) if slot else parameters_at_run_time(function)
            given = parameters(node)
            # A bound class method shows no `cls`, and `self` may have another name.
            if given[1:] != wanted[1:]:
                yield f"{where} takes {wanted[1:]}, in the stub {given[1:]}"


def differences(stub, module, source):
    """What a stub says otherwise than the compiled module made of this source."""
    found = stubs_of(ast.parse(stub).body)
    owned = {
        name: value
        for name, value in vars(module).items()
        if not isinstance(value, ModuleType) and getattr(value, "__module__", module.__name__) == module.__name__
    }
    for name in public(found) ^ public(owned):
        yield f"{name} is in {'the stub' if name in found else 'the module'} alone"
    for name in public(found) & public(owned):
        node, value = found[name], owned[name]
        if isinstance(node, ast.ClassDef) != isinstance(value, type):
            yield f"{name} is a class in one of them"
        elif isinstance(node, ast.ClassDef):
            yield from differences_of_class(node, value, source)
        elif isinstance(node, ast.FunctionDef) != callable(value):
            yield f"{name} is a function in one of them"
        elif callable(value) and parameters(node) != parameters_at_run_time(value):
            yield f"{name} takes {parameters_at_run_time(value)}, in the stub {parameters(node)}"


def texts(name):
    return (FOLDER / f"{name}.pyi").read_text(), (FOLDER / f"{name}.pyx").read_text()


@pytest.mark.parametrize("name", MODULES)
def test_a_stub_agrees_with_its_module(name):
    stub, source = texts(name)
    assert list(differences(stub, importlib.import_module(f"nerva._kernels.{name}"), source)) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_stub_takes_its_array_from_memory(name):
    stub, _ = texts(name)
    assert not re.search(r"^Array\b", stub, re.MULTILINE)
    assert "NDArray[Any]" not in stub


def test_there_is_no_stub_without_a_module():
    assert sorted(path.stem for path in FOLDER.glob("*.pyi")) == MODULES


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("csr", "def twin(self)", "def double(self)"),
        ("csr", "def __init__(\n        self, shape", "def __init__(\n        self, size"),
        ("csr", "calls: int = 1000", "calls: int = 100"),
        ("csr", "    @classmethod\n    def from_scipy(cls", "    def from_scipy(self"),
        ("csr", "    nnz: int\n", ""),
        ("csr", "def __len__", "def __next__"),
        ("updates", "*,\n", ""),
        ("updates", "t: int = 1", "t: int = 0"),
        ("updates", "class Update", "class Step"),
        ("updates", "gradient: Array,\n", "gradients: Array,\n"),
        ("normalization", "*,\n", ""),
        ("products", "BACKENDS: tuple[str, ...]\n", ""),
        ("products", "def check_batch", "def check"),
        ("products", "out: Array, backend: str", "backend: str, out: Array"),
        ("mkl", "def version", "def release"),
        ("sparse_batch", "= np.float32", "= np.float64"),
    ],
)
def test_a_wrong_stub_is_found(name, right, wrong):
    stub, source = texts(name)
    module = importlib.import_module(f"nerva._kernels.{name}")
    assert right in stub
    assert list(differences(stub.replace(right, wrong, 1), module, source))
