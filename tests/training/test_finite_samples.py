"""Samples with a value that is not finite are refused as they are read, and nothing has changed by then."""

import numpy as np
import pytest

import nerva
from nerva._kernels import mkl
from nerva.models.plan import CompiledNetwork
from nerva.training.samples import Samples

from ..bfloat16_reference import needs_bfloat16
from ..compiled_reference import layer_by_layer, network, samples

MODELS = {
    "compiled": network,
    "layer by layer": lambda: layer_by_layer(network()),
    "batch norm": lambda: network(batch_norm=True),
    "dropout": lambda: network(dropout=0.2),
    "DropConnect": lambda: network(drop_connect=0.2),
    "float32": lambda: network(dtype=np.float32),
    "bfloat16": pytest.param(lambda: network(dtype=np.float32, precision="bfloat16"), marks=needs_bfloat16),
}
OPTIMIZERS = {
    "SGD": nerva.SGD,
    "Nesterov": nerva.Nesterov,
    "Adam": nerva.Adam,
    "groups": lambda: nerva.Groups([("bias", nerva.Adam())], rest=nerva.Momentum()),
}


def after(model, optimizer, X, y):
    """All numbers that further steps by this optimizer lead to."""
    losses = [model.train_step(X, y, optimizer, 0.01) for _ in range(2)]
    return losses, [parameter.values.tobytes() for parameter in model.parameters()]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("other", [None, nerva.Adam], ids=["first step", "after Adam"])
def test_a_step_that_is_refused_leaves_no_trace(make, optimizer, other):
    X, y = samples(150)
    bad = X.copy()
    bad[131, 7] = np.nan
    for threads in (1, 2):
        mkl.set_num_threads(threads)
        (model, own), (wanted, others) = [(make(), optimizer()) for _ in range(2)]
        for each, mine in ((model, own), (wanted, others)):
            each.train_step(X, y, mine if other is None else other(), 0.01)
        for _ in range(2):
            with pytest.raises(ValueError, match=r"^X\[131, 7\] is nan; every number must be finite in float"):
                model.train_step(bad, y, own, 0.01, loss=nerva.SoftmaxCrossEntropy())
        assert after(model, own, X, y) == after(wanted, others, X, y)


def test_a_refused_step_does_not_take_its_loss():
    model, (X, y) = network(), samples(150)
    before = model.loss
    X[3, 2] = np.inf
    for loss in (nerva.SoftmaxCrossEntropy(), nerva.SquaredError(classes=True)):
        with pytest.raises(ValueError, match=r"X\[3, 2\] is inf"):
            model.train_step(X, y, nerva.SGD(), 0.1, loss=loss)
        assert model.loss is before


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("row", [0, 128, 299])
def test_every_batch_of_an_evaluation_is_looked_at(make, row):
    model, (X, y) = make(), samples(300)
    X[row, -1] = -np.inf
    for call in (model.predict, model.predict_proba, lambda X: model.evaluate(X, y)):
        with pytest.raises(ValueError, match=rf"^X\[{row}, 39\] is -inf; every number must be finite in float"):
            call(X)


@pytest.mark.parametrize("batch", [1, 2, 20, 64, 65, 100])
def test_a_feature_without_weights_is_looked_at(batch):
    model = nerva.MLP([70, 30, 4], density=0.02, seed=1, backend="native")
    used = model.layers[0].weight.indices
    feature = int(np.setdiff1d(np.arange(70), used)[0])
    X, y = np.ones((batch, 70)), np.zeros(batch, int)
    X[-1, feature] = np.nan
    for call in (model.predict, lambda X: model.evaluate(X, y), lambda X: model.train_step(X, y, nerva.SGD(), 0.1)):
        with pytest.raises(ValueError, match=rf"X\[{batch - 1}, {feature}\] is nan"):
            call(X)


def test_values_that_overflow_are_named_as_they_are():
    model, (X, y) = network(dtype=np.float32), samples(100)
    X[5, 1] = 1e39
    for call in (model.predict, lambda X: model.train_step(X, y, nerva.SGD(), 0.1)):
        with pytest.raises(ValueError, match=r"X\[5, 1\] is 1e\+39; every number must be finite in float32"):
            call(X)


def test_the_values_of_a_step_are_read_once(monkeypatch):
    calls = []
    monkeypatch.setattr(Samples, "check_finite", lambda self: calls.append(self))
    model, (X, y) = network(), samples(130)
    model.train_step(X, y, nerva.SGD(), 0.1)
    model.evaluate(X, y)
    model.predict(X)
    assert not calls
    model.fit(X, y, epochs=1, validation=(X, y))
    assert len(calls) == 2  # before the first step


def test_a_change_while_a_step_reads_is_refused(monkeypatch):
    model, (X, y) = network(), samples(130)
    X[3, 3] = np.nan
    assert model.compiled(130) is not None
    monkeypatch.setattr(Samples, "check_finite", lambda self: None)  # as if it were finite again
    with pytest.raises(RuntimeError, match="X was changed while a step read it"):
        model.train_step(X, y, nerva.SGD(), 0.1)
    assert isinstance(model.compiled(130), CompiledNetwork)


def test_a_value_that_another_thread_mends_meanwhile_is_still_refused(monkeypatch):
    model, (X, y) = network(), samples(130)
    X[3, 3] = np.nan

    def looked_at(array, dtype):
        finite = np.isfinite(array)
        X[3, 3] = 0.0
        return finite

    monkeypatch.setattr("nerva.training.samples._finite", looked_at)
    with pytest.raises(ValueError, match=r"X\[3, 3\] is"):
        model.train_step(X, y, nerva.SGD(), 0.1)
