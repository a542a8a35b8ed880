"""What users run: its data."""

import numpy as np
import pytest


def test_noise_is_the_same_in_every_process():
    from harness.use import Data

    pixels, labels, mean, std = Data(40, 10, 60).bytes()
    assert (pixels.shape, pixels.dtype, labels.shape) == ((60, 40), np.uint8, (60,))
    assert set(labels) <= set(range(10))
    again = Data.bytes.__globals__["_bytes"].__wrapped__(Data(40, 10, 60))
    assert (again.pixels == pixels).all()
    assert mean.shape == std.shape == (40,)


def test_floats_are_the_standardized_bytes():
    import nerva
    from harness.use import Data

    pixels, labels, mean, std = Data(40, 10, 60).bytes()
    floats, same = Data(40, 10, 60).floats()
    assert floats.dtype == np.float32
    assert floats == pytest.approx(np.asarray(nerva.datasets.Standardized(pixels, mean, std)), abs=1e-6)
    assert (same == labels).all()


def test_samples_are_read_from_a_file(tmp_path):
    from harness.use import Data, Samples, save

    written = Samples(np.arange(12, dtype=np.uint8).reshape(4, 3), np.array([1, 0, 1, 0]), np.zeros(3), np.ones(3))
    found = Data(3, 2, 2, save(written, tmp_path)).bytes()
    assert (found.pixels == written.pixels[:2]).all()
    assert (found.labels == [1, 0]).all()
    assert (found.std == 1).all()


def test_blocks_cycle_through_the_samples():
    from harness.use import Blocks

    blocks = Blocks(7, 3)
    assert [blocks() for _ in range(3)] == [slice(0, 3), slice(3, 6), slice(0, 3)]


def test_the_dense_size_is_that_of_all_layers():
    from harness.use import Use
    from harness.workloads import network

    work = Use(network(0.5, sizes=(40, 30, 20, 10)))
    assert work.sizes == (40, 30, 20, 10)
    assert work.dense_size == 40 * 30 + 30 * 20 + 20 * 10
