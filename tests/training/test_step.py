"""train_step: what it refuses, before anything has changed. That it is a step of fit is in test_fit."""

import numpy as np
import pytest

import nerva

from ..training_reference import network, samples, state


@pytest.mark.parametrize(
    ("name", "value"),
    [("rate", -1), ("rate", np.nan), ("rate", "slow"), ("rate", None), ("optimizer", "sgd"), ("loss", "mse")],
)
def test_a_wrong_argument_of_train_step_is_named(name, value):
    model, (X, y) = network(), samples()
    before = state(model)
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        model.train_step(X, y, **{"optimizer": nerva.SGD(), "rate": 0.1, name: value})
    assert state(model) == before
