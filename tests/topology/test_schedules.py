"""When updates are due, and how a total is divided."""

from hypothesis import given
from hypothesis import strategies as st

from nerva.topology.schedules import in_proportion


@given(
    total=st.integers(0, 300),
    parts=st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 100)), min_size=1, max_size=6),
)
def test_shares_are_exact(total, parts):
    weights, most = zip(*parts, strict=True)
    shares = in_proportion(total, weights, most)
    assert sum(shares) == min(total, sum(most))
    assert all(0 <= share <= cap for share, cap in zip(shares, most, strict=True))
