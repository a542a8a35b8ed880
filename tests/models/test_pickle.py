"""Models and what belongs to them, pickled by every protocol."""

import io
import pickle

import numpy as np
import pytest

import nerva


def trained(**settings):
    rng = np.random.default_rng(0)
    model = nerva.MLP([6, 8, 3], **{"density": 0.5, **settings})
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


class ReadOnly(pickle.Unpickler):
    """An unpickler whose arrays are views of a buffer that cannot be written, as those joblib maps from a file."""

    def __init__(self, model):
        buffers = []
        data = pickle.dumps(model, 5, buffer_callback=lambda buffer: buffers.append(bytes(buffer.raw())))
        super().__init__(io.BytesIO(data), buffers=buffers)


@pytest.mark.parametrize(
    "settings", [{}, {"density": 1.0}, {"batch_norm": True, "dropout": 0.2}, {"activation": nerva.SReLU()}]
)
def test_arrays_that_cannot_be_written_are_copied(settings):
    X, y = np.random.default_rng(1).standard_normal((20, 6)), [0, 1] * 10
    model = trained(**settings)
    optimizer = model.parameters()[0].owner
    other, twin = ReadOnly((model, optimizer)).load()
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))
    histories = [
        each.fit(X, y, epochs=2, optimizer=own, rng=0, initial_epoch=1)
        for each, own in ((model, optimizer), (other, twin))
    ]
    assert histories[0]["loss"] == histories[1]["loss"]
