"""Units of work that train nerva: what they are called, what they leave, and going on where they were killed."""

import json
import shutil

import numpy as np
import pytest

import nerva
from nerva.experiments.paper import accuracy, cause, distributions, seeds
from nerva.experiments.paper.networks import network
from nerva.experiments.paper.protocol import full, milestones, quick
from nerva.experiments.paper.training import run
from nerva.experiments.paper.units import Unit, do, record
from nerva.training.checkpoints import read_checkpoint

from .runs import kill, tiny

PARTS = (accuracy, cause, seeds, distributions)


@pytest.mark.parametrize("protocol", [full(), full(masked_epochs=20), quick(), tiny(), full(dense=True)])
def test_units_of_one_name_are_the_same(protocol):
    units = [unit for part in PARTS for unit in part.units(protocol)]
    found = {}
    for unit in units:
        known = found.setdefault(unit.name, unit)
        assert (known.work, known.settings, known.cost) == (unit.work, unit.settings, unit.cost)
    assert len(found) < len(units)  # parts share runs
    assert all(json.loads(json.dumps(unit.settings)) == unit.settings for unit in units)
    for part in PARTS:
        names = [unit.name for unit in part.units(protocol)]
        assert len(set(names)) == len(names)


def test_the_parts_run_what_the_protocol_says():
    protocol = full(masked_epochs=20, seeds=(1, 2), sparsities=(0.5, 0.99), cause_sparsities=(0.95, 0.99))
    assert [unit.name for unit in accuracy.units(protocol)][:3] == [
        "nerva-0.5-1-20",
        "masked-0.5-1-20",
        "nerva-0.5-1-100",
    ]
    assert len(accuracy.units(protocol)) == 2 * 2 * 3
    assert len(accuracy.units(full(masked_epochs=20, dense=True, seeds=(1,)))) == 7 * 3 + 2
    names = {unit.name for unit in cause.units(protocol)}
    assert len([name for name in names if "twice" in name]) == 1 * 2 * 4  # at 0.99 alone
    assert {
        "steps-float32-0.95-5",
        "steps-float64-0.99-1",
        "nerva-twice-0.99-2-100",
        "nerva-twice-biased-0.99-2-100",
    } <= names
    assert "nerva-0.99-1-100" in {unit.name for unit in seeds.units(protocol)} & names
    assert {"nerva-0.99-10.1.1-100", "nerva-0.99-1.10.10-100"} <= {unit.name for unit in seeds.units(protocol)}
    assert len(seeds.units(protocol)) == 19
    assert len(distributions.units(protocol)) == 4 * 5 * 2


def test_a_run_is_that_of_fit(tmp_path):
    protocol = tiny()
    unit = run(protocol, "nerva", 0.9, (3, 4, 5), 3)
    found, data = do(unit, tmp_path)["result"], protocol.load()
    model = network(protocol.sizes, 0.9, support_seed=3, weight_seed=4)
    history = model.fit(
        *data.train,
        validation=data.test,
        epochs=3,
        optimizer=nerva.Nesterov(0.9),
        schedule=nerva.MultiStep(0.03, [2, 3], 0.1),
        rng=np.random.Generator(np.random.PCG64(np.random.SeedSequence([5, 2]))),
        augment=nerva.Augment((3, 32, 32)),
    )
    assert found["loss"] == [epoch.loss for epoch in history.epochs]
    assert found["accuracy"] == [epoch.test_accuracy for epoch in history.epochs]
    assert found["weights"] == sum(found["nonzeros"]) == model.nnz
    assert not list(tmp_path.glob("*/"))


def test_a_record_tells_all_settings_but_the_place_of_the_data(tmp_path):
    unit = run(tiny(), "nerva", 0.99, 1, 1)
    settings = do(unit, tmp_path)["settings"]
    assert "data" not in settings
    assert settings == {name: value for name, value in unit.settings.items() if name != "data"}
    assert (settings["label"], settings["samples"], settings["seeds"]) == ("Shapes", 250, [1, 1, 1])
    moved = run(tiny(data="elsewhere"), "nerva", 0.99, 1, 1)
    other = run(tiny(label="Other data"), "nerva", 0.99, 1, 1)
    assert record(tmp_path, moved) == record(tmp_path, unit)
    assert record(tmp_path, other) is None


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    unit = run(tiny(sizes=(3072, 256, 10)), "nerva", 0.5, 1, 60)
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    path = kill(unit, folders[1], "*.safetensors")
    before = [epoch["seconds"] for epoch in read_checkpoint(path)["history"]]
    whole, resumed = (do(unit, folder)["result"] for folder in folders)
    assert 0 < len(before) < 60
    assert resumed["seconds"][: len(before)] == [round(seconds, 3) for seconds in before]  # these were not run again
    assert (resumed["loss"], resumed["accuracy"]) == (whole["loss"], whole["accuracy"])
    assert not (folders[1] / unit.name).exists()


def test_what_a_killed_run_with_other_settings_left_is_not_used(tmp_path):
    unit, other = (run(tiny(momentum=momentum), "nerva", 0.9, 1, 40) for momentum in (0.9, 0.5))
    kill(unit, tmp_path, "*.safetensors")
    found = do(other, tmp_path)["result"]
    shutil.rmtree(tmp_path)
    assert found["loss"] == do(other, tmp_path)["result"]["loss"]


def test_the_rate_falls_with_whole_epochs():
    assert [milestones(epochs) for epochs in (1, 2, 10, 30, 100)] == [[1, 1], [1, 2], [5, 8], [15, 23], [50, 75]]
    schedule = full().schedule(0.99, 10)
    assert [schedule(epoch) for epoch in (4.9, 5.0, 7.9, 8.0)] == pytest.approx([0.1, 0.01, 0.01, 0.001])


RATES = {0.0: 0.01, 0.5: 0.01, 0.8: 0.01, 0.9: 0.03, 0.95: 0.03, 0.99: 0.1, 0.999: 0.1}


@pytest.mark.parametrize(("sparsity", "rate"), RATES.items())
def test_rates_are_those_of_the_original(sparsity, rate):
    assert full().rate(sparsity) == rate


def test_costs_follow_the_work():
    protocol = full()
    cost = {side: [run(protocol, side, s, 1, 100).cost for s in (0.5, 0.9, 0.99)] for side in ("nerva", "masked")}
    assert cost["nerva"][0] > 4 * cost["nerva"][1] > 12 * cost["nerva"][2]
    assert cost["masked"][0] == cost["masked"][2] > cost["nerva"][0]
    assert run(protocol, "nerva", 0.99, 1, 50).cost == pytest.approx(cost["nerva"][2] / 2)


def test_a_unit_that_fails_keeps_what_it_has_done(tmp_path):
    def work(settings, folder):
        (folder / "state").touch()
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        do(Unit("fails", work), tmp_path)
    assert (tmp_path / "fails" / "state").exists()
    assert not (tmp_path / "fails.json").exists()
