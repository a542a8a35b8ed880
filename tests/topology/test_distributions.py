"""Densities of layers from the one of the network."""

import pytest

import nerva
from nerva.topology.distributions import distribute


def test_distributions():
    shapes = [(3072, 1024), (1024, 512), (512, 10)]
    sizes = [d * k for d, k in shapes]
    whole = 0.01 * sum(sizes)
    balanced = nerva.balanced(shapes, 0.01)
    assert balanced[2] == 1.0  # it has fewer positions than its share
    assert balanced[0] * sizes[0] == pytest.approx(balanced[1] * sizes[1])
    for scale in (0.0, 0.5, 1.0, 2.0):
        densities = nerva.erdos_renyi(shapes, 0.01, power_scale=scale)
        assert sum(d * n for d, n in zip(densities, sizes, strict=True)) == pytest.approx(whole)
        raw = [((d + k) / (d * k)) ** scale for d, k in shapes]
        if max(densities) < 1:
            assert [d / densities[0] for d in densities] == pytest.approx([r / raw[0] for r in raw])
    assert nerva.erdos_renyi(shapes, 0.01, power_scale=0.0) == pytest.approx(nerva.uniform(shapes, 0.01))
    assert distribute(lambda shapes, density: [0.5] * len(shapes), shapes, 0.01) == [0.5] * 3
    with pytest.raises(ValueError, match="power_scale is -1"):
        nerva.erdos_renyi(shapes, 0.01, power_scale=-1)
    with pytest.raises(ValueError, match="distribution returned 1 densities; there are 3 layers"):
        distribute(lambda *_: [0.5], shapes, 0.01)
    with pytest.raises(ValueError, match="the distribution's density"):
        distribute(lambda *_: [0.5, 0.5, 1.5], shapes, 0.01)
