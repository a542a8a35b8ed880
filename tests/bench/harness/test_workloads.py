"""The workloads: how many operations they ask for."""

import numpy as np


def test_a_step_counts_the_operations_of_its_weights():
    from harness.workloads import hot_step

    work = hot_step(0.9, 16, sizes=(40, 30, 20, 10), dtype="float64")
    counts = [W.size if isinstance(W, np.ndarray) else W.nnz for W in work.weights]
    assert work.X.shape == (16, 40)
    assert {W.dtype for W in work.weights} == {work.dtype} == {np.dtype("float64")}
    assert work.flops == 2 * 16 * (2 * counts[0] + 3 * counts[1] + 3 * counts[2])
    assert work.sparse
    assert not hot_step(0.0, 16, sizes=(40, 30, 20, 10)).sparse
