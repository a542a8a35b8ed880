"""The study of topologies: its networks and methods."""

import pytest

import nerva


@pytest.mark.parametrize("batch_norm", [False, True])
def test_all_layers_are_sparse_ones(batch_norm):
    from studies.topologies import network

    model = network(1.0, 0, batch_norm)
    weights = [layer for layer in model.layers if not isinstance(layer, nerva.BatchNorm)]
    assert [type(layer) for layer in weights] == [nerva.SparseLinear] * 3
    assert len(model.layers) == (5 if batch_norm else 3)


def test_every_method_starts_at_a_density_no_lower_than_its_own():
    from studies.topologies import METHODS

    for make, start in METHODS.values():
        assert 0.01 <= start(0.01) <= 1
        assert make(0.01) is None or isinstance(make(0.01), nerva.Topology)
