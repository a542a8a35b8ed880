from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

def drop(X: Array, key: int, rate: float, out: Array) -> None: ...
def drop_backward(
    DY: Array, Y: Array, key: int, rate: float, activation: int, alpha: float, DZ: Array, Db: Array | None = None
) -> None: ...
def drop_vector(x: Array, key: int, rate: float, out: Array) -> None: ...
