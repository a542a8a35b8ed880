"""The project's own files: what pyproject.toml says twice agrees, and the linters have what they call."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pyproject():
    """The tables of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", ["test", "bench", "dev"])
def test_a_dependency_group_has_the_packages_of_the_extra(pyproject, name):
    assert pyproject["dependency-groups"][name] == pyproject["project"]["optional-dependencies"][name]


def test_the_linters_are_installed_by_the_extra_dev(pyproject):
    """Hooks are local and of the environment, so that nothing is downloaded."""
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    repos, languages = re.findall(r"repo: (\S+)", text), re.findall(r"language: (\S+)", text)
    tools = {entry.split()[0] for entry in re.findall(r"entry: (.+)", text)}
    dev = {re.match(r"[\w-]+", package)[0] for package in pyproject["project"]["optional-dependencies"]["dev"]}
    assert repos == ["local"]
    assert set(languages) == {"system"}
    assert {"ruff", "mypy", "cython-lint", "codespell"} <= tools <= dev
