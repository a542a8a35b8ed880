"""Vectors on pages of their own: their bytes, and that the system has them back."""

import subprocess
import sys

import numpy as np
import pytest

from nerva._kernels.csr import CSR
from nerva._kernels.memory import ALIGNMENT, LARGE, empty_vector, zeros
from nerva._kernels.pages import pages


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, LARGE, 3 * LARGE + 1])
def test_pages_are_zero_and_writeable(size):
    memory = pages(size)
    assert (memory.shape, memory.dtype, memory.ctypes.data % 4096) == ((size,), np.uint8, 0)
    assert not memory.any()
    memory[:] = 255
    assert memory.min() == 255


@pytest.mark.parametrize("size", [0, -1])
def test_there_is_at_least_one_byte(size):
    with pytest.raises(ValueError, match=f"size is {size}; it must be at least 1"):
        pages(size)


def test_more_than_there_is():
    with pytest.raises(MemoryError, match="1152921504606846976 bytes are more than there are"):
        pages(1 << 60)


def test_a_view_keeps_the_pages():
    view = pages(LARGE)[LARGE // 2 :].view(np.float32)[1:]
    view[:] = 7
    others = [pages(LARGE) for _ in range(8)]
    for other in others:
        other[:] = 1
    assert (view == 7).all()


@pytest.mark.parametrize("size", [LARGE - ALIGNMENT, LARGE, LARGE + ALIGNMENT])
def test_vectors_of_either_kind(dtype, size):
    n = size // dtype.itemsize
    for vector in (zeros(n, dtype), empty_vector(n, dtype)):
        assert (vector.shape, vector.dtype, vector.ctypes.data % ALIGNMENT) == ((n,), dtype, 0)
    assert not zeros(n, dtype).any()


def test_the_pattern_of_a_large_matrix_is_read_only_for_good():
    n = LARGE // 4
    W = CSR((1, n), [0, n], np.arange(n), np.ones(n, np.float32))
    for array in (W.indices, W.indices.base):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


PROGRAM = """
import resource
import numpy as np
from nerva._kernels.memory import LARGE, empty_vector

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

def fill(n):
    vector = empty_vector(n, np.uint8)
    vector[:] = 1
    return vector

fill(16 * LARGE)  # from here on malloc takes and keeps memory of up to 16 MiB in its heap
before = resident()
vectors = [fill(2 * LARGE) for _ in range(8)]
held = resident() - before
last = vectors[-1]
del vectors
print(held, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read as on Linux")
def test_the_system_has_pages_back_at_once(tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True)
    held, kept = map(int, done.stdout.split())
    assert held > 15 * LARGE
    assert kept < 3 * LARGE  # that of the last one, which is in use
