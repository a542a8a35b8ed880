"""The part `small`: its units, and its section from records that are made up."""

import pytest

from nerva.experiments.paper import small

from .canned import protocol, rounds, turn, write


def widths(dense):
    """Rounds of networks of one width: nerva takes as many seconds as its density, PyTorch always the same."""
    return {"rounds": [{**{f"{d:g}": turn(d) for d in small.DENSITIES}, "PyTorch": turn(dense)}] * 2}


@pytest.fixture
def folder(tmp_path):
    """A folder with all records."""
    for unit in small.units(protocol()):
        if unit.name.startswith("small"):
            write(tmp_path, unit, widths(unit.settings["sizes"][0] / 2560))
        else:
            taken = {"nerva": (1.0, 2.0), "masked": (4.0, 6.0), "dense": (3.0, 6.0)}
            write(tmp_path, unit, {"rounds": rounds(**{f"{s}_2": own for s, own in taken.items()})})
    return tmp_path


def test_there_are_units_for_another_network_high_sparsity_and_small_widths():
    units = small.units(protocol())
    assert [unit.name for unit in units] == [
        *("other-0.5", "other-0.99", "other-0.9995", "other-0.9999", "highest-0.9995", "highest-0.9999"),
        *(f"small-{width}" for width in (32, 64, 128, 256, 512, 1024)),
    ]
    assert all(unit.alone for unit in units)
    assert units[0].settings["sizes"] == [784, 512, 256, 10]


def test_the_section_says_up_to_which_density_sparse_pays(folder):
    section = small.section(protocol(), folder)
    assert section.missing == ()
    table = section.tables[-1]
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert rows["128-128-128-10"]["as slow as PyTorch at density"] == "0.05"
    assert rows["32-32-32-10"]["as slow as PyTorch at density"] == "0.013"
    assert rows["32-32-32-10"]["as slow as dense nerva at density"] == "0.5 and above"
    assert rows["1024-1024-1024-10"]["density 0.01, µs"] == "500"
    assert rows["1024-1024-1024-10"]["PyTorch : density 0.01"] == "40.0 (40.0 to 40.0)"
    assert "0.05 at width 128" in section.answer


@pytest.mark.parametrize(("dense", "pays"), [(0.009, "below 0.01"), (0.6, "0.5 and above")])
def test_sparse_pays_never_or_always(folder, dense, pays):
    write(folder, small.units(protocol())[-1], widths(dense))
    assert small.section(protocol(), folder).tables[-1].rows[-1][-3] == pays


def test_the_other_network_has_the_claim_and_a_table(folder):
    section = small.section(protocol(), folder)
    assert ["784-512-256-10" in table.caption for table in section.tables] == [True, False, False]
    (claim,) = section.claims
    assert claim.verdict == "holds"
    assert "3.50 (3.00 to 4.00) at 99 %" in claim.found
    assert [picture.name for picture in section.pictures] == ["small-other", "small-width"]


def test_units_that_are_missing_are_named_and_the_rest_is_shown(folder):
    for path in folder.glob("other-*"):
        path.unlink()
    section = small.section(protocol(), folder)
    assert section.missing == ("other-0.5", "other-0.99", "other-0.9995", "other-0.9999")
    assert [picture.name for picture in section.pictures] == ["small-width"]
    for path in folder.iterdir():
        path.unlink()
    section = small.section(protocol(), folder)
    assert (*section.tables, *section.pictures, *section.claims, section.answer) == ("",)
