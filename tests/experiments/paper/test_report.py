"""The report that is made from the records of a folder."""

import json
from pathlib import Path

import pytest

from nerva.experiments.paper import parts
from nerva.experiments.paper.folder import Folder
from nerva.experiments.paper.protocol import full
from nerva.experiments.paper.report import write_report
from nerva.experiments.paper.units import do

from .test_document import Page

SESSION = {
    "began": "2026-01-02T03:04:05+00:00",
    "seconds": 61.0,
    "units": 2,
    "command": "nerva reproduce paper --out x",
}
MACHINES = {"processor": "One", "PyTorch": "2.13"}, {"processor": "Two", "PyTorch": "2.13"}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A folder with a run of two parts, in two sessions, of which one unit has failed."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(parts, "PARTS", {"timing": "fake_part", "accuracy": "other_part"})
    protocol = full(data=str(tmp_path), label="Photos", seeds=(20, 101), threads=2)
    folder = Folder(tmp_path / "out")
    folder.records.mkdir(parents=True)
    for unit in parts.all_units(parts.load(parts.PARTS).values(), protocol):
        if unit.name != "fake-101":
            do(unit, folder.records)
    sessions = [{**SESSION, "machine": machine} for machine in MACHINES]
    folder.write(protocol, parts=["timing", "accuracy"], failures={"fake-101": "no memory"}, sessions=sessions)
    return folder


def test_the_order_is_answers_claims_figures_parts_and_how_it_was_made(folder):
    assert write_report(folder) == ["report.md", "report.html", "figures/time.svg"]
    text = (folder.path / "report.md").read_text()
    order = [
        "2026-01-02",
        "Data: Photos;",
        "**This report is not complete.**",
        "- fake-101 failed: no memory",
        "## Answers",
        "- **Time | of a part**: 1 units are done.",
        "## What the paper says, and what was found",
        "| four times | 5x (4.5 to 5.5) | holds |",
        '![What "it" shows.](figures/time.svg)',
        "## Time | of a part",
        "See figure 1 above.",
        "**Table 2.** Accuracies. Photos.",
        "## Accuracy",
        "## How this was made",
        "\nnerva reproduce paper --out x\n",
        "| seeds | 20, 101 |",
        "| processor | One |",
        "| processor | Two |",
        "2 min 02 s from start to end, in 2 sessions",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.count("\nnerva reproduce paper --out x\n") == 1  # the same command twice


def test_the_command_of_a_part_is_that_of_the_run(folder):
    write_report(folder)
    text = (folder.path / "report.md").read_text()
    assert "```text\nnerva reproduce paper --out x --part timing\n```" in text
    assert "```text\nnerva reproduce paper --out x --part accuracy\n```" in text


def test_it_names_no_place_of_the_machine(folder):
    for name in write_report(folder):
        text = (folder.path / name).read_text()
        assert str(folder.path.parent) not in text
    assert str(folder.path.parent) not in (folder.path / "run.json").read_text()


def test_the_page_is_well_formed_and_small(folder):
    write_report(folder)
    text = (folder.path / "report.html").read_text()
    page = Page(text)
    assert len(page.all("img")) == 1
    assert len(text) < 1_500_000


def test_it_is_the_same_every_time(folder):
    before = {name: (folder.path / name).read_bytes() for name in write_report(folder)}
    assert {name: (folder.path / name).read_bytes() for name in write_report(folder)} == before


def test_a_part_without_records_is_named(folder):
    for path in folder.records.glob("*.json"):
        path.unlink()
    write_report(folder)
    text = (folder.path / "report.md").read_text()
    assert "- Accuracy: nothing is done yet" in text
    assert "## Accuracy" not in text


def test_settings_of_another_version_are_refused(folder):
    state = json.loads((folder.path / "run.json").read_text())
    state["settings"]["wheels"] = 4
    (folder.path / "run.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="made by another version of nerva: wheels is unknown"):
        write_report(folder)
