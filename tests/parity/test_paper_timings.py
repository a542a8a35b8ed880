"""The measuring parts of the paper's experiments, run for real on tiny networks, with PyTorch."""

import json
from dataclasses import replace

import numpy as np
import pytest

from nerva.experiments.paper import inference, memory, scaling, small, timing
from nerva.experiments.paper.peers import Torch, setting
from nerva.experiments.paper.protocol import quick
from nerva.experiments.paper.units import do

pytest.importorskip("torch")


@pytest.fixture
def protocol(monkeypatch):
    """A protocol of tiny networks on generated images; threads that wait do not spin, which would take the cores."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    others = {"depths": (1,), "width": 16, "widths": (32,), "depth": 1}
    return quick(samples=300, sizes=(3072, 16, 10), sparsities=(0.9,), rounds=2, threads=2, data="shapes", **others)


def done(unit, folder):
    """The result of a unit that is done, as its record has it."""
    made = do(unit, folder)
    assert json.loads((folder / f"{unit.name}.json").read_text())["result"] == made["result"]
    return made["result"]


def check(turns, names):
    """Every one had a turn."""
    assert set(turns) == set(names)
    for turn in turns.values():
        assert turn["seconds"] > 0
        assert turn["others"] >= 0
        assert turn["cores"] in ("near", "far", "one core", "mixed")


def test_an_epoch_is_timed_with_one_thread_and_all(protocol, tmp_path):
    (unit,) = timing.units(protocol)
    rounds = done(unit, tmp_path)["rounds"]
    assert len(rounds) == 2
    check(rounds[0], [f"{side}/{threads}" for side in ("nerva", "masked", "dense") for threads in (1, 2)])
    section = timing.section(protocol, tmp_path)
    assert section.missing == ()
    assert section.tables[0].rows[0][0] == "90 %"


def test_predictions_are_timed(protocol, tmp_path):
    unit = inference.units(protocol)[1]
    rounds = done(unit, tmp_path)["rounds"]
    check(rounds[1], [f"{side}/{t}/{batch}" for side in ("nerva", "PyTorch") for t in (1, 2) for batch in (1, 100)])
    assert inference.section(protocol, tmp_path).missing == ("inference-0",)


def test_the_memory_of_both_sides_is_measured(protocol, tmp_path):
    found = done(memory.units(protocol)[0], tmp_path)
    dense = 4 * (3072 * 16 + 16 * 10)
    assert found["masked"]["weights"] == dense
    assert 3 * dense < found["masked"]["training"] < 4.1 * dense
    assert found["nerva"]["weights"] < dense / 4
    assert memory.section(protocol, tmp_path).missing == ("memory-wide",)


def test_masked_pytorch_that_does_not_fit_is_left_out(protocol, tmp_path, monkeypatch):
    monkeypatch.setattr(memory.ram, "free", lambda: 1000)
    assert done(memory.units(protocol)[0], tmp_path)["masked"]["left out"].endswith("0.0 GB are free")
    found = done(scaling.units(protocol)[0], tmp_path)
    assert found["left out"].endswith("0.0 GB were free")
    check(found["rounds"][0], ["nerva/2"])
    assert scaling.section(protocol, tmp_path).missing == ("scaling-1x32",)


def test_small_networks_are_timed_beside_dense_pytorch(protocol, tmp_path):
    unit = next(unit for unit in small.units(protocol) if unit.name == "small-32")
    fewer = replace(unit, settings=unit.settings | {"densities": [0.1, 1.0]})
    check(done(fewer, tmp_path)["rounds"][0], ["0.1", "1", "PyTorch"])


def test_masked_steps_leave_weights_off_the_support_zero_and_dense_ones_do_not():
    peer = Torch(setting((30, 20, 10), 0.9, 10, 100))
    peer.prepare("masked", 1, 3)
    peer.run()
    peer._network.check_support()
    before = [np.count_nonzero(W) for W in peer._network.weights()]
    peer.prepare("dense", 1, 3)
    peer.run()
    assert np.count_nonzero(peer._network.weights()[0]) > before[0]


def test_the_data_of_a_protocol_are_what_is_trained_on(protocol):
    from nerva.experiments.paper.peers import samples

    X, y = samples(timing.units(protocol)[0].settings)
    wanted = protocol.load().train
    np.testing.assert_array_equal(np.asarray(X), np.asarray(wanted.X))
    np.testing.assert_array_equal(y, wanted.y)
