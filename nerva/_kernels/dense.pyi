from typing import Any

import numpy as np

def block_nbytes(rows: int, columns: int, dtype: np.dtype[Any]) -> int: ...
