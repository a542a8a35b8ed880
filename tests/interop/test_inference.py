"""What exports are made of, and which networks they refuse."""

import numpy as np
import pytest

import nerva
from nerva.interop.inference import Function, Product, Scale, inference_steps

from .exported import mixed


def test_batch_norm_is_folded_behind_a_product_alone():
    steps = inference_steps(mixed("float64"))
    kinds = [(type(step), step.layer) for step in steps]
    assert kinds == [
        (Scale, 0),
        (Product, 2),
        (Function, 3),
        (Product, 5),
        (Function, 5),
        (Scale, 6),
        (Function, 7),
        (Product, 8),
        (Function, 9),
        (Product, 10),
    ]
    assert [step.name for step in steps if isinstance(step, Function)] == ["silu", "gelu", "srelu", "srelu"]


def test_folding_changes_no_layer():
    model = mixed("float32")
    before = {name: array.copy() for name, array in model.state_dict().items()}
    inference_steps(model)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_scale_that_would_overflow_the_weights_stays():
    model = nerva.Sequential([nerva.SparseLinear(4, 3, density=0.5, rng=0), nerva.BatchNorm(3)])
    model.layers[0].weight.values[:] = 1e38
    model.layers[1].gamma = [1e10] * 3
    assert [type(step) for step in inference_steps(model)] == [Product, Scale]


class Square(nerva.layers.Layer):
    """A layer of a user's own."""

    def forward(self, X, *, training=True):
        return X * X

    def backward(self, DY, *, input_gradient=True):
        return DY

    def astype(self, dtype):
        return Square()


class Halved(nerva.Sequential):
    """A network with a forward pass of its own."""

    def forward(self, X, *, training=True):
        return super().forward(X, training=training) / 2


class Clipped(nerva.Linear):
    """A linear layer with a forward pass of its own."""

    def forward(self, X, *, training=True):
        return super().forward(X, training=training).clip(0, 1)


def patched():
    layer = nerva.Linear(4, 3)
    layer.forward = lambda X, training=True: X[:3]
    return layer


def broken():
    model = nerva.MLP([4, 3, 2])
    model.layers[1].bias[1] = np.inf
    return model


def of_loss(loss):
    model = nerva.MLP([4, 3])
    model.loss = loss
    return model


class Odd(nerva.SoftmaxCrossEntropy):
    """A loss with probabilities of its own."""

    def probabilities(self, Z):
        return Z / Z.sum(axis=0)


REFUSED = {
    "no network": (lambda: 3, TypeError, "model is int"),
    "own layer": (lambda: nerva.Sequential([nerva.Linear(4, 3), Square()]), TypeError, r"model.layers\[1\] is Square"),
    "own linear": (lambda: nerva.Sequential([Clipped(4, 3)]), TypeError, r"model.layers\[0\] is Clipped"),
    "patched": (lambda: nerva.Sequential([patched()]), TypeError, r"model.layers\[0\] is Linear with a forward"),
    "own network": (lambda: Halved([nerva.Linear(4, 3)]), TypeError, "Halved, whose forward"),
    "infinity": (broken, ValueError, r"model.layers\[1\] is Linear, whose bias holds NaN or infinity"),
    "regression": (lambda: of_loss(nerva.MeanSquaredError()), TypeError, "MeanSquaredError has no probabilities"),
    "own loss": (lambda: of_loss(Odd()), TypeError, "Odd has no probabilities"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_named(case, tmp_path):
    make, error, match = REFUSED[case]
    model = make()
    with pytest.raises(error, match=match):
        inference_steps(model, proba=True)
    with pytest.raises(error, match=match):
        nerva.export_c(model, tmp_path / "net.c", proba=True)
    assert not [*tmp_path.iterdir()]
