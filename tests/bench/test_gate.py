"""The gate: when it fails."""

import pytest


def test_the_gate_fails_where_a_ratio_fell_by_over_a_tenth():
    from gate import judge

    before = {"spmm": 10.0, "sddmm": 5.0, "gone": 1.0}
    assert judge({"spmm": 9.1, "sddmm": 4.4, "new": 1.0}, before) == {"sddmm": pytest.approx(0.12), "gone": 1.0}
    assert judge(before, before) == {}
