"""Every `>>>` in a docstring runs, and gives what stands below it."""

import doctest
import importlib
import pkgutil
from importlib.util import find_spec

import numpy as np
import pytest

import nerva

EXTRAS = {"sklearn": ("nerva.sklearn.",), "torch": ("nerva.torch.", "nerva.interop.srelu")}  # what needs them
LEFT_OUT = tuple(name for extra, names in EXTRAS.items() if not find_spec(extra) for name in names)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(nerva.__path__, "nerva.")
    if not module.name.endswith(("__main__", "find_mkl")) and not module.name.startswith(LEFT_OUT)
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(
        module, extraglobs={"np": np, "nerva": nerva}, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert result.failed == 0


def test_there_are_examples():
    """The walk finds modules, and doctest finds examples in them."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) > 10
