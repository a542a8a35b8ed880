"""Networks that are compiled, the same ones layer by layer, and what is compared of both."""

from contextlib import contextmanager

import numpy as np

import nerva
from nerva.models.plan import CompiledNetwork

from .reference import assert_same_bits

SIZES = [40, 60, 50, 6]
KINDS = {  # of layers that a network may have, as settings of `network`
    "plain": {},
    "tanh": {"activation": "tanh"},
    "gelu": {"activation": "gelu"},
    "srelu": {"activation": "srelu"},
    "dropout": {"dropout": 0.3},
    "batch norm": {"batch_norm": True},
    "batch norm and dropout": {"batch_norm": True, "dropout": 0.3, "activation": "tanh"},
    "DropConnect": {"drop_connect": 0.2},
}
CLOSE = 1e-10  # of float64: the sums of a batch are the same, in another order


def network(kind=nerva.MLP, **settings):
    """Two sparse layers and a dense one: any such network is compiled, for batches of 65 or more."""
    return kind(SIZES, **{"density": [0.3, 0.4, 1.0], "seed": 1, "dtype": np.float64, "backend": "native"} | settings)


def layer_by_layer(model):
    """The model, which is not compiled from now on."""
    model.compiled = lambda batch: None
    return model


def pair(make=network):
    """Two equal networks: one that is compiled, and one that is not."""
    return make(), layer_by_layer(make())


def samples(n=330, dtype=np.float64, features=SIZES[0], seed=0):
    """Samples of classes that can be told apart, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(SIZES[-1], size=n)
    X = rng.standard_normal((n, features)) + rng.standard_normal((SIZES[-1], features))[y]
    return X.astype(dtype), y


def images(n=330, image_shape=(1, 5, 8), seed=0):
    """Samples kept as bytes, standardized when they are read, and labels."""
    X, y = samples(n, features=int(np.prod(image_shape)), seed=seed)
    pixels = np.clip(X * 40 + 128, 0, 255).astype(np.uint8)
    return nerva.datasets.Standardized(pixels, 0.5, 0.25), y


class Steps:
    """What a compiled network did: training steps, and batches of outputs."""

    def __init__(self):
        self.train, self.outputs = 0, 0


@contextmanager
def counted():
    """Count what compiled networks do meanwhile."""
    steps, own = Steps(), (CompiledNetwork.train, CompiledNetwork.outputs)

    def train(self, *arguments):
        result = own[0](self, *arguments)
        steps.train += 1
        return result

    def outputs(self, *arguments):
        result = own[1](self, *arguments)
        steps.outputs += 1
        return result

    CompiledNetwork.train, CompiledNetwork.outputs = train, outputs
    try:
        yield steps
    finally:
        CompiledNetwork.train, CompiledNetwork.outputs = own


def arrays(model):
    """All that training changes: patterns, parameters and the state of the optimizer."""
    found = []
    for layer in model.layers:
        weight = getattr(layer, "weight", None)
        found += [weight.indptr, weight.indices] if isinstance(weight, nerva.CSR) else []
    for parameter in model.parameters():
        found += [parameter.values, *(parameter.state[name] for name in sorted(parameter.state))]
    return found


def assert_close(one, other, tolerance=CLOSE):
    """Patterns are the same; parameters and the optimizer's state agree within rounding."""
    for i, (mine, right) in enumerate(zip(arrays(one), arrays(other), strict=True)):
        assert mine.shape == right.shape
        size = np.abs(right).max(initial=0)
        np.testing.assert_allclose(mine, right, rtol=tolerance, atol=tolerance * size, err_msg=f"array {i}")


def assert_same(one, other):
    """To the last bit."""
    for mine, right in zip(arrays(one), arrays(other), strict=True):
        assert_same_bits(mine, right)


def assert_same_history(one, other, tolerance=CLOSE):
    """The losses agree within rounding; accuracies and the topology's records are the same."""
    assert len(one.epochs) == len(other.epochs)
    for mine, right in zip(one.epochs, other.epochs, strict=True):
        for name in ("loss", "test_loss"):
            if getattr(right, name) is not None:
                np.testing.assert_allclose(getattr(mine, name), getattr(right, name), rtol=tolerance, err_msg=name)
        for name in ("epoch", "learning_rate", "train_accuracy", "test_accuracy"):
            assert getattr(mine, name) == getattr(right, name)
    assert getattr(one, "topology", None) == getattr(other, "topology", None)
