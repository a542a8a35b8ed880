"""Three steps of every optimizer against symbolic formulas: the moments as the sums that their recursions stand for."""

import numpy as np
import pytest
import sympy as sp

import nerva
from nerva.optimizers import OPTIMIZERS

from ..derivations import assert_agree, compiled, exact


def moment(terms, factor):
    """factor^(t - 1) terms[0] + ... + terms[t - 1]."""
    return sum(factor ** (len(terms) - 1 - i) * term for i, term in enumerate(terms))


def scaled(d, alpha, epsilon):
    """The last gradient by the root of the mean square of all."""
    return d[-1] / (sp.sqrt((1 - alpha) * moment([g**2 for g in d], alpha)) + epsilon)


def without_bias(terms, beta):
    """The moment divided by the sum of its factors: Adam's correction is that."""
    return moment(terms, beta) / moment([1] * len(terms), beta)


# Where a step goes, by all gradients so far. That of Nesterov is how Sutskever's theta + mu v moves, v = -rate moment.
DIRECTIONS = {
    "sgd": lambda d: d[-1],
    "momentum": moment,
    "nesterov": lambda d, mu: (1 + mu) * moment(d, mu) - mu * moment(d[:-1], mu),
    "rmsprop": lambda d, alpha, epsilon, mu: moment([scaled(d[: i + 1], alpha, epsilon) for i in range(len(d))], mu),
    "adam": lambda d, beta1, beta2, epsilon: (
        without_bias(d, beta1) / (sp.sqrt(without_bias([g**2 for g in d], beta2)) + epsilon)
    ),
    "lion": lambda d, beta1, beta2: sp.sign(beta1 * (1 - beta2) * moment(d[:-1], beta2) + (1 - beta1) * d[-1]),
}

DIRECTIONS["adamw"] = DIRECTIONS["adam"]

RULES = [
    ("sgd", {}),
    ("momentum", {"momentum": 0.9}),
    ("nesterov", {"momentum": 0.9}),
    ("rmsprop", {"alpha": 0.9, "epsilon": 1e-3, "momentum": 0.0}),
    ("rmsprop", {"alpha": 0.9, "epsilon": 1e-3, "momentum": 0.8}),
    ("adam", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}),
    ("adamw", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}),
    ("lion", {"beta1": 0.9, "beta2": 0.95}),
]


@pytest.mark.parametrize(("decay", "clip"), [(0.0, None), (0.1, None), (0.1, 0.7)])
@pytest.mark.parametrize(("name", "settings"), RULES)
def test_three_steps_of_an_optimizer(name, settings, decay, clip):
    w, *G = sp.symbols("w g:3", real=True)
    rates, (shrink, *own) = sp.symbols("r:3", positive=True), sp.symbols(f"a:{len(settings) + 1}", positive=True)
    d, points, apart = [], [w], name in ("adamw", "lion")  # the decay of these is no part of the gradient
    for g, rate in zip(G, rates, strict=True):
        w, g = points[-1], g if clip is None else sp.Max(-exact(clip), sp.Min(exact(clip), g))
        d.append(g if apart else g + shrink * w)
        points.append(w - rate * (DIRECTIONS[name](d, *own) + (shrink * w if apart else 0)))
    path = compiled([points[:1], G, rates, [shrink, *own]], points[1:])

    drawn, speeds = np.random.default_rng(9).standard_normal((3, 20)), (0.1, 0.05, 0.2)
    optimizer = OPTIMIZERS[name](weight_decay=decay, clip_value=clip, **settings)
    parameter = nerva.Parameter("weight", np.linspace(-2, 2, 20))
    pairs = zip(parameter.values, drawn.T, strict=True)
    wanted = np.array([path([w], slopes, speeds, [decay, *settings.values()])[0] for w, slopes in pairs])
    for t, speed in enumerate(speeds):
        parameter.gradient[:] = drawn[t]
        optimizer.step([parameter], speed)
        assert_agree([parameter.values], [wanted[:, t]])


def test_nothing_is_left_out():
    assert {name for name, *_ in RULES} == set(OPTIMIZERS)
