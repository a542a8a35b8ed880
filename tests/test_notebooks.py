"""Notebooks are committed as they were run from top to bottom; that they run is checked by nbmake (see .ci/run)."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LARGEST = 500_000  # bytes of a notebook with its pictures


def code_cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert {"quickstart", "moving-weights", "own-method", "pytorch"} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_run_from_top_to_bottom(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_name_no_folder_of_the_machine_that_ran_them(path):
    texts = json.dumps([cell["outputs"] for cell in code_cells(path)])
    texts = re.sub(r"[\w+/=]{200,}", "", texts)  # pictures
    assert not re.findall(r"/(?:home|root|tmp|usr|opt)/\S*", texts)
