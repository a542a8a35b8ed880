"""The training step: forward, backward, Nesterov; 3072-1024-512-10, batch 100, Erdos-Renyi, float32; other shapes."""

import os
from typing import Any

import pytest

from harness.pairs import Pairs
from harness.workloads import SHAPES, SPARSITIES, SPARSITY, Shape, training_step
from peers import FEATURES, STEPS


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_step(compared: Any, sparsity: float) -> None:
    compared("step, sparsity", f"{sparsity:g}", STEPS, training_step(sparsity))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_shape(compared: Any, pairs: Pairs, shape: Shape) -> None:
    work = training_step(SPARSITY, shape.batch, sizes=shape.sizes, dtype=shape.dtype)
    with Pairs(min(shape.threads, os.cpu_count() or 1), pairs.rounds, pairs.patience) as own:
        compared(f"step, sparsity {SPARSITY:g}", shape.name, STEPS, work, pairs=own)


def test_features(compared: Any) -> None:
    compared("step with, sparsity", f"{SPARSITY:g}", FEATURES, training_step(SPARSITY))
