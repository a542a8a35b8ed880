"""The part `memory`: what is counted, its units, and its section from records that are made up."""

import pytest

import nerva
from nerva.experiments.paper import memory

from .canned import protocol, write

OURS = {"nonzeros": 7, "weights": 100, "training": 200, "grown": 1000, "peak": 2000}
THEIRS = {"weights": 3200, "training": 12800, "grown": 20000, "peak": 30000}


@pytest.fixture
def folder(tmp_path):
    """A folder with all records."""
    for unit in memory.units(protocol()):
        write(tmp_path, unit, {"nerva": OURS, "masked": THEIRS})
    return tmp_path


def test_there_is_a_unit_for_each_sparsity_and_for_a_wide_network():
    units = memory.units(protocol())
    assert [unit.name for unit in units] == ["memory-0.5", "memory-0.99", "memory-wide"]
    assert units[2].settings["sizes"] == [8192, 8192, 8192]
    assert not any(unit.alone for unit in units)


def test_weights_are_counted_with_their_indices_and_dense_ones_without():
    model = nerva.MLP([3072, 1024, 512, 10], density=0.01, seed=0)
    assert memory.stored(model) == 8 * model.nnz + 4 * (1025 + 513 + 11)
    assert round(4 * model.dense_size / memory.stored(model)) == 49
    assert memory.stored(nerva.MLP([6, 5, 4], density=1.0)) == 4 * (30 + 20)


def test_nerva_is_measured_in_a_network_that_is_trained():
    settings = memory.units(protocol())[1].settings | {"sizes": [512, 1024, 10], "threads": 2}
    threads = nerva.get_num_threads()
    try:
        found = memory.NervaMemory(settings).measure()
    finally:
        nerva.set_num_threads(threads)
    assert set(found) == {"nonzeros", "weights", "training", "grown", "peak"}
    assert abs(found["nonzeros"] - 0.01 * (512 * 1024 + 10 * 1024)) < 2
    assert found["training"] > found["weights"] > 8 * found["nonzeros"]


def test_the_section_compares_weights_training_and_process(folder):
    section = memory.section(protocol(), folder)
    (table,) = section.tables
    dense = 4 * (40 * 16 + 160)
    assert table.rows[0][:5] == ["50 %", "7", "0.00010", "0.00320", f"{dense / 100:.1f}"]
    assert table.rows[0][5:8] == ["0.00020", "0.0128", "64.0"]
    assert table.rows[0][8:11] == ["0.00100", "0.0200", "20.0"]
    assert table.rows[2][0] == "99 %, 8192-8192-8192"
    assert len(table.header) == len(table.rows[0])
    assert section.missing == ()
    (claim,) = section.claims
    assert claim.verdict == "does not hold"
    assert claim.found.startswith("32.00 times less")


def test_the_paper_s_claim_holds_where_the_weights_take_a_49th(folder):
    write(folder, memory.units(protocol())[1], {"nerva": OURS | {"weights": 65}, "masked": THEIRS})
    assert memory.section(protocol(), folder).claims[0].verdict == "holds"


def test_what_does_not_fit_is_left_out_by_name(folder):
    unit = memory.units(protocol())[1]
    write(folder, unit, {"nerva": OURS, "masked": {"left out": "needs 9 GB; 1 GB are free"}})
    section = memory.section(protocol(), folder)
    assert "needs 9 GB; 1 GB are free" in section.tables[0].rows[1]
    assert len(section.pictures[0].figure.axes[0].get_lines()[0].get_xdata()) == 1


def test_units_that_are_missing_are_named(tmp_path):
    section = memory.section(protocol(), tmp_path)
    assert section.missing == ("memory-0.5", "memory-0.99", "memory-wide")
    assert (*section.tables, *section.pictures, *section.claims, section.answer) == ("",)
