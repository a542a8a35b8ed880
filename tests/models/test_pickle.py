"""Models and what belongs to them, pickled by every protocol."""

import pickle

import numpy as np
import pytest

import nerva


def trained(**settings):
    rng = np.random.default_rng(0)
    model = nerva.MLP([6, 8, 3], density=0.5, **settings)
    model.fit(rng.standard_normal((20, 6)), rng.integers(0, 3, 20), epochs=1, optimizer=nerva.Adam())
    return model


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("settings", [{}, {"batch_norm": True, "dropout": 0.2}, {"activation": nerva.SReLU()}])
def test_a_model_goes_on_as_it_would_have(protocol, settings):
    X, y = np.random.default_rng(1).standard_normal((20, 6)), [0, 1] * 10
    model = trained(**settings)
    other = pickle.loads(pickle.dumps(model, protocol))
    histories = [each.fit(X, y, epochs=2, optimizer=nerva.Adam(), rng=0) for each in (model, other)]
    assert histories[0]["loss"] == histories[1]["loss"]
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_belongs_to_a_model(protocol):
    X = nerva.datasets.Standardized(np.arange(6, dtype=np.uint8).reshape(3, 2), 0.5, 0.5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X, protocol)), X)
    model = trained()
    history = model.fit(np.zeros((20, 6)), [0] * 20, epochs=2, topology=nerva.SET(every=1))
    for value in (nerva.Adam(), nerva.RigL(), nerva.Augment((3, 8, 8)), history, nerva.datasets.mini(5).train.X):
        other = pickle.loads(pickle.dumps(value, protocol))
        assert str(other) == str(value)
    for parameter in model.parameters():
        other = pickle.loads(pickle.dumps(parameter, protocol))
        np.testing.assert_array_equal(other.values, parameter.values)
        assert list(other.state) == list(parameter.state)
