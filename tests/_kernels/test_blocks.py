"""Products of matrices dense and wide enough to be processed in blocks of columns, at the edges of the blocks."""

import pytest

from ..reference import Problem
from .test_products import assert_sddmm, assert_spmm, assert_spmm_t

# Widths next to a multiple of the block and far from one; more rows than are processed together.
SHAPES = [(40, 913), (1100, 160), (3, 2049), (2100, 130)]


@pytest.mark.parametrize("N", [17, 100, 131])
@pytest.mark.parametrize("pattern", ["thin", "half", "full", "every other row"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_products_in_blocks(instruction_set, dtype, shape, pattern, N):
    if N != 100 and shape != SHAPES[0]:
        shape = (shape[0] // 4 + 1, shape[1])  # the oracle takes its time
    problem = Problem(*shape, N, pattern, 3, 1, N)
    assert_spmm(problem, dtype, "native", "relu", biased=True)
    assert_spmm_t(problem, dtype, "native")
    assert_sddmm(problem, dtype, "native")
