"""Small networks and data to train, and what is compared of them."""

import pickle
import time

import numpy as np

import nerva

from .reference import assert_same_bits

SIZES = [12, 8, 4]


def samples(n=90, seed=0):
    """Samples (n, 12), the first feature the number of the sample, and labels."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, SIZES[0]))
    X[:, 0] = np.arange(n) / n
    return X, rng.integers(SIZES[-1], size=n)


class Recorder(nerva.MLP):
    """A network that keeps the batches it is trained on, and takes its time where it is told to."""

    delays = (0.0, 0.0)  # evaluation, training

    def forward(self, X, *, training=True):
        if training:
            self.__dict__.setdefault("seen", []).append(X.T.copy())
        time.sleep(self.delays[training])
        return super().forward(X, training=training)


class Rates(nerva.SGD):
    """An optimizer that keeps the rates it is asked to step at."""

    def __init__(self):
        super().__init__()
        self._rates = []

    def step(self, parameters, rate):
        self._rates.append(rate)
        super().step(parameters, rate)


def network(kind=nerva.MLP, sizes=SIZES, **settings):
    return kind(sizes, **{"density": 0.6, "seed": 1, "distribution": "uniform"} | settings)


def state(model):
    """All that training could change."""
    numbers = [(parameter.values, parameter.state) for parameter in model.parameters()]
    return pickle.dumps((numbers, model.rng.bit_generator.state))


def assert_same_weights(one, other):
    for mine, yours in zip(one.parameters(), other.parameters(), strict=True):
        assert_same_bits(mine.values, yours.values, mine.name)
