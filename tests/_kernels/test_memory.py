"""Aligned arrays and buffers."""

import pytest

from nerva._kernels.memory import ALIGNMENT, empty_batch, empty_vector


@pytest.mark.parametrize("batch", [0, 1, 15, 16, 17, 100, 128, 256, 500, 512])
def test_batches_are_aligned_and_padded(dtype, batch):
    X = empty_batch(7, batch, dtype)
    assert (X.shape, X.dtype) == ((7, batch), dtype)
    assert X.ctypes.data % ALIGNMENT == 0
    if batch == 1:  # features side by side
        assert X.strides[0] == dtype.itemsize
    else:
        assert X.strides[0] % ALIGNMENT == 0
        assert X.strides[0] % 1024 != 0
        assert X.strides[0] < max(batch, 1) * dtype.itemsize + 2 * ALIGNMENT
    vector = empty_vector(batch + 1, dtype)
    assert (vector.shape, vector.dtype, vector.ctypes.data % ALIGNMENT) == ((batch + 1,), dtype, 0)
