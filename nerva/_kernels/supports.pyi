import numpy as np
import numpy.typing as npt

def draw_support(
    rows: int, columns: int, count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]: ...
