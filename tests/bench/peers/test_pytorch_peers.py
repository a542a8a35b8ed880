"""The peers that are PyTorch's: they do what nerva's do."""

import numpy as np
import pytest

pytest.importorskip("torch")

SIZES = (40, 30, 30, 20)


def use(batch=16, samples=60):
    """A small network, and noise to train on."""
    from harness.use import Data, Use
    from harness.workloads import network

    return Use(network(0.8, sizes=SIZES), Data(SIZES[0], SIZES[-1], samples), batch)


def test_steps_of_an_epoch_are_extrapolated():
    from harness.use import Data, Use
    from harness.workloads import network
    from peers import EPOCHS

    masked = EPOCHS[1]
    work = Use(network(0.99))
    assert (masked.steps(work), masked.fraction(work)) == (50, 0.1)
    large = Use(network(0.99), batch=1024)
    assert (masked.steps(large), masked.fraction(large)) == (5, 5 * 1024 / 50_000)
    assert masked.fraction(Use(network(0.5, sizes=SIZES), Data(40, 20, 60), 16)) == 1.0


def test_a_masked_epoch_trains_the_support_alone():
    from peers import EPOCHS

    made = EPOCHS[1](use(), 1)
    before = [layer.weight.detach().clone() for layer in made.model[::2]]
    made.epoch()
    for layer, old in zip(made.model[::2], before, strict=True):
        assert (layer.weight != old).any()
        assert (layer.weight[old == 0] == 0).all()


def test_training_steps_on_rows_have_the_same_losses():
    from peers import TRAIN_STEPS

    ours, masked, dense = (peer(use(), 1) for peer in TRAIN_STEPS)
    for _ in range(3):
        loss = ours.train_step()
        assert masked.train_step().item() == pytest.approx(loss, rel=1e-5)
        assert dense.train_step().item() == pytest.approx(loss, rel=1e-3)  # which trains the zeros too


def test_predictions_are_the_same():
    from peers import PREDICTIONS

    peers = [peer(use(batch=30), 1) for peer in PREDICTIONS]
    for _ in range(3):
        ours, *others = (np.asarray(peer.predict()) for peer in peers)
        assert all((other == ours).all() for other in others)


def test_evaluations_are_the_same():
    from peers import EVALUATIONS

    ours, theirs = (peer(use(batch=60), 1).evaluate() for peer in EVALUATIONS)
    assert theirs == pytest.approx(ours, rel=1e-5)
