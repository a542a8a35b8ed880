"""The precision in which a network stores activations and their gradients while it is trained."""

from typing import Literal, get_args

import numpy as np

from nerva._kernels.isa import lacking_for_bfloat16
from nerva.validation import check_choice

Precision = Literal["float32", "float64", "bfloat16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


def check_precision(precision: str | None, dtype: np.dtype[np.floating]) -> Precision:
    """Return the precision of a network of this dtype, that of the dtype for None.

    Raises ValueError, which says what is missing, where activations cannot be stored so.

    >>> check_precision(None, np.dtype(np.float64))
    'float64'
    """
    checked = dtype.name if precision is None else precision
    check_choice(checked, "precision", PRECISIONS)
    if checked == "bfloat16" and dtype != np.float32:
        raise ValueError(f"precision is 'bfloat16', which needs weights of float32; dtype is {dtype}")
    if checked not in ("bfloat16", dtype.name):
        raise ValueError(f"precision is {precision!r}, but dtype is {dtype}")
    lacking = lacking_for_bfloat16() if checked == "bfloat16" else None
    if lacking is not None:
        raise ValueError(f"precision is 'bfloat16', which needs {lacking}")
    return checked  # type: ignore[return-value]
