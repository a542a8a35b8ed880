"""Networks to save and to load, and files to break."""

import json

import numpy as np

import nerva


def network(dtype=np.float32, seed=0, bias=True, hidden=8, last=nerva.Linear, activation="tanh"):
    rng = np.random.default_rng(seed)
    return nerva.Sequential(
        [
            nerva.SparseLinear(20, 12, density=0.2, activation="leaky_relu", bias=bias, rng=rng, dtype=dtype),
            nerva.SparseLinear(12, hidden, density=0.4, activation=activation, bias=bias, rng=rng, dtype=dtype),
            last(hidden, 4, bias=bias, rng=rng, dtype=dtype),
        ]
    )


def everything(model):
    for layer in model.layers:
        weight = layer.weight
        yield from (weight.indptr, weight.indices, weight.values) if isinstance(weight, nerva.CSR) else (weight,)
        if layer.bias is not None:
            yield layer.bias


def assert_same(one, two):
    for a, b in zip(everything(one), everything(two), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def trained(**settings):
    model = network(**settings)
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((50, 20)).astype(model.dtype), rng.integers(0, 4, 50)
    model.fit(X, y, epochs=2, batch_size=10)
    return model, X


def of_every_kind(function, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return nerva.Sequential(
        [
            nerva.SparseLinear(20, 12, density=0.3, activation=function, rng=rng, dtype=dtype, drop_connect=0.1),
            nerva.BatchNorm(12, activation=function, momentum=0.2, epsilon=1e-4, dtype=dtype),
            nerva.Dropout(0.3, rng=rng),
            nerva.Linear(12, 8, rng=rng, dtype=dtype),
            nerva.Activation(function),
            nerva.Linear(8, 4, rng=rng, dtype=dtype),
        ],
        rng=rng,
    )


def rewrite(path, **changed):
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays.pop("header").tobytes())
    header.update(changed.pop("header", {}))
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    arrays.update(changed)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
