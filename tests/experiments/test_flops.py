"""The work of training, counted by hand."""

import numpy as np
import pytest

import nerva
from nerva.experiments.flops import PHASES, Work, epoch_work, rule_work, step_work


@pytest.fixture
def model():
    """A sparse layer of 7 weights, and a dense one: 5 -> 4 -> 3."""
    support = np.zeros((4, 5))
    support[[0, 0, 1, 2, 2, 3, 3], [0, 3, 1, 2, 4, 0, 1]] = 1
    return nerva.Sequential(
        [nerva.SparseLinear(5, 4, support=support, activation="relu", rng=0), nerva.Linear(4, 3, rng=0)]
    )


def test_a_step_by_hand(model):
    rows = [(row.layer, row.phase, row.flops, row.bytes) for row in step_work(model, 10, nerva.Momentum())]
    sparse, dense = "0 SparseLinear 5-4", "1 Linear 4-3"
    pattern = 4 * (7 + 4 + 1)
    assert rows == [
        (sparse, "forward", 2 * 7 * 10 + 40, 4 * (7 + 4 + 50 + 40) + pattern),
        (dense, "forward", 2 * 12 * 10 + 30, 4 * (12 + 3 + 40 + 30)),
        (dense, "weight gradient", 2 * 12 * 10 + 30, 4 * (30 + 40 + 12 + 3)),
        (dense, "input gradient", 2 * 12 * 10, 4 * (12 + 30 + 40)),
        (sparse, "weight gradient", 2 * 7 * 10 + 40, 4 * (40 + 50 + 7 + 4) + pattern),
        (sparse, "update", 4 * (7 + 4), 4 * 5 * (7 + 4)),
        (dense, "update", 4 * (12 + 3), 4 * 5 * (12 + 3)),
    ]


def test_sums_and_intensities(model):
    work = step_work(model, 10, nerva.Momentum())
    assert work.total().flops == sum(work.total(phase).flops for phase in PHASES)
    assert work.total("input gradient") == Work("all", "input gradient", 240, 328)
    assert work.total("input gradient").intensity == 240 / 328
    assert str(work).splitlines()[-1].split() == ["all", "all", "0.001", "0.002", "0.512"]
    assert work.seconds(1e3, 1e12) == pytest.approx(work.total().flops / 1e3)
    assert work.seconds(1e12, 1e3) == pytest.approx(work.total().bytes / 1e3)
    for peak, bandwidth in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="peak is 0" if peak == 0 else "bandwidth is 0"):
            work.seconds(peak, bandwidth)


def test_an_epoch_is_its_steps(model):
    epoch, full, rest = epoch_work(model, 25, 10), step_work(model, 10), step_work(model, 5)
    assert [row.flops for row in epoch] == [2 * a.flops + b.flops for a, b in zip(full, rest, strict=True)]
    assert [row.bytes for row in epoch] == [2 * a.bytes + b.bytes for a, b in zip(full, rest, strict=True)]
    assert [row.phase for row in epoch] == [row.phase for row in full]
    assert epoch_work(model, 5, 10).total() == rest.total()


def test_a_profile_counts_the_same_products(model):
    X, y = np.random.default_rng(0).standard_normal((25, 5)).astype(np.float32), np.arange(25) % 3
    with nerva.profile() as profile:
        model.fit(X, y, epochs=1, batch_size=10)
    epoch = epoch_work(model, 25, 10)
    biases = (4 + 3) * 25
    assert sum(row.flops for row in profile.rows if row.phase == "forward") == epoch.total("forward").flops - biases
    backward = epoch.total("input gradient").flops + epoch.total("weight gradient").flops
    assert sum(row.flops for row in profile.rows if row.phase == "backward") == backward - biases


def test_numbers_of_eight_bytes_layers_without_bias_and_others():
    layers = [
        nerva.Dropout(0.5),
        nerva.Linear(4, 3, bias=False, dtype=np.float64),
        nerva.BatchNorm(3, dtype=np.float64),
    ]
    work = step_work(nerva.Sequential([*layers, nerva.Linear(3, 2, rng=0, dtype=np.float64)]), 6, nerva.SGD())
    assert (work[0].flops, work[0].bytes) == (2 * 12 * 6, 8 * (12 + 24 + 18))
    assert [row.layer for row in work if row.phase == "input gradient"] == ["3 Linear 3-2"]  # nothing to train before 1
    assert [(row.layer.split()[1], row.flops, row.bytes) for row in work if row.phase == "update"] == [
        ("Linear", 2 * 12, 8 * 3 * 12), ("BatchNorm", 2 * 6, 8 * 3 * 6), ("Linear", 2 * 8, 8 * 3 * 8)
    ]  # fmt: skip


@pytest.mark.parametrize("name", nerva.optimizers.OPTIMIZERS)
def test_the_moments_of_a_rule_are_those_it_keeps(name, model):
    for settings in ({}, {"momentum": 0.5}) if name == "rmsprop" else ({},):
        optimizer = nerva.optimizers.OPTIMIZERS[name](**settings)
        model.train_step(np.ones((4, 5), np.float32), [0, 1, 2, 0], optimizer, 0.1)
        kept = [key for key in model.parameters()[0].state if key in ("momentum", "square")]
        assert rule_work(optimizer)[1] == len(kept)


def test_groups_have_their_own_rules_and_ones_own_is_refused(model):
    work = step_work(model, 10, nerva.Groups([("bias", nerva.SGD())], rest=nerva.Adam()))
    assert work.total("update").flops == 2 * (4 + 3) + 13 * (7 + 12)

    class Mine(nerva.SGD):
        pass

    with pytest.raises(TypeError, match="optimizer is Mine"):
        step_work(model, 10, Mine())
    for batch in (0, -1):
        with pytest.raises(ValueError, match="batch is"):
            step_work(model, batch)
