"""Layers, on matrices (features, batch).

A layer owns what it returns: `forward` and `backward` write into buffers that the next call overwrites. `layer` has the
interface, `linear` and `sparse` the layers with weights, whose common part is in `weighted` and `affine`.
"""

from nerva.layers.activation import Activation
from nerva.layers.affine import LEAKY_SLOPE, Affine
from nerva.layers.dropout import Dropout
from nerva.layers.layer import Layer
from nerva.layers.linear import Linear
from nerva.layers.normalization import BatchNorm
from nerva.layers.sparse import BACKENDS, SparseLinear

# Those that can be saved and compacted, by the names that files call them.
LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Activation, BatchNorm, Dropout, Linear, SparseLinear)
}

__all__ = [
    "BACKENDS",
    "LAYERS",
    "LEAKY_SLOPE",
    "Activation",
    "Affine",
    "BatchNorm",
    "Dropout",
    "Layer",
    "Linear",
    "SparseLinear",
]
