"""The project's own files: what pyproject.toml says twice agrees, and the linters have what they call."""

import re
import tomllib
from pathlib import Path

import pytest

from . import test_house

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pyproject():
    """The tables of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", ["test", "bench", "docs", "dev"])
def test_a_dependency_group_has_the_packages_of_the_extra(pyproject, name):
    assert pyproject["dependency-groups"][name] == pyproject["project"]["optional-dependencies"][name]


def test_wheels_are_built_for_the_pythons_of_the_classifiers(pyproject):
    texts = "\n".join(pyproject["project"]["classifiers"])
    versions = re.findall(r"^Programming Language :: Python :: 3\.(\d+)$", texts, re.MULTILINE)
    assert {f"cp3{minor}-*" for minor in versions} <= set(pyproject["tool"]["cibuildwheel"]["build"])
    assert pyproject["project"]["requires-python"] == f">=3.{versions[0]}"


def test_the_linters_are_installed_by_the_extra_dev(pyproject):
    """Hooks are local and of the environment, so that nothing is downloaded."""
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    repos, languages = re.findall(r"repo: (\S+)", text), re.findall(r"language: (\S+)", text)
    tools = {entry.split()[0] for entry in re.findall(r"entry: (.+)", text)}
    dev = {re.match(r"[\w-]+", package)[0] for package in pyproject["project"]["optional-dependencies"]["dev"]}
    assert repos == ["local"]
    assert set(languages) == {"system"}
    assert {"ruff", "mypy", "cython-lint", "codespell"} <= tools <= dev


def test_contributing_has_the_floors_of_the_house():
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## Where things are")[1].split("\n## ")[0]
    rows = re.findall(r"^\| \d+ \|([^|]+)\|", table, re.MULTILINE)
    rooms = {path.stem for path in (ROOT / "nerva").iterdir() if path.suffix == ".py" or list(path.glob("*.py"))}
    floors = [set(floor) & rooms - {"__main__"} for floor in reversed(test_house.FLOORS)]
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == floors


def test_contributing_names_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"\b(?:nerva|tests|bench|docs)/[\w/.*]*[\w/*]", text))
    assert {"tests/reference.py", "nerva/_kernels/*.pyx"} <= paths
    assert not [path for path in sorted(paths) if not list(ROOT.glob(path)) and not list(ROOT.glob(f"{path}.py"))]
