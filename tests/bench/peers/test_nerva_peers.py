"""The peers that are nerva's: each runs what it is timed by, on a small workload."""

import gc

import numpy as np
import pytest

from nerva.training.profiling import recorder

SIZES = (40, 30, 30, 20)


def run(peer, work):
    """What the timed method returns; peers that cannot do the work fail."""
    assert not peer.unsupported(work)
    made = peer(work, 1)
    return made, getattr(made, peer.timed)()


@pytest.mark.parametrize("name", ["plain", "batch norm", "dropout", "DropConnect", "SReLU", "Adam"])
def test_steps_with_a_feature(name):
    from harness.workloads import training_step
    from peers import FEATURES

    (peer,) = [peer for peer in FEATURES if peer.name == name]
    made, loss = run(peer, training_step(0.8, 16, sizes=SIZES, rate=0.1))
    assert 0 < made.step() != loss > 0


def test_the_profiled_step_is_profiled():
    from harness.workloads import training_step
    from peers import FEATURES

    (peer,) = [peer for peer in FEATURES if peer.name == "profiled"]
    made, _ = run(peer, training_step(0.8, 16, sizes=SIZES))
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
    from harness.workloads import Epoch, network
    from peers import EPOCHS

    work = Epoch(network(0.5, sizes=SIZES), samples=60, batch=16)
    made = EPOCHS[0](work, 1)
    before = made.values()
    made.epoch()
    assert any((W != V).any() for W, V in zip(before, made.values(), strict=True))


def test_a_mini_batch_is_gathered():
    from harness.workloads import Epoch, network
    from peers import GATHERS

    work = Epoch(network(0.5, sizes=SIZES), samples=60, batch=16)
    made, _ = run(GATHERS[0], work)
    assert made._X.shape == (40, 16)
    assert np.abs(made._X).max() == pytest.approx(2.0)  # of bytes between 0 and 255, standardized by 0.5 and 0.25


def test_classes_are_predicted():
    from harness.workloads import Inference, network
    from peers import PREDICTIONS

    samples = np.random.default_rng(0).standard_normal((5, 40), dtype=np.float32)
    _, classes = run(PREDICTIONS[0], Inference(network(0.5, sizes=SIZES), samples))
    assert classes.shape == (5,)
