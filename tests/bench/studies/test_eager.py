"""The study of steps of nerva.torch, with and without the dispatcher."""

import pytest


def test_each_way_is_timed_and_the_way_is_restored():
    pytest.importorskip("torch")
    from nerva.torch import eager
    from studies.eager import measure

    before = eager.is_plain
    times = measure(0.001, 2)
    ways = ("operators", "function", "SparseSequential", "compiled")
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys(ways, 2)
    assert eager.is_plain is before
