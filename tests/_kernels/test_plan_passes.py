"""A step in two passes, between which a loss is computed: the same bits as a step that computes it itself."""

import numpy as np
import pytest

from nerva._kernels import mkl
from nerva._kernels.losses import softmax_cross_entropy
from nerva._kernels.memory import empty_batch
from nerva._kernels.updates import Update

from ..plan_reference import plain_case, updates
from ..reference import assert_same_bits

SIZES = (70, 60, 10)


def settings_of(network):
    return {name: value for name, value in network.batch.items() if name != "labels"}


def passes(network, plan, rule, clip_norm=0.0, threads=(1, 1)):
    """A step on the network in two passes; the loss and the correct predictions."""
    N = network.case.N
    Z, DZ = empty_batch(SIZES[-1], N, network.dtype), empty_batch(SIZES[-1], N, network.dtype)
    mkl.set_num_threads(threads[0])
    assert plan.begin(**settings_of(network), out=Z, clip_norm=clip_norm, check=True)
    loss, correct = softmax_cross_entropy(Z, network.labels[network.rows], DZ, np.zeros(N))
    mkl.set_num_threads(threads[1])
    plan.finish(lambda: rule, DZ)
    return loss, correct


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("N", [1, 7, 64, 100, 130, 256, 700])
@pytest.mark.parametrize("clip_norm", [0.0, 1e-3])
@pytest.mark.parametrize("source", ["float32", "uint8"])
def test_the_bits_are_those_of_a_step(N, by_rows, clip_norm, source, dtype, instruction_set):
    found = []
    for threads in (None, (1, 1), (2, 2), (3, 1), (1, 3)):
        settings = {"source": source, "scaled": True, "shifted": True} if source == "uint8" else {}
        network = plain_case(SIZES, N, activation="tanh", by_rows=by_rows, **settings).network(dtype)
        plan, velocity, results = network.plan(), network.moments(), []
        for _ in range(2):
            rule = updates(Update("nesterov", 0.1, 0.9), velocity, velocity)
            if threads is None:
                results.append(plan.step(rule, **network.batch, clip_norm=clip_norm))
            else:
                results.append(passes(network, plan, rule, clip_norm, threads))
        vectors = [v for pair in (*network.vectors(), *velocity) for v in pair if v is not None]
        found.append((results, vectors))
    for results, vectors in found[1:]:
        assert [correct for _, correct in results] == [correct for _, correct in found[0][0]]
        np.testing.assert_allclose([loss for loss, _ in results], [loss for loss, _ in found[0][0]], rtol=1e-12)
        for mine, first in zip(vectors, found[0][1], strict=True):
            assert_same_bits(mine, first)


def small(dtype=np.float64):
    network = plain_case(SIZES, 100).network(dtype)
    velocity = network.moments()
    return network, network.plan(), updates(Update("sgd", 0.1), velocity, velocity), np.zeros((SIZES[-1], 100), dtype)


def unchanged(network, before):
    return all(np.array_equal(v, w) for v, w in zip((v for p in network.vectors() for v in p), before, strict=True))


def test_what_was_not_begun_cannot_be_finished():
    network, plan, rule, out = small()
    before = [v.copy() for pair in network.vectors() for v in pair]
    begin = {**settings_of(network), "out": out}
    for use in (
        lambda: None,
        lambda: (plan.begin(**begin), plan.forward(network.source, network.rows, out)),
        lambda: (plan.begin(**begin), plan.finish(lambda: rule, np.zeros_like(out))),
    ):
        use()
        with pytest.raises(RuntimeError, match="used or changed between the forward pass"):
            plan.finish(lambda: rule, out)
        assert unchanged(network, before)


def test_a_sample_that_is_not_finite_ends_the_step():
    network, plan, rule, out = small()
    network.source = network.source.copy()
    network.source[network.rows[50], 3] = np.inf
    assert not plan.begin(**settings_of(network), out=out, check=True)
    with pytest.raises(RuntimeError, match="used or changed"):
        plan.finish(lambda: rule, out)
    assert plan.begin(**settings_of(network), out=out)  # unchecked


@pytest.mark.parametrize(
    ("out", "error"),
    [(np.zeros((9, 100)), ValueError), (np.zeros((10, 99)), ValueError), (np.zeros((10, 100), "f4"), TypeError)],
)
def test_outputs_and_their_gradient_must_fit(out, error):
    network, plan, rule, right = small()
    with pytest.raises(error, match="out has"):
        plan.begin(**settings_of(network), out=out)
    plan.begin(**settings_of(network), out=right)
    before = [v.copy() for pair in network.vectors() for v in pair]
    with pytest.raises(error, match="DY has"):
        plan.finish(lambda: rule, out)
    with pytest.raises(ValueError, match="updates has 1 entries"):
        plan.finish(lambda: rule[:1], right)
    assert unchanged(network, before)
    plan.finish(lambda: rule, right)
