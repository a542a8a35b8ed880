"""The three products of a sparse layer: 1024 x 3072, batch 100, float32."""

from typing import Any

import pytest
from peers import PRODUCTS as PEERS
from workloads import DENSITIES, PRODUCTS, product


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_product(benchmark: Any, compared: Any, kind: str, density: float) -> None:
    work = product(kind, density)
    measurement = compared(f"{kind}, density", f"{density:g}", PEERS, work)
    benchmark.extra_info["gflops"] = work.flops / measurement.results[0].seconds / 1e9
