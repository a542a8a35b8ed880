from collections.abc import Sequence
from typing import Any

from nerva._kernels.csr import CSR

MOST: int

class Chain:
    matrices: tuple[CSR, ...]
    features: int
    outputs: int
    reads_outputs: bool
    def __init__(self, matrices: Sequence[CSR], activations: Sequence[tuple[int, float]]) -> None: ...
    def forward(self, x: Any, values: Sequence[Any], biases: Sequence[Any]) -> tuple[Any, Any, Any]: ...
    def backward(
        self,
        gradient: Any,
        x: Any,
        tape: Any,
        y: Any,
        values: Sequence[Any],
        needs_x: bool,
        needs_values: Sequence[bool],
        needs_biases: Sequence[bool],
    ) -> tuple[Any, list[Any], list[Any], Any]: ...
    def between_layers(self, tape: Any, N: int, has_inputs: bool, i: int) -> Any: ...
