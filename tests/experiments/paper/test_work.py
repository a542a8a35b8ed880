"""Part `work`: what is counted, the roofline, and energy."""

import json

import pytest

import nerva
from nerva.experiments.flops import epoch_work
from nerva.experiments.paper import timing, work
from nerva.experiments.paper.protocol import full
from nerva.experiments.paper.units import do

SIZES, SPARSITIES = (3072, 20, 10), (0.9, 0.99)


@pytest.fixture
def protocol():
    return full(label="Photos", samples=1000, sizes=SIZES, sparsities=SPARSITIES, threads=2)


@pytest.fixture
def folder(tmp_path, protocol):
    """Records in which nerva's epoch takes 1 s at 90 % and 0.1 s at 99 %, masked PyTorch's 10 s."""
    made = {
        unit.name: {"rounds": [{f"{side}/2": turn(s) for side, s in zip(timing.SIDES, seconds, strict=True)}]}
        for unit, seconds in zip(timing.units(protocol), [(1.0, 10.0, 10.0), (0.1, 10.0, 10.0)], strict=True)
    }
    made["work-machine"] = {"peak": 2e9, "bandwidth": 1e9}
    made["work-energy"] = {"reason": "there are no counters"}
    for unit in work.units(protocol):
        leave(tmp_path, unit, made[unit.name])
    return tmp_path


def turn(seconds):
    return {"seconds": seconds, "others": 0.0, "cores": "near"}


def leave(folder, unit, result):
    """Leave a record, as a unit does."""
    do(type(unit)(unit.name, lambda settings, own: result, unit.settings), folder)


def test_the_table_has_the_work_of_an_epoch(protocol, folder):
    section = work.section(protocol, folder)
    (table,) = section.tables
    dense, first, second = table.rows
    whole = epoch_work(nerva.MLP(SIZES), 1000, 100, nerva.Nesterov(0.9)).total()
    assert dense[:3] == ["dense", f"{whole.flops / 1e9:.3f}", "100.00%"]
    assert [first[0], second[0]] == ["90 %", "99 %"]
    total = epoch_work(nerva.MLP(SIZES, density=0.1, seed=0), 1000, 100, nerva.Nesterov(0.9)).total()
    assert first[2] == f"{total.flops / whole.flops:.2%}"
    assert float(first[5]) == pytest.approx(total.bytes / 1e9, rel=0.1)  # what the memory allows; of phases, the more
    assert (first[6], second[6]) == ("1.00", "0.100")
    assert "Photos" in table.caption


def test_time_that_falls_as_the_operations_do_is_a_claim_that_holds(protocol, folder):
    (claim,) = work.section(protocol, folder).claims
    assert claim.verdict == "holds"
    assert "nerva's seconds / 10.0" in claim.found


def test_the_roofline_has_a_point_for_each_sparsity(protocol, folder):
    (picture,) = work.section(protocol, folder).pictures
    roof, points, masked, useful = picture.figure.axes[0].lines
    assert max(roof.get_ydata()) == 2.0
    assert len(points.get_xdata()) == len(masked.get_xdata()) == len(useful.get_xdata()) == 2
    assert points.get_ydata()[0] == pytest.approx(10 * useful.get_ydata()[0])  # a tenth of the time, the same work


def test_energy_is_left_out_by_name(protocol, folder):
    section = work.section(protocol, folder)
    assert "Energy is left out: there are no counters." in section.text


def test_energy_that_is_told_is_a_table(protocol, folder):
    joules = {"0.9": {"nerva": 2.0, "masked": 30.0}, "0.99": {"nerva": 0.5, "masked": 30.0}}
    path = folder / "work-energy.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"result": {"steps": 50, "joules": joules}}))
    _, energies = work.section(protocol, folder).tables
    assert energies.rows[1] == ["99 %", "0.500", "30.0", "60.0"]


def test_a_machine_without_counters_is_told_at_once(tmp_path):
    settings = {"root": str(tmp_path / "none"), "sparsities": [0.9]}
    assert work.measure_energies(settings, tmp_path) == {
        "reason": f"there are no energy counters in {tmp_path / 'none'}"
    }


def test_without_records_there_are_the_counts(protocol, tmp_path):
    section = work.section(protocol, tmp_path)
    assert section.missing == tuple(unit.name for unit in work.units(protocol))
    assert section.pictures == []
    assert section.tables[0].rows[1][6:] == ["", ""]
    assert section.answer.startswith("An epoch takes this part of the operations of the dense network: 10.")
