"""The compiled step in bfloat16, in NumPy's float64: what is stored is rounded, and errors are carried along."""

import numpy as np
import pytest

from nerva._kernels.isa import lacking_for_bfloat16

from .plan_reference import Bounded, Oracle

LACKING = lacking_for_bfloat16()
needs_bfloat16 = pytest.mark.skipif(LACKING is not None, reason=f"it needs {LACKING}")


def rounded(values):
    """Float64 values that float32 or bfloat16 arithmetic may have, rounded to bfloat16, to nearest even."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float64))
    return np.ldexp(np.rint(mantissa * 256), exponent - 8)  # 8 bits, the first of which is not stored


class Bfloat16Oracle(Oracle):
    """The step of a network of float32 whose activations and deltas are bfloat16."""

    def __init__(self):
        super().__init__(np.float32)

    def stored(self, X):
        """X rounded; where its error may take it across a boundary, the error is that between the neighbours."""
        value = rounded(X.value)
        error = np.maximum(rounded(X.value + X.error) - value, value - rounded(X.value - X.error))
        return Bounded(value, np.where(X.error > 0, error, 0), np.abs(value))

    def samples(self, network):
        """Bytes are exact, and standardized by the first product; floats are rounded."""
        X = super().samples(network)
        return X if network.case.source == "uint8" else self.stored(X)
