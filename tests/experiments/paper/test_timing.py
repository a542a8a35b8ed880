"""The part `timing`: its units, and its section from records that are made up."""

import pytest

from nerva.experiments.paper import timing
from nerva.experiments.paper.figures import svg
from nerva.experiments.paper.protocol import full, quick

from .canned import protocol, rounds, turn, write


def result(nerva, masked, dense=(8.0, 8.0, 8.0)):
    return {
        "rounds": rounds(
            nerva_1=[2 * s for s in nerva],
            masked_1=masked,
            dense_1=dense,
            nerva_2=nerva,
            masked_2=masked,
            dense_2=dense,
        )
    }


@pytest.fixture
def folder(tmp_path):
    """A folder with the records of both sparsities."""
    for unit in timing.units(protocol()):
        sparse = unit.settings["sparsity"] == 0.99
        write(tmp_path, unit, result((1.0, 2.0, 1.0), (5.0, 8.0, 4.0)) if sparse else result((8.0,) * 3, (4.0,) * 3))
    return tmp_path


def test_there_is_a_unit_for_each_sparsity_which_is_alone():
    units = timing.units(full(threads=2))
    assert [unit.name for unit in units] == [f"timing-{s}" for s in (0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999)]
    assert all(unit.alone for unit in units)
    assert units[0].settings["threads"] == [1, 2]
    assert units[0].settings["samples"] == 50_000
    assert units[0].settings["steps"] == 50
    assert units[0].cost > units[-1].cost
    assert sum(unit.cost for unit in units) < 600
    assert sum(unit.cost for unit in timing.units(quick(threads=2))) < 150


def test_one_thread_is_timed_once():
    assert timing.units(protocol(threads=1))[0].settings["threads"] == [1]


def test_the_section_has_medians_and_ratios_with_their_range(folder):
    section = timing.section(protocol(), folder)
    assert section.missing == ()
    one, two = section.tables
    assert "1 thread;" in one.caption
    assert "made-up images" in two.caption
    row = dict(zip(two.header, two.rows[1], strict=True))
    assert row["sparsity"] == "99 %"
    assert (row["nerva, s"], row["masked, s"]) == ("1.00", "5.00")
    assert row["masked : nerva"] == "4.00 (4.00 to 5.00)"
    assert row["rounds that count"] == "3 of 3, near"
    assert (row["original, s"], row["its masked PyTorch, s"], row["their ratio"]) == ("2.87", "12.2", "4.23")
    assert one.rows[1][4] == "2.00 (2.00 to 2.50)"
    assert "4.00 at 99 %" in section.answer
    assert [len(table.header) == len(row) for table in section.tables for row in table.rows] == [True] * 4


def test_the_claims_are_judged_by_the_ratios_of_all_rounds(folder):
    speed, slower = timing.section(protocol(), folder).claims
    assert (speed.verdict, slower.verdict) == ("holds", "holds")
    assert "4.00 (4.00 to 5.00)" in speed.found


@pytest.mark.parametrize(
    ("masked", "verdict"),
    [((3.9, 8.0, 4.0), "holds in part"), ((1.5, 3.0, 1.6), "holds in part"), ((0.9, 2.0, 1.1), "does not hold")],
)
def test_the_speed_of_the_paper_must_be_reached_in_all_rounds(folder, masked, verdict):
    write(folder, timing.units(protocol())[1], result((1.0, 2.0, 1.0), masked))
    assert timing.section(protocol(), folder).claims[0].verdict == verdict


def test_the_figure_shows_all_sides_and_the_logs(folder):
    (picture,) = timing.section(protocol(), folder).pictures
    left, right = picture.figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "nerva",
        "masked PyTorch",
        "dense PyTorch",
        "original (its logs)",
    ]
    assert len(right.get_lines()) == 4  # two ratios, the logs', and 1
    assert svg(picture.figure).startswith(b"<?xml")


def test_units_that_are_missing_are_named_and_the_rest_is_shown(folder):
    (folder / "timing-0.5.json").unlink()
    section = timing.section(protocol(), folder)
    assert section.missing == ("timing-0.5",)
    assert [row[0] for row in section.tables[0].rows] == ["99 %"]
    assert len(section.claims) == 1


def test_nothing_done_is_an_empty_section(tmp_path):
    section = timing.section(protocol(), tmp_path)
    assert section.missing == ("timing-0.5", "timing-0.99")
    assert (*section.tables, *section.pictures, *section.claims, section.answer) == ("",)


def test_rounds_that_were_disturbed_are_told(folder):
    unit = timing.units(protocol())[1]
    made = result((1.0, 2.0, 1.0), (5.0, 8.0, 4.0))
    made["rounds"][1]["masked/2"] = turn(80.0, others=1.0)
    write(folder, unit, made)
    section = timing.section(protocol(), folder)
    assert section.tables[1].rows[1][6] == "2 of 3, near"
    assert section.tables[1].rows[1][4] == "4.50 (4.00 to 5.00)"


def test_a_claim_is_open_where_all_rounds_were_disturbed(folder):
    unit = timing.units(protocol())[1]
    made = result((1.0, 2.0, 1.0), (5.0, 8.0, 4.0))
    for taken in made["rounds"]:
        taken["dense/2"]["others"] = 1.0
    write(folder, unit, made)
    section = timing.section(protocol(), folder)
    assert section.claims[0].verdict == "open"
    assert "3 of 3, near, disturbed" in section.claims[0].found
    assert section.claims[1].verdict == "holds"
