"""Measuring the backends: every rate, and the disturbed ones bounded."""

import json
from math import isfinite

import numpy as np

import nerva
from nerva._kernels import mkl
from nerva.backends import calibration, measurement
from nerva.backends.cost_files import identity, load
from nerva.backends.cost_model import BATCHES, CANDIDATES, DENSITIES

FLOAT = np.dtype(np.float32)


def test_what_is_measured_is_whole(folder):
    costs = calibration.costs("float32")
    assert {direction: tuple(backends) for direction, backends in costs.rates.items()} == CANDIDATES
    for backends in costs.rates.values():
        for table in backends.values():
            assert [len(row) for row in table] == [len(BATCHES)] * len(DENSITIES)
            assert all(isfinite(rate) and 0 < rate < 1e-3 for row in table for rate in row)
    (file,) = folder.iterdir()
    assert load(file, identity(FLOAT)) == costs
    assert "forward         native" in calibration.describe("float32")
    content = json.loads(file.read_text())
    assert content["threads"] == mkl.get_num_threads()
    assert content["processor"] == nerva.config()["processor"]


def test_a_disturbed_measurement_is_bounded_by_larger_products():
    """Weights down, batch across: what took longer than a larger product was disturbed, and counts as that one."""
    times = np.array([[1.0, 9.0, 5.0], [2.0, 3.0, 7.0], [8.0, 4.0, 6.0]])
    wanted = [[1.0, 3.0, 5.0], [2.0, 3.0, 6.0], [4.0, 4.0, 6.0]]
    np.testing.assert_array_equal(measurement._ascending(times), wanted)
