import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

RULES: dict[str, int]

class Update:
    def __init__(
        self,
        rule: str,
        rate: float,
        momentum: float = 0.0,
        decay: float = 0.0,
        *,
        second: float = 0.0,
        epsilon: float = 0.0,
        t: int = 1,
        clip: float = 0.0,
    ) -> None: ...
    @property
    def has_velocity(self) -> bool: ...
    @property
    def has_second(self) -> bool: ...
    @property
    def has_ages(self) -> bool: ...
    def __call__(
        self,
        gradient: Array,
        velocity: Array | None,
        weights: Array,
        second: Array | None = None,
        born: npt.NDArray[np.int32] | None = None,
    ) -> None: ...
