"""Samples: however they lie in memory, the training is the same; and wrong data are named."""

import pickle
from operator import itemgetter

import numpy as np
import pytest

import nerva
from nerva.datasets import Standardized

from ..training_reference import assert_same_weights, network, samples, state

KINDS = {
    "float32": lambda X: X.astype(np.float32),
    "columns side by side": lambda X: np.asfortranarray(X, np.float32),
    "every second": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards twice": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "lists": lambda X: X.tolist(),
}

LABELS = {
    "a list": list,
    "bytes": lambda y: y.astype(np.uint8),
    "swapped bytes": lambda y: y.astype(">i4"),
    "every second": lambda y: np.repeat(y, 2)[::2],
}


@pytest.mark.parametrize(
    ("of_X", "of_y"),
    [(kind, lambda y: y) for kind in KINDS.values()] + [(lambda X: X, kind) for kind in LABELS.values()],
    ids=[*KINDS, *LABELS],
)
def test_it_does_not_matter_how_data_lie_in_memory(of_X, of_y):
    X, y = samples()
    plain, other = network(), network()
    spoiled = of_X(X), of_y(y)
    for array in spoiled:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    before = pickle.dumps(spoiled)
    assert plain.fit(X, y, epochs=2)["loss"] == other.fit(*spoiled, epochs=2)["loss"]
    assert_same_weights(plain, other)
    assert pickle.dumps(spoiled) == before


def test_standardized_samples_and_bytes():
    pixels, y = np.random.default_rng(0).integers(256, size=(90, 12), dtype=np.uint8), samples()[1]
    for X, same in [
        (pixels, pixels.astype(np.float32)),
        (Standardized(pixels, 0.4, 0.2), (pixels / 255 - 0.4) / 0.2),
    ]:
        one, other = (network().fit(data, y, epochs=3, schedule=1e-3)["loss"] for data in (X, same))
        assert one == pytest.approx(other, rel=1e-4)
        assert one[0] != one[1]


# ---- what is refused, before anything has changed


ENTRIES = {
    "fit": lambda model, X, y: model.fit(X, y, epochs=1),
    "train_step": lambda model, X, y: model.train_step(X, y, nerva.SGD(), 0.1),
    "validation": lambda model, X, y: model.fit(*samples(), epochs=1, validation=(X, y)),
    "evaluate": lambda model, X, y: model.evaluate(X, y),
    "predict": lambda model, X, y: model.predict(X),
    "predict_proba": lambda model, X, y: model.predict_proba(X),
}


def with_entry(X, value, row=71, column=3):
    X = X.copy()
    X[row, column] = value
    return X


WRONG_X = {
    "nan": (lambda X: with_entry(X, np.nan), r"X\[71, 3\] is nan"),
    "inf": (lambda X: with_entry(X, -np.inf).astype(np.float32), r"X\[71, 3\] is -inf"),
    "too few features": (lambda X: X[:, 1:], r"X has shape \(90, 11\).*12"),
    "transposed": (lambda X: X.T, r"X has shape \(12, 90\).*12"),
    "one sample": (itemgetter(0), r"X has shape \(12,\).*12"),
    "images": (lambda X: X.reshape(90, 3, 4), r"X has shape \(90, 3, 4\).*12"),
    "empty": (lambda X: X[:0], r"X .*no samples"),
    "complex": (lambda X: X.astype(np.complex64), "X has dtype complex64.*float32, float64 or uint8"),
    "masked": (lambda X: np.ma.array(X, mask=X > 0), "X is a masked array"),
    "strings": (lambda X: X.astype(str), "X has dtype"),
    "none": (lambda X: None, "X has dtype object"),
    "ragged": (lambda X: [*X.tolist()[1:], [1.0]], "X "),
}

WRONG_Y = {
    "floats": (lambda y: y + 0.5, "y has dtype float64.*integers"),
    "strings": (lambda y: y.astype(bytes), "y has dtype"),
    "none": (lambda y: None, "y (has dtype|is None)"),
    "too large": (lambda y: np.where(np.arange(90) == 71, 4, y), "y holds labels from 0 to 4; .*0 to 3"),
    "negative": (lambda y: y - 1, "y holds labels from -1"),
    "huge": (lambda y: y.astype(np.uint64) + 2**63, "y holds labels"),
    "too few": (lambda y: y[1:], r"y has shape \(89,\).* 90"),
    "two-hot": (lambda y: np.eye(4)[y] + np.eye(4)[y - 1], "y has rows that are no probabilities"),
    "rows too short": (lambda y: np.eye(3)[y % 3], r"y has shape \(90, 3\); it must be \(90, 4\)"),
    "empty": (lambda y: y[:0], r"y has shape \(0,\).* 90"),
}


@pytest.mark.parametrize(
    ("entry", "spoil", "message"),
    [(entry, spoil, ("X", *case)) for entry in ENTRIES for spoil, case in WRONG_X.items()]
    + [(entry, spoil, ("y", *case)) for entry in list(ENTRIES)[:4] for spoil, case in WRONG_Y.items()],
)
def test_wrong_data_are_named(entry, spoil, message, monkeypatch):
    del spoil
    (which, change, message), model, (X, y) = message, network(), samples()
    monkeypatch.setattr("nerva.training.samples.CHUNK", 2000)  # a few pieces
    before = state(model)
    X, y = (change(X), y) if which == "X" else (X, change(y))
    with pytest.raises((TypeError, ValueError), match=("validation " if entry == "validation" else "^") + message):
        ENTRIES[entry](model, X, y)
    assert state(model) == before
