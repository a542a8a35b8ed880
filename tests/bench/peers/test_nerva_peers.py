"""The peers that are nerva's: each runs what it is timed by, on a small workload."""

import gc
from dataclasses import replace

import numpy as np
import pytest

import nerva
from nerva.training.profiling import recorder

SIZES = (40, 30, 30, 20)


def run(peer, work):
    """What the timed method returns; peers that cannot do the work fail."""
    assert not peer.unsupported(work)
    made = peer(work, 1)
    return made, getattr(made, peer.timed)()


def use(sparsity=0.8, batch=16, samples=60, sizes=SIZES):
    """A small network, and noise to train on."""
    from harness.use import Data, Use
    from harness.workloads import network

    return Use(network(sparsity, sizes=sizes), Data(sizes[0], sizes[-1], samples), batch)


def test_hot_steps_train():
    from harness.workloads import hot_step
    from peers import NervaStep

    made, loss = run(NervaStep, hot_step(0.8, 16, sizes=SIZES, rate=0.1))
    with nerva.profile() as profile:
        assert 0 < made.step() != loss > 0
    assert str(profile).endswith("1 step compiled")


def test_epochs_in_bfloat16(monkeypatch):
    from peers import EPOCHS, FEATURES

    work = replace(use(), precision="bfloat16")
    for peer in (EPOCHS[0], *FEATURES):
        monkeypatch.setattr(nerva, "config", lambda: {"bfloat16": "no: it needs another processor"})
        assert not peer.unsupported(use())
        assert peer.unsupported(work) == "bfloat16 is not on this machine: it needs another processor"
        monkeypatch.undo()
        if nerva.config()["bfloat16"] == "yes":
            assert run(peer, work)[0].model.precision == "bfloat16"
            assert run(peer, use())[0].model.precision == "float32"


@pytest.mark.parametrize("name", ["plain", "batch norm", "dropout", "DropConnect", "SReLU", "Adam"])
def test_epochs_with_a_feature(name):
    from peers import FEATURES

    (peer,) = [peer for peer in FEATURES if peer.name == name]
    made = peer(use(), 1)
    before = [parameter.values.copy() for parameter in made.model.parameters()]
    made.epoch()
    after = [parameter.values for parameter in made.model.parameters()]
    assert all((old != new).any() for old, new in zip(before, after, strict=True))


def test_the_profiled_epoch_is_profiled():
    from peers import FEATURES

    (peer,) = [peer for peer in FEATURES if peer.name == "profiled"]
    made, _ = run(peer, use())
    opened = recorder()
    assert {row.phase for row in opened.rows} >= {"forward", "backward"}
    del made
    gc.collect()
    assert recorder() is None


@pytest.mark.parametrize("kind", ["spmm", "spmm_t", "sddmm"])
def test_products(kind):
    from harness.workloads import product
    from peers import MKLProduct, NervaProduct

    for peer in (NervaProduct, MKLProduct):
        run(peer, product(kind, 0.3, K=20, D=30, batch=16))


def test_an_epoch_trains():
    from peers import EPOCHS

    made = EPOCHS[0](use(0.5), 1)
    before = made.values()
    made.epoch()
    assert any((W != V).any() for W, V in zip(before, made.values(), strict=True))


def test_a_training_step_takes_the_next_rows():
    from peers import TRAIN_STEPS

    made = TRAIN_STEPS[0](use(0.5, samples=40), 1)
    seen = []
    made.model.train_step = lambda X, y, optimizer, rate: seen.append((X, y))
    for _ in range(3):
        made.train_step()
    floats, labels = use(0.5, samples=40).data.floats()
    for (X, y), rows in zip(seen, [slice(0, 16), slice(16, 32), slice(0, 16)], strict=True):
        assert (floats[rows] == X).all()
        assert (y == labels[rows]).all()


def test_a_mini_batch_is_gathered():
    from peers import GATHERS

    made, _ = run(GATHERS[0], use(0.5))
    assert made._X.shape == (40, 16)
    assert np.abs(made._X).max() == pytest.approx(2.0)  # of bytes between 0 and 255, standardized by 0.5 and 0.25


def test_classes_are_predicted():
    from peers import PREDICTIONS

    _, classes = run(PREDICTIONS[0], use(0.5, batch=5))
    assert classes.shape == (5,)


def test_a_network_is_evaluated():
    from peers import EVALUATIONS

    _, (loss, accuracy) = run(EVALUATIONS[0], use(0.5, batch=60))
    assert loss > 0
    assert 0 <= accuracy <= 1
