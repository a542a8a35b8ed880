"""The training step: forward, backward, Nesterov; 3072-1024-512-10, batch 100, Erdos-Renyi, float32."""

from typing import Any

import pytest
from peers import DENSE_STEPS, STEPS
from workloads import SPARSITIES, training_step


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_step(benchmark: Any, compared: Any, sparsity: float) -> None:
    work = training_step(sparsity)
    measurement = compared("step, sparsity", f"{sparsity:g}", STEPS if work.sparse else DENSE_STEPS, work)
    # Forward and weight gradient in each layer, and the input gradient in all but the first.
    weights = [W.size for W in work.weights]  # of a csr_array, those that exist
    flops = 2 * len(work.y) * (3 * sum(weights) - weights[0])
    benchmark.extra_info["gflops"] = flops / measurement.results[0].seconds / 1e9
