"""What a method keeps of a layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.topology import LayerState
from nerva.topology.grow import distinct
from nerva.topology.layer_state import Explored, _ascends


@given(total=st.integers(1, 400), many=st.booleans(), seed=st.integers(0, 2**32))
def test_positions_are_remembered(total, many, seed):
    """In bits and in a vector."""
    rng = np.random.default_rng(seed)
    first = distinct(rng, total, total // 2 if many else total // 300)
    ever, known = Explored(total, first), set(first.tolist())
    for _ in range(4):
        more = distinct(rng, total, int(rng.integers(total + 1)) // 4)
        ever.add(more)
        known |= set(more.tolist())
        assert len(ever) == len(known)
        assert ever.positions().tolist() == sorted(known)
        restored = Explored(total, distinct(rng, total, 0))
        restored.restore(ever.state())
        assert len(restored) == len(known)
        assert restored.positions().tolist() == sorted(known)
        assert restored.state().dtype == ever.state().dtype


def test_what_is_kept_of_each_weight_moves_with_it(rng):
    layer = nerva.SparseLinear(9, 7, density=0.4, rng=0)
    state = LayerState(3, layer, rng)
    state.per_weight["age"] = np.arange(1, layer.nnz + 1)
    state.per_weight["old"] = np.ones(layer.nnz, bool)
    source = state.rewire(np.array([0, 4]), np.flatnonzero(layer.weight.to_dense() == 0)[[2, 5, 6]], 0.5)
    assert (source < 0).sum() == 3
    np.testing.assert_array_equal(state.per_weight["age"], source + 1)
    np.testing.assert_array_equal(state.per_weight["old"], source >= 0)
    assert state.per_weight["old"].dtype == bool
    assert state.empties == 63 - layer.nnz
    assert len(state.explored) == layer.nnz + 2 == state.initial_nnz + 3


def test_factors_of_batches_stand_side_by_side(rng):
    layer = nerva.SparseLinear(9, 7, density=0.4, rng=0, dtype=np.float64)
    state = LayerState(0, layer, rng)
    factors = []
    for N in (5, 3, 4):
        layer.forward(rng.standard_normal((9, N)))
        layer.backward(rng.standard_normal((7, N)))
        factors.append([factor.copy() for factor in layer.dense_gradient_factors])
        found = state.dense_gradient_factors
        for factor, parts in zip(found, zip(*factors, strict=True), strict=True):
            np.testing.assert_array_equal(factor, np.concatenate(parts, axis=1))
        state.add_factors()
    state.clear_factors()
    assert state.dense_gradient_factors[0].shape == (9, 4)


def test_a_state_the_optimizer_does_not_keep_is_named(rng):
    state = LayerState(0, nerva.SparseLinear(9, 7, density=0.4, rng=0), rng)
    with pytest.raises(ValueError, match="the optimizer keeps no 'momentum'"):
        state.optimizer_state("momentum")


def test_positions_ascend_within_the_layer():
    for right in ([], [0], [3], [0, 3], [0, 1, 2, 3]):
        assert _ascends(np.array(right, np.int64), 4), right
    for wrong in ([-1], [4], [0, 0], [2, 1], [0, 4]):
        assert not _ascends(np.array(wrong, np.int64), 4), wrong
