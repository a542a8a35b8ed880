"""The hot training step: forward, backward, Nesterov, on one batch in the caches; 3072-1024-512-10; other shapes."""

from typing import Any

import pytest

from harness.workloads import SHAPES, SPARSITIES, SPARSITY, Shape, hot_step
from peers import HOT_STEPS


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_step(compared: Any, sparsity: float) -> None:
    compared("hot step, sparsity", f"{sparsity:g}", HOT_STEPS, hot_step(sparsity))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_shape(compared: Any, shape: Shape) -> None:
    work = hot_step(SPARSITY, shape.batch, sizes=shape.sizes, dtype=shape.dtype)
    compared(f"hot step, sparsity {SPARSITY:g}", shape.name, HOT_STEPS, work)
