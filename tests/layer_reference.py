"""Linear layers to try, of every kind, and what they must compute, in NumPy's float64."""

import numpy as np

import nerva
from nerva.activations import code_of

from .reference import activate, activation_slope, assert_within, product_bound

KINDS = ("linear", "native", "mkl", "dense", "auto")
D, K = 13, 9


def make(kind, in_features=D, out_features=K, *, density=0.4, rng=0, **settings):
    """A layer of this kind with a bias that is not zero."""
    if kind == "linear":
        layer = nerva.Linear(in_features, out_features, rng=rng, **settings)
    else:
        layer = nerva.SparseLinear(in_features, out_features, density=density, rng=rng, backend=kind, **settings)
    if layer.bias is not None:
        layer.bias[:] = np.random.default_rng(99).standard_normal(out_features)
    return layer


def dense(layer):
    """The weights as a float64 matrix."""
    weight = layer.weight if isinstance(layer, nerva.Linear) else layer.weight.to_dense()
    return weight.astype(np.float64)


def on_pattern(layer, matrix):
    """The entries of a matrix (K, D) where the layer has weights, in their order, shaped as its weight gradient."""
    if isinstance(layer, nerva.Linear):
        return matrix
    rows = np.repeat(np.arange(layer.out_features), np.diff(layer.weight.indptr))
    return matrix[rows, layer.weight.indices]


def batch(layer, N, seed=1):
    """X and DY for the layer."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, N)).astype(layer.dtype) for n in (layer.in_features, layer.out_features)]


def assert_right(layer, N):
    """Forward and backward give what the formulas give in float64, and leave X and DY as they were."""
    X, DY = batch(layer, N)
    before = X.tobytes(), DY.tobytes()
    W, b = dense(layer), 0 if layer.bias is None else layer.bias[:, None].astype(np.float64)
    Z, (_, alpha) = W @ X.astype(np.float64) + b, code_of(layer.activation)
    Y = layer.forward(X)
    assert Y.shape == (layer.out_features, N)
    assert Y.dtype == layer.dtype
    tolerance = product_bound(layer.dtype, W, X, b)
    assert_within(Y, activate(layer.activation, Z, alpha), tolerance + 8 * np.finfo(layer.dtype).eps, "Y")
    DZ = DY * activation_slope(layer.activation, Y, alpha)
    rounded = (4 * np.finfo(layer.dtype).eps) * np.abs(DY).astype(np.float64)
    DX = layer.backward(DY)
    assert_within(DX, W.T @ DZ, product_bound(layer.dtype, W.T, DZ) + np.abs(W.T) @ rounded, "DX")
    DW, bound = DZ @ X.T, product_bound(layer.dtype, DZ, X.T) + rounded @ np.abs(X.T)
    assert_within(layer.weight_gradient, on_pattern(layer, DW), on_pattern(layer, bound), "DW")
    if layer.bias is None:
        assert layer.bias_gradient is None
    else:
        ones = np.ones((N, 1))
        assert_within(
            layer.bias_gradient, DZ.sum(axis=1), (product_bound(layer.dtype, DZ, ones) + rounded @ ones)[:, 0], "Db"
        )
    assert (X.tobytes(), DY.tobytes()) == before
