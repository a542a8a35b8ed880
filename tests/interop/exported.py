"""Networks to export, with no number at its first value, and what they must give."""

import numpy as np

import nerva
from nerva.activations import NAMES

ACTIVATIONS = [
    *NAMES,
    nerva.LeakyReLU(0.2),
    nerva.LeakyReLU(-0.3),
    nerva.LeakyReLU(1.5),
    nerva.AllReLU(0.6, layer=2),
    nerva.TReLU(0.5),
    nerva.GELU(tanh=True),
    nerva.SReLU(-0.4, 0.2, 0.3, 1.7),
    nerva.SReLU(per="neuron"),
]
# A loss, and the last activation that goes with it.
LOSSES = [
    (nerva.SoftmaxCrossEntropy(), "identity"),
    (nerva.CrossEntropy(), "softmax"),
    (nerva.NegativeLogLikelihood(), "log_softmax"),
    (nerva.NegativeLogLikelihood("probabilities"), "softmax"),
    (nerva.LogisticCrossEntropy(), "identity"),
]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def shaken(model, seed=5):
    """The model with other biases, statistics and numbers of activations."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for name, array in layer.arrays().items():
            if name == "running_variance":
                array[:] = rng.uniform(0.3, 3, array.shape)
            elif name in ("bias", "gamma", "beta", "running_mean", "srelu"):
                array += rng.standard_normal(array.shape)
    return model


def network(activation, dtype, output="identity"):
    """Nine inputs, a sparse and a dense hidden layer with this activation, four outputs."""
    rng = np.random.default_rng(0)
    settings = {"rng": rng, "dtype": dtype}
    return shaken(
        nerva.Sequential(
            [
                nerva.SparseLinear(9, 30, density=0.4, activation=activation, **settings),
                nerva.Linear(30, 7, activation=activation, **settings),
                nerva.SparseLinear(7, 4, density=0.7, activation=output, **settings),
            ]
        )
    )


def mixed(dtype):
    """Every kind of layer, batch normalization behind products and elsewhere among them."""
    rng = np.random.default_rng(1)
    settings = {"rng": rng, "dtype": dtype}
    return shaken(
        nerva.Sequential(
            [
                nerva.BatchNorm(9, dtype=dtype),
                nerva.Dropout(0.2, rng=rng),
                nerva.SparseLinear(9, 30, density=0.4, bias=False, **settings),
                nerva.BatchNorm(30, activation="silu", dtype=dtype),
                nerva.Dropout(0.5, rng=rng),
                nerva.SparseLinear(30, 20, density=0.1, activation="gelu", drop_connect=0.5, **settings),
                nerva.BatchNorm(20, epsilon=0.1, momentum=0.3, dtype=dtype),
                nerva.Activation(nerva.SReLU(per="neuron")),
                nerva.Linear(20, 12, **settings),
                nerva.BatchNorm(12, activation=nerva.SReLU(), dtype=dtype),
                nerva.Linear(12, 4, **settings),
                nerva.Dropout(0.1, rng=rng),
            ]
        )
    )


def samples(model, count=20, seed=2):
    """Standard normal samples (count, features) in the model's dtype."""
    return np.random.default_rng(seed).standard_normal((count, model.in_features)).astype(model.dtype)


def outputs(model, X):
    """What the last layer gives for samples (n, features), in evaluation."""
    return model.forward(np.ascontiguousarray(X.T), training=False).T.copy()
