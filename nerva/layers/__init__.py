"""Layers, on matrices (features, batch).

A layer owns what it returns: `forward` and `backward` write into buffers that the next call overwrites.
"""

from nerva.layers.activation import Activation
from nerva.layers.affine import LEAKY_SLOPE, Affine
from nerva.layers.dropout import Dropout
from nerva.layers.layer import Layer
from nerva.layers.linear import Linear
from nerva.layers.normalization import BatchNorm
from nerva.layers.sparse import BACKENDS, SparseLinear

__all__ = [
    "BACKENDS",
    "LEAKY_SLOPE",
    "Activation",
    "Affine",
    "BatchNorm",
    "Dropout",
    "Layer",
    "Linear",
    "SparseLinear",
]
