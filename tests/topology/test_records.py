"""What the records of the updates tell, beside the layers they tell of."""

import numpy as np
import pytest

import nerva
from nerva._kernels.rewiring import flat_positions

from .comparison import METHODS, SIZES, STEPS, fitted, make, run


@pytest.mark.parametrize("topology", METHODS, ids=repr)
def test_records_tell_what_happened(data, topology):
    model, history = fitted(topology, data)
    steps = 2 * STEPS
    assert {record.layer for record in history.topology} == {0, 1, 2}
    assert all(0 < record.step < steps for record in history.topology)
    for i, layer in enumerate(model.layers):
        records = [record for record in history.topology if record.layer == i]
        nnz = make().layers[i].nnz
        explored = 0.0
        for record in records:
            assert record.nnz == nnz + record.grown - record.dropped
            nnz = record.nnz
            assert record.density == pytest.approx(nnz / (layer.in_features * layer.out_features))
            assert record.exploration >= max(explored, record.density)
            explored = record.exploration
            assert record.churn == pytest.approx(record.grown / nnz)
        assert nnz == layer.nnz
        last = records[-1]
        rows = np.diff(layer.weight.indptr)
        assert (last.fan_in[0], last.fan_in[-1]) == (rows.min(), rows.max())
        assert last.silent_outputs == (rows == 0).sum()
        assert last.unused_inputs == layer.in_features - len(set(layer.weight.indices.tolist()))


def test_exploration_is_exact(data):
    model, ever = make(), [set() for _ in range(3)]
    for i, layer in enumerate(model.layers):
        ever[i].update(flat_positions(layer.weight).tolist())
    for _, moves in run(model, nerva.SET(every=3, unit="step"), data):
        for i, layer in enumerate(model.layers):
            ever[i].update(flat_positions(layer.weight).tolist())
            assert moves.layers[i].explored.positions().tolist() == sorted(ever[i])
    assert moves.records[-1].exploration == len(ever[2]) / (SIZES[2] * SIZES[3])
