"""The part `scaling`: its units, and its section from records that are made up."""

import pytest

from nerva.experiments.paper import scaling
from nerva.experiments.paper.protocol import full, quick

from .canned import protocol, rounds, write


@pytest.fixture
def folder(tmp_path):
    """A folder with all records; PyTorch did not fit in the last."""
    *units, last = scaling.units(protocol())
    for unit in units:
        write(tmp_path, unit, {"rounds": rounds(nerva_2=(1.0, 2.0), masked_2=(4.0, 6.0))})
    write(tmp_path, last, {"left out": "needs 9.9 GB; 1.0 GB were free", "rounds": rounds(nerva_2=(1.0, 3.0))})
    return tmp_path


def test_there_is_a_unit_for_each_network_and_none_twice():
    units = scaling.units(full(threads=2))
    assert [unit.name for unit in units] == [
        *("scaling-1x1024", "scaling-2x1024", "scaling-3x1024", "scaling-5x1024", "scaling-10x1024"),
        *("scaling-3x2048", "scaling-3x4096", "scaling-3x8192", "scaling-3x16384"),
    ]
    assert all(unit.alone for unit in units)
    assert units[0].settings["steps"] == 20
    assert units[-1].settings["steps"] == 1
    assert 9e9 < units[-1].settings["masked bytes"] < 15e9
    assert sum(unit.cost for unit in units) < 240
    assert len(scaling.units(quick())) < 6


def test_the_section_scales_to_the_epoch_of_the_logs(folder):
    section = scaling.section(protocol(), folder)
    assert section.missing == ()
    (table,) = section.tables
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert (row["hidden layers"], row["nerva, s"], row["masked, s"]) == ("1 x 16", "15.0", "50.0")
    assert row["masked : nerva"] == "3.50 (3.00 to 4.00)"
    assert "3.50 with 1 hidden layer of 16" in section.answer


def test_what_does_not_fit_is_left_out_by_name(folder):
    section = scaling.section(protocol(), folder)
    row = section.tables[0].rows[-1]
    assert row[:5] == ["2 x 32", "20.0", "needs 9.9 GB; 1.0 GB were free", "", "2 of 2, near"]
    assert "of 32" not in section.answer
    masked = section.pictures[0].figure.axes[1].get_lines()[1]
    assert list(masked.get_xdata()) == [16]


def test_the_logs_stand_beside_networks_that_they_have(tmp_path):
    chosen = protocol(depths=(1,), width=1024, widths=(1024,), depth=3)
    for unit in scaling.units(chosen):
        write(tmp_path, unit, {"rounds": rounds(nerva_2=(1.0, 2.0), masked_2=(4.0, 6.0))})
    rows = scaling.section(chosen, tmp_path).tables[0].rows
    assert [row[5:] for row in rows] == [["2.37", "10.5", "4.43"], ["4.20", "17.6", "4.19"]]


def test_units_that_are_missing_are_named(tmp_path):
    section = scaling.section(protocol(), tmp_path)
    assert section.missing == ("scaling-1x16", "scaling-2x16", "scaling-2x32")
    assert (*section.tables, *section.pictures, *section.claims, section.answer) == ("",)
