"""Layers, on matrices (features, batch).

A layer owns what it returns: `forward` and `backward` write into buffers that the next call overwrites.
"""

from nerva.layers.affine import LEAKY_SLOPE
from nerva.layers.linear import Linear
from nerva.layers.sparse import BACKENDS, SparseLinear

__all__ = ["BACKENDS", "LEAKY_SLOPE", "Linear", "SparseLinear"]
