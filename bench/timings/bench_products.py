"""The three products of a sparse layer: 1024 x 3072, batch 100, float32."""

from typing import Any

import pytest

from harness.workloads import DENSITIES, PRODUCTS, Kind, product
from peers import PRODUCTS as PEERS


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_product(compared: Any, kind: Kind, density: float) -> None:
    compared(f"{kind}, density", f"{density:g}", PEERS, product(kind, density))
