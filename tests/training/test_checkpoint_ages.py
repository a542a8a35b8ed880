"""Checkpoints of runs with Adam whose weights move: the ages of the weights are in them, older ones have none."""

import warnings

import numpy as np
import pytest

import nerva
from nerva.system.tensors import read_tensors, write_tensors
from nerva.training.checkpoints import Checkpoints

from ..training_reference import network, samples, state
from .test_checkpoints import SETTINGS, Kill, Killed

BORN = "layers.{}.parameters.weight.state.born"
RUNS = {
    "set": lambda: nerva.SET(every=3, unit="step"),
    "rigl": lambda: nerva.RigL(every=4, regrow=True, end=1.0),
    "srigl": lambda: nerva.SRigL(every=4),
    "chts": lambda: nerva.CHTs(every=3, unit="step"),
    "deepr": lambda: nerva.DeepR(1e-3, 1e-4),
    "top-kast": lambda: nerva.TopKAST(every=3),
}


def fit(folder=None, name="set", killed=None, kind=nerva.Adam, **settings):
    """Train a fresh network, to its end or to where it is killed; return all that training could change."""
    model, (X, y) = network(backend="native"), samples()
    if folder is not None:
        settings |= {"checkpoint": folder, "checkpoint_every": 1}
    settings |= {"optimizer": kind(), "schedule": 0.01, "topology": RUNS[name](), **SETTINGS}
    if killed is None:
        model.fit(X, y, **settings)
    else:
        with pytest.raises(Killed):
            model.fit(X, y, callbacks=[Kill(killed)], **settings)
    return state(model)


def forge(path, change):
    arrays, about = read_tensors(path)
    change(arrays, about)
    write_tensors(path, arrays, about)


@pytest.mark.parametrize("kind", [nerva.Adam, nerva.AdamW])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_again_and_again_gives_the_same_bits(tmp_path, name, kind):
    whole = fit(name=name, kind=kind)
    for number, killed in enumerate((7, 2, 4)):
        fit(tmp_path, name, killed, kind, resume=number > 0)
    last = max(tmp_path.glob("step-*.safetensors"), key=lambda path: int(path.stem.split("-")[1]))
    arrays, _ = read_tensors(last)
    found = [layer for layer in (0, 1) if BORN.format(layer) in arrays]
    assert found  # deep rewiring grows where weights cross zero, which may be in one layer alone
    for layer in found:
        born = arrays[BORN.format(layer)]
        assert born.dtype == np.int32
        assert born.shape == arrays[f"layers.{layer}.parameters.weight.values"].shape
        assert np.count_nonzero(born)
    assert fit(tmp_path, name, kind=kind, resume=True) == whole


def test_an_older_checkpoint_is_read(tmp_path):
    """One that was written when weights had the age of their layer: it goes on as it would have then."""

    def forget(arrays, about):
        for i, layer in enumerate(about["state"]["layers"]):
            del arrays[BORN.format(i)], layer["parameters"]["weight"]["state"]["born"]

    fit(tmp_path, killed=8)
    for path in tmp_path.glob("step-*.safetensors"):
        forge(path, forget)
    model, (X, y) = network(backend="native"), samples()
    model.fit(X, y, checkpoint=tmp_path, resume=True, optimizer=nerva.Adam(), schedule=0.01, topology=RUNS["set"](),
              **SETTINGS)  # fmt: skip
    for parameter in model.parameters():
        assert np.isfinite(parameter.values).all()
    born = model.parameters()[0].state["born"]
    assert set(born.tolist()) <= {0, 9, 12, 15, 18}  # of the steps: those of the updates since
    assert np.count_nonzero(born) > 0


@pytest.mark.parametrize(
    ("born", "message"),
    [
        (np.full(58, 9, np.int32), "from 9 to 9; it must be within 0 to 7 steps"),
        (np.full(58, -1, np.int32), "from -1 to -1"),
        (np.zeros(57, np.int32), "has shape"),
        (np.zeros(58, np.int64), "is int64"),
    ],
)
def test_ages_that_cannot_be_are_refused_before_anything_is_changed(tmp_path, born, message):
    fit(tmp_path, killed=8)
    for path in tmp_path.glob("step-*.safetensors"):
        forge(path, lambda arrays, about: arrays.update({BORN.format(0): born}))
    model, (X, y) = network(seed=4, backend="native"), samples()
    before = state(model)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, checkpoint=tmp_path, resume=True, optimizer=nerva.Adam(), schedule=0.01, topology=RUNS["set"](),
                  **SETTINGS)  # fmt: skip
    assert state(model) == before


def test_epochs_are_warned_of_where_a_topology_reckons_with_them(tmp_path):
    X, y = np.random.default_rng(0).standard_normal((40, 6)), np.arange(40) % 3
    for topology in (None, nerva.SET(every=3, unit="step")):
        folder, settings = (
            tmp_path / f"{topology}",
            {"batch_size": 10, "rng": 1, "verbose": False, "topology": topology},
        )
        for epochs, expected in ((2, False), (3, topology is not None)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model = nerva.MLP([6, 8, 3], density=0.5, seed=1)
                model.fit(X, y, epochs=epochs, checkpoint=folder, resume=epochs > 2, **settings)
            told = [str(each.message) for each in caught if "epochs is 3, and was 2" in str(each.message)]
            assert bool(told) == expected


def test_only_checkpoints_that_have_diverged_are_set_aside(tmp_path):
    kept = Checkpoints(tmp_path, every=1)
    with kept:
        for step in (5, 10):
            kept.write({"step": step}, step)
        kept.set_aside(5)
        assert [path.name for path in kept.files()] == ["step-5.safetensors"]
    assert (tmp_path / "step-10.diverged").exists()
