"""The part `layers`: its section from records that are made up."""

import pytest

from nerva.experiments.paper import layers
from nerva.experiments.paper.layer_times import DENSITIES, PRODUCTS

from .canned import protocol, turn, write


def products(floor=1e-6, rate=1e-4, bent=1.0):
    """Rounds of products whose times are a line, but at density 1 `bent` times as long."""
    made = {"read/1": turn(1e-5)}
    for threads in (1, 2):
        for product in PRODUCTS:
            made[f"{product}@0/{threads}"] = turn(floor)
            for d in DENSITIES:
                made[f"{product}@{d:g}/{threads}"] = turn((floor + rate * d) * (bent if d == 1 else 1))
            made[f"dense {product}/{threads}"] = turn(floor + rate / 2)
        made |= {f"write Y/{threads}": turn(floor / 4), f"write DX/{threads}": turn(floor / 4)}
    return {"rounds": [made, made]}


def steps():
    """Profiles of both sparsities, with one thread and two."""
    rows = [("0 SparseLinear 40-16", p, 1e-5) for p in ("forward", "backward")]
    rows += [("1 Linear 16-10", p, 2e-5) for p in ("forward", "backward")] + [("", "loss", 3e-5), ("", "data", 4e-5)]
    made = {"rows": [dict(zip(("layer", "phase", "seconds"), row, strict=True)) for row in rows], "steps": {"": 3}}
    names = [f"{s}/{threads}" for s in ("0.5", "0.99") for threads in (1, 2)]
    densities = {"0.5": [0.5, 1.0], "0.99": [0.01, 0.1]}
    return {"rounds": [], "profiles": {name: [made] * 2 for name in names}, "densities": densities}


@pytest.fixture
def folder(tmp_path):
    """A folder with all records."""
    *shapes, profiled = layers.units(protocol())
    for unit in shapes:
        write(tmp_path, unit, products())
    write(tmp_path, profiled, steps())
    return tmp_path


def test_there_is_a_unit_for_each_layer_and_one_for_the_steps():
    units = layers.units(protocol())
    assert [unit.name for unit in units] == ["layers-40-16", "layers-16-10", "layers-steps"]
    assert all(unit.alone for unit in units)
    assert units[0].settings["shape"] == [40, 16]


def test_the_section_says_where_the_time_bends(folder):
    section = layers.section(protocol(), folder)
    assert section.missing == ()
    row = dict(zip(section.tables[1].header, section.tables[1].rows[0], strict=True))
    assert (row["layer"], row["product"]) == ("40-16", "forward")
    assert (row["no weights, µs"], row["floor, µs"], row["per percent of density, µs"]) == ("1.00", "1.00", "1.00")
    assert (row["bend at density"], row["furthest from the line"]) == ("0.01", "0%")
    assert row["as slow as dense at density"] == "0.5"
    assert len(section.tables[1].rows) == 6
    assert section.answer.startswith("In the layer 40-16 time follows density down to 0.01 (forward)")
    assert any("52 GB/s" in text for text in section.text)
    assert any("writing alone is 25%" in text for text in section.text)


def test_the_claim_is_that_times_are_on_a_line(folder):
    assert layers.section(protocol(), folder).claims[0].verdict == "holds"
    units = layers.units(protocol())
    write(folder, units[0], products(bent=3.0))
    assert layers.section(protocol(), folder).claims[0].verdict == "holds in part"
    write(folder, units[1], products(bent=3.0))
    assert layers.section(protocol(), folder).claims[0].verdict == "does not hold"


def test_the_steps_are_shown_by_layer(folder):
    section = layers.section(protocol(), folder)
    row = dict(zip(section.tables[3].header, section.tables[3].rows[1], strict=True))
    assert row["40-16, density"] == "0.01"
    assert section.tables[3].rows[1] == ["99 %", "0.01", "10.0", "10.0", "0.1", "20.0", "20.0", "70.0", "130"]
    assert [picture.name for picture in section.pictures] == ["layers", "layers-steps"]


def test_units_that_are_missing_are_named_and_the_rest_is_shown(folder):
    (folder / "layers-40-16.json").unlink()
    section = layers.section(protocol(), folder)
    assert section.missing == ("layers-40-16",)
    assert len(section.tables[0].rows) == 3
    (folder / "layers-16-10.json").unlink()
    assert [picture.name for picture in layers.section(protocol(), folder).pictures] == ["layers-steps"]
    (folder / "layers-steps.json").unlink()
    section = layers.section(protocol(), folder)
    assert (*section.tables, *section.pictures, *section.claims, section.answer) == ("",)
