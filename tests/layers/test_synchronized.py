"""Batch normalization over the samples of several ranks: as one process computes it of all samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva

from ..ranks_in_threads import on_ranks


def layer(features, activation="identity"):
    made = nerva.BatchNorm(features, activation=activation, dtype=np.float64)
    rng = np.random.default_rng(1)
    made.gamma, made.beta = rng.uniform(0.5, 2, features), rng.standard_normal(features)
    return made


def passes(X, DY, activation, ranks=None):
    """Outputs, input gradient, gradients of gamma and beta, and running statistics of one step."""
    one = layer(len(X), activation)
    one.join(ranks)
    Y = one.forward(X).copy()
    DX = one.backward(DY).copy()
    gradients = [parameter.gradient.copy() for parameter in one.parameters()]
    return Y, DX, gradients, one.running_mean.copy(), one.running_variance.copy()


@given(
    features=st.integers(1, 9),
    counts=st.lists(st.integers(1, 7), min_size=2, max_size=4).filter(lambda counts: sum(counts) > 1),
    activation=st.sampled_from(["identity", "relu", "tanh"]),
    offset=st.sampled_from([0.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_ranks_together_compute_what_one_does(features, counts, activation, offset, seed):
    rng, total = np.random.default_rng(seed), sum(counts)
    X, DY = offset + rng.standard_normal((features, total)), rng.standard_normal((features, total))
    ends = np.cumsum([0, *counts])
    wanted = passes(X, DY, activation)

    def run(ranks):
        own = slice(ends[ranks.rank], ends[ranks.rank + 1])
        return passes(np.ascontiguousarray(X[:, own]), np.ascontiguousarray(DY[:, own]), activation, ranks)

    found = on_ranks(len(counts), run)
    scale = 1e-9 * max(1.0, offset)
    np.testing.assert_allclose(np.hstack([one[0] for one in found]), wanted[0], rtol=1e-9, atol=scale)
    np.testing.assert_allclose(np.hstack([one[1] for one in found]), wanted[1], rtol=1e-6, atol=scale)
    for i in range(2):
        np.testing.assert_allclose(sum(one[2][i] for one in found), wanted[2][i], rtol=1e-6, atol=scale)
    for one in found:
        np.testing.assert_allclose(one[3], wanted[3], rtol=1e-9)
        np.testing.assert_allclose(one[4], wanted[4], rtol=1e-6)


def test_a_single_sample_of_all_ranks_is_refused():
    def run(ranks):
        one = layer(3)
        one.join(ranks)
        return one.forward(np.ones((3, ranks.rank)))

    with pytest.raises(ValueError, match="all ranks have 1 sample"):
        on_ranks(2, run)


def test_a_layer_that_has_left_trains_alone():
    one = layer(2)
    one.join(object())
    one.join(None)
    X = np.random.default_rng(0).standard_normal((2, 5))
    np.testing.assert_array_equal(one.forward(X), layer(2).forward(X))
