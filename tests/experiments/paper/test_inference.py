"""The part `inference`: its units, and its section from records that are made up."""

import pytest

from nerva.experiments.paper import inference

from .canned import protocol, turn, write


def result(nerva, torch):
    names = [f"{threads}/{batch}" for threads in (1, 2) for batch in (1, 100)]
    return {
        "rounds": [
            {f"{side}/{name}": turn(s) for name in names for side, s in (("nerva", a), ("PyTorch", b))}
            for a, b in zip(nerva, torch, strict=True)
        ]
    }


@pytest.fixture
def folder(tmp_path):
    """A folder with the records of the dense network and both sparsities."""
    for unit in inference.units(protocol()):
        write(tmp_path, unit, result((1e-4, 3e-4), (2e-4, 3e-4) if unit.settings["sparsity"] < 0.9 else (4e-4, 9e-4)))
    return tmp_path


def test_there_is_a_unit_for_each_sparsity_and_for_the_dense_network():
    units = inference.units(protocol())
    assert [unit.name for unit in units] == ["inference-0", "inference-0.5", "inference-0.99"]
    assert all(unit.alone for unit in units)
    assert units[0].settings["batches"] == [1, 100]


def test_the_section_has_a_table_for_each_batch_and_number_of_threads(folder):
    section = inference.section(protocol(), folder)
    captions = [table.caption for table in section.tables]
    assert ["of 1 sample (" in caption for caption in captions] == [True, True, False, False]
    assert [", 2 threads." in caption for caption in captions] == [False, True, False, True]
    row = dict(zip(section.tables[3].header, section.tables[3].rows[2], strict=True))
    assert row["sparsity"] == "99 %"
    assert (row["nerva, ms"], row["PyTorch, ms"], row["PyTorch : nerva"]) == ("0.200", "0.650", "3.50 (3.00 to 4.00)")
    assert (row["original, ms"], row["their ratio"]) == ("4.50", "2.13")
    assert section.tables[0].rows[0][0] == "dense"
    assert "3.50 at 99 %" in section.answer


@pytest.mark.parametrize(
    ("torch", "verdict"), [((4e-4, 9e-4), "holds"), ((1.1e-4, 2e-4), "does not hold"), ((1e-5, 1e-5), "does not hold")]
)
def test_the_claim_is_about_sparsities_from_95_percent(folder, torch, verdict):
    write(folder, inference.units(protocol())[2], result((1e-4, 3e-4), torch))
    (claim,) = inference.section(protocol(), folder).claims
    assert claim.verdict == verdict
    assert "99 %, 1:" in claim.found
    assert "50 %" not in claim.found


def test_units_that_are_missing_are_named(folder, tmp_path):
    (folder / "inference-0.99.json").unlink()
    section = inference.section(protocol(), folder)
    assert section.missing == ("inference-0.99",)
    assert section.claims == []
    (folder / "inference-0.5.json").unlink()
    assert inference.section(protocol(), folder).answer == ""
    (folder / "inference-0.json").unlink()
    assert inference.section(protocol(), folder).tables == []
