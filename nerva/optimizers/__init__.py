"""Optimizers: a step on every parameter, in place. Sparse values, dense weights and biases are all flat vectors here.

Optimizer state (velocity, moments) is kept beside the values it belongs to, so that a sparse layer has it for its
non-zeros and nothing else. `optimizer` holds the base class, `gradient_descent` and `adaptive` the rules, `groups` an
optimizer for each group of parameters.
"""

from nerva.optimizers.adaptive import Adam, AdamW, Lion, RMSprop
from nerva.optimizers.gradient_descent import SGD, Momentum, Nesterov
from nerva.optimizers.groups import Groups
from nerva.optimizers.optimizer import Optimizer, clip_norm

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "lion": Lion,
}

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "AdamW",
    "Groups",
    "Lion",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "clip_norm",
]
