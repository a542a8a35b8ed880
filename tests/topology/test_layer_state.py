"""What a method keeps of a layer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nerva.topology.grow import distinct
from nerva.topology.layer_state import Explored


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
