from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

ACTIVATIONS: dict[str, int]
CURVES: dict[str, int]

def bias_activation(bias: Array | None, activation: int, alpha: float, out: Array) -> None: ...
def curve(Z: Array, activation: int, alpha: float, out: Array) -> None: ...
def activation_backward(
    DY: Array, Y: Array, activation: int, alpha: float, DZ: Array, Db: Array | None = None
) -> None: ...
