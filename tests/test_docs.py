"""What the documentation shows runs: Python, and commands where that is cheap; and the reference has every name.

The Python blocks of a page are one program, run in the order of the page, without those under `<!-- not run -->`.
Commands `nerva ...` in shell blocks are parsed, and run where `<!-- run -->` stands above the block.
"""

import doctest
import importlib
import importlib.util
import os
import re
import shlex
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

import nerva
from nerva.cli import main
from nerva.cli.arguments import parse

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}
BLOCK = re.compile(r"^(?:<!-- ([\w ]+) -->\n)?```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^ *```(?!pycon)(\w+)", re.MULTILINE)
EXTRAS = ("onnxruntime", "onnx", "sklearn", "torch")  # that not every run of the tests has
SUBMODULES = [
    f"nerva.{name}" for name in ("callbacks", "datasets", "experiments", "layers", "losses", "optimizers", "topology")
]
LAZY = ["nerva.sklearn", "nerva.torch"]
IN_FILES = (".toml", ".safetensors", ".npz", ".csv", ".parquet", ".npy")


def blocks(text):
    """The blocks of a page: (marker or None, kind, text)."""
    return [(block[1], block[2], block[3]) for block in BLOCK.finditer(text)]


def commands(text):
    """The commands of nerva in a shell block, as lists of arguments without the name."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("nerva ")]


def after_checkpoints(names):
    again = names["start"]()[1]  # which is done, and only read
    assert again["loss"] == names["history"]["loss"]


def after_sklearn(names):
    assert names["accuracy"] == pytest.approx(0.97, abs=0.02)  # sums are rounded as the processor's kernels do
    model = names["network"][-1].model_
    assert (model.nnz, model.dense_size) == (3380, 33800)
    assert names["search"].best_params_["sparsemlpclassifier__density"] == 0.1
    assert names["both"].predict_proba(names["X_test"]).shape == (450, 2)
    assert names["part"].n_iter_ == 3
    assert len(names["curve"]) == 20
    assert names["curve"][-1] > names["curve"][0]
    assert names["found"].tolist() == [0, 1, 2, 3, 4]
    assert names["before"] == pytest.approx(0.66, abs=0.005)
    assert names["after"] == pytest.approx(0.94, abs=0.02)
    assert names["without_y"] == pytest.approx(0.925, abs=0.02)
    assert names["strengths"]["apoptosis"] > names["strengths"]["cell cycle"]
    assert names["primed"].coefs_[0].nnz == 5
    assert names["primed"].score(names["expression"], names["outcome"]) > 0.9


def after_topology(names):
    assert names["model"].nnz == pytest.approx(names["model"].density * names["model"].dense_size)


def after_training(names):
    assert names["stop"].best_epoch
    assert names["rewired"].count == sum(record.grown for record in names["history"].topology) > 0


def after_tutorial(names):
    assert names["frame"]["state"].value_counts().min() > 500
    assert sorted(names["X"].columns[names["most"]]) == ["sensor_0", "sensor_1", "sensor_2"]
    assert names["after"].weights[2] > 2 * names["before"].weights[2]
    assert (names["states"].to_numpy() == names["test"]["state"].to_numpy()).mean() > 0.8
    unbroken = nerva.MLP([41, 256, 128, 3], density=0.1, seed=0)
    history = unbroken.fit(names["X"], names["y"], validation_split=0.2, epochs=20)
    assert history["loss"] == names["resumed"]["loss"]


AFTER = {
    "docs/checkpoints.md": after_checkpoints,
    "docs/sklearn.md": after_sklearn,
    "docs/topology.md": after_topology,
    "docs/training.md": after_training,
    "docs/tutorial.md": after_tutorial,
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of other libraries, as PyTorch's of CSR tensors
@pytest.mark.parametrize("page", [name for name, path in PAGES.items() if blocks(path.read_text())])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    text = PAGES[page].read_text()
    for extra in EXTRAS:
        if re.search(rf"^\s*(import|from) (nerva\.)?{extra}\b", text, re.MULTILINE):
            pytest.importorskip(extra)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for marker, kind, block in blocks(text):
        assert marker in (None, "run", "not run"), marker
        if kind == "python" and marker != "not run":
            exec(compile(block, page, "exec"), names)
        for argv in commands(block) if kind == "sh" else ():
            if marker == "run":
                assert main(argv) == 0, f"nerva {shlex.join(argv)}: {capsys.readouterr().err}"
            else:
                check_options(argv)
    AFTER.get(page, lambda names: None)(names)


def check_options(argv):
    """Parse the arguments of a command whose files need not exist."""
    for before, name in pairwise(argv):
        if Path(name).suffix in IN_FILES and before != "-o" and not os.path.exists(name):
            Path(name).touch()
    assert parse(argv).command == argv[0]


def test_every_block_of_code_is_seen():
    """None is indented, or has something between marker and fence, and so is left out."""
    for name, path in PAGES.items():
        text = path.read_text()
        kinds = [kind for kind in FENCE.findall(text) if kind in ("python", "sh", "bash", "shell", "py")]
        assert len(kinds) == len(blocks(text)), name
        assert len(re.findall(r"<!-- (?:not )?run -->", text)) == sum(
            marker is not None for marker, _, _ in blocks(text)
        )


def reference():
    """The text of the reference."""
    return "\n".join(path.read_text() for path in sorted((ROOT / "docs" / "reference").glob("*.md")))


def found(path):
    """The object of a dotted name."""
    parts = path.split(".")
    for i in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            value = getattr(value, part)
        return value
    raise AssertionError(f"{path} does not exist")


def test_the_reference_has_every_public_name():
    entries = re.findall(r"^::: ([\w.]+)(?:\n    options:\n      heading: ([\w.]+))?", reference(), re.MULTILINE)
    assert len(entries) == len(set(entries)) == len(re.findall("^:::", reference(), re.MULTILINE))
    there = [found(name) for name, heading in entries if not heading.startswith(tuple(LAZY))]
    missing = []
    for module in (nerva, *map(importlib.import_module, SUBMODULES)):
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, (ModuleType, dict, tuple, float)) or any(value is one for one in there):
                continue
            missing.append(f"{module.__name__}.{name}")
    assert not missing
    headings = {heading for _, heading in entries}
    for module in LAZY:  # those that import an extra, by their headings
        assert {f"{module}.{name}" for name in importlib.import_module(module).__all__} <= headings


def test_docstrings_become_markdown():
    pytest.importorskip("griffe")  # of the extra docs
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs" / "docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert doctest.testmod(module) == (0, 1)
