"""Parts of a batch, sums of gradients and figures of several ranks, which are threads here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva.training import ranks as module
from nerva.training.batches import Draw
from nerva.training.ranks import Buckets, Doing, exchange, part_of

from ..ranks_in_threads import Meeting, ThreadRanks, on_ranks


@given(n=st.integers(0, 50), size=st.integers(1, 9))
def test_parts_are_the_batch_and_as_equal_as_can_be(n, size):
    rows, moves = np.arange(n) + 7, np.arange(3 * n).reshape(n, 3)
    parts = [part_of(Draw(rows, moves), ThreadRanks(Meeting(size), rank)) for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), rows)
    np.testing.assert_array_equal(np.concatenate([part.moves for part in parts]), moves)
    assert max(len(part.rows) for part in parts) - min(len(part.rows) for part in parts) <= 1
    assert part_of(Draw(rows, None), ThreadRanks(Meeting(1), 0)).moves is None


def test_figures_are_summed_and_ranks_must_do_the_same():
    assert [list(found[:2]) for found in on_ranks(3, lambda ranks: exchange(ranks, Doing.STEP, ranks.rank, 2.0))] == [
        [3.0, 6.0]
    ] * 3
    with pytest.raises(RuntimeError, match="the ranks do not do the same"):
        on_ranks(2, lambda ranks: exchange(ranks, Doing.END if ranks.rank else Doing.STEP))


@pytest.mark.parametrize("bucket", [1, 100, 1 << 18])
def test_gradients_are_summed_in_buckets_of_any_size(bucket, monkeypatch):
    monkeypatch.setattr(module, "BUCKET", bucket)

    def run(ranks):
        model, buckets = nerva.MLP([5, 7, 3], density=0.5, batch_norm=True, seed=1), Buckets(ranks)
        for step in range(2):
            for parameter in model.parameters():
                parameter.gradient[:] = (ranks.rank + 1) * (step + 1)
            for layer in reversed(model.layers):
                buckets.add(layer)
            buckets.finish()
            assert all((parameter.gradient == 6 * (step + 1)).all() for parameter in model.parameters())
        return True

    assert on_ranks(3, run) == [True] * 3
