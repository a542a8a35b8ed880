"""Sequential: how it is put together, what it tells, its forward and backward pass, copies."""

import copy
import inspect
import pickle
import pydoc
import re

import numpy as np
import pytest

import nerva
from nerva.layers import LEAKY_SLOPE
from nerva.training import evaluation, fit, step

from ..reference import activate, assert_same_bits, softmax_cross_entropy

SIZES = [12, 8, 6, 4]


def network(**settings):
    return nerva.MLP(SIZES, **{"density": 0.5, "seed": 1} | settings)


def logits(model, X):
    """The outputs for samples X (n, features) in float64, (classes, n)."""
    Y = np.asarray(X, np.float64).T
    for layer in model.layers:
        weight = layer.weight if isinstance(layer, nerva.Linear) else layer.weight.to_dense()
        Z = weight.astype(np.float64) @ Y + (0 if layer.bias is None else layer.bias[:, None])
        Y = activate(layer.activation, Z, LEAKY_SLOPE)
    return Y


def samples(n, seed=0, features=SIZES[0], classes=SIZES[-1]):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, features)), rng.integers(classes, size=n)


def test_a_wrong_argument_of_sequential_is_named():
    one, two = nerva.Linear(5, 4), nerva.Linear(4, 3)
    for layers, error, message in [
        ([], ValueError, "layers is empty"),
        ([one, "relu"], TypeError, r"layers\[1\] is str"),
        ([nerva.MLP([5, 4])], TypeError, r"layers\[0\] is MLP"),
        ([two, one], ValueError, r"layers\[0\] gives 3 features, layers\[1\] takes 5"),
        ([one, nerva.Linear(4, 3, dtype=float)], ValueError, r"layers\[0\] has dtype float32, layers\[1\] float64"),
        ([one, nerva.Linear(4, 5), one], ValueError, r"layers\[2\] stands in the network twice"),
        (one, TypeError, "layers"),
    ]:
        with pytest.raises(error, match=message):
            nerva.Sequential(layers)
    with pytest.raises(TypeError, match="rng is str"):
        nerva.Sequential([one, two], rng="seed")
    assert nerva.Sequential(iter([one, two])).layers == (one, two)


# ---- what it tells


def test_the_summary_counts_what_is_there(dtype):
    model = nerva.MLP([1000, 300, 20, 10], density=[0.1, 0.5, 1], dtype=dtype)
    X, y = samples(8, features=1000, classes=10)
    optimizer, loss = nerva.Nesterov(), nerva.SoftmaxCrossEntropy()
    for trained in (False, True):
        if trained:
            model.backward(loss(model.forward(X.T.astype(dtype, order="C")), y).gradient)
            optimizer.step(model.parameters(), 0.1)
        text = model.summary()
        title, rule, *rows, _, total, closing, _ = text.splitlines()
        assert title.split() == ["layer", "in", "out", "activation", "density", "weights", "bytes", "a", "weight"]
        assert set(rule) == {"-"}
        held = []
        for row, layer in zip(rows, model.layers, strict=True):
            arrays = [array for p in layer.parameters() for array in (p.values, *p.state.values())]
            arrays += [parameter.gradient for parameter in layer.parameters()] if trained else []
            if isinstance(layer, nerva.SparseLinear):
                arrays += [layer.weight.indptr, layer.weight.indices]
            held.append(sum(array.nbytes for array in arrays))
            if trained and layer is model.layers[1]:  # the transposed companion: indptr, indices, permutation
                held[-1] += 4 * (layer.in_features + 1 + 2 * layer.nnz)
            assert row.split() == [
                type(layer).__name__,
                f"{layer.in_features:,}",
                f"{layer.out_features:,}",
                layer.activation,
                f"{layer.density:.4%}",
                f"{layer.nnz:,}",
                f"{held[-1]:,}",
                f"{held[-1] / layer.nnz:.1f}",
            ]
        assert model.nbytes == sum(held)
        assert total.split() == [
            "total",
            f"{33200 / 306200:.4%}",
            "33,200",
            f"{sum(held):,}",
            f"{sum(held) / 33200:.1f}",
        ]
        assert closing.startswith(dtype.name)
        assert re.findall(r"[\d,]{4,}", closing) == ["306,200", f"{306200 * dtype.itemsize:,}"]
        assert len({len(line) for line in [title, rule, *rows, total]}) == 1


def test_repr_shows_the_layers():
    model = network(density=[0.5, 1, 0.5])
    assert repr(model) == "MLP([\n" + "".join(f"    {layer!r},\n" for layer in model.layers) + "])"
    assert "Linear(8, 6, density=1, activation='relu'" in repr(model)
    assert repr(nerva.Sequential(model.layers)).startswith("Sequential([\n    SparseLinear(12, 8, density=0.5")


# ---- one pass


@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
def test_gradients_of_the_loss_by_central_differences(activation, backend):
    model = network(density=[0.5, 1, 0.6], activation=activation, dtype=np.float64, backend=backend)
    X, y = samples(5, seed=3)
    columns, loss = np.ascontiguousarray(X.T), nerva.SoftmaxCrossEntropy()
    model.backward(loss(model.forward(columns), y).gradient)
    step = 1e-6
    for parameter in model.parameters():
        gradient = parameter.gradient.copy()
        for i, before in enumerate(parameter.values.copy()):
            values = []
            for sign in (1, -1):
                parameter.values[i] = before + sign * step
                values.append(softmax_cross_entropy(logits(model, X), y)[0].mean())
            parameter.values[i] = before
            slope = (values[0] - values[1]) / (2 * step)
            assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-8), parameter.name


def test_backward_needs_a_forward_in_training():
    model = network()
    model.forward(np.zeros((12, 3), np.float32), training=False)
    with pytest.raises(RuntimeError, match="forward"):
        model.backward(np.zeros((4, 3), np.float32))


# ---- copies


@pytest.mark.parametrize("clone", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy], ids=["pickle", ""])
def test_a_copy_goes_on_as_the_original(clone):
    model, (X, y) = network(density=[0.5, 1, 0.5]), samples(90)
    model.fit(X, y, epochs=1, batch_size=20)
    twin = clone(model)
    assert repr(twin) == repr(model)
    runs = [one.fit(X, y, epochs=2, batch_size=20, optimizer=nerva.Momentum())["loss"] for one in (model, twin)]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]
    for one, two in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(one.values, two.values, one.name)
    assert_same_bits(model.predict_proba(X), twin.predict_proba(X))


# ---- methods of training and inference, described in nerva.training


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("fit", fit.fit),
        ("train_step", step.train_step),
        ("evaluate", evaluation.evaluate),
        ("predict", evaluation.predict),
        ("predict_proba", evaluation.predict_proba),
    ],
)
def test_a_method_has_the_signature_and_docstring_of_its_function(name, function):
    method, wanted = getattr(nerva.MLP, name), inspect.signature(function)
    parameters = list(inspect.signature(method).parameters.values())
    assert parameters[0].name == "self"
    assert parameters[1:] == list(wanted.parameters.values())[1:]
    assert list(inspect.signature(getattr(network(), name)).parameters.values()) == parameters[1:]
    assert method.__doc__ == function.__doc__
    assert method.__qualname__ == f"Sequential.{name}"
    text = pydoc.render_doc(method, renderer=pydoc.plaintext)
    assert re.search(rf"{name}\(\s*self,\s*X: ", text)  # Python 3.13 breaks long lines
    assert "Parameters" in text


def test_arguments_that_do_not_exist_or_are_missing_are_named():
    model, (X, y) = network(), samples(8)
    with pytest.raises(TypeError, match=r"fit\(\) got an unexpected keyword argument 'epoch'"):
        model.fit(X, y, epoch=3)
    with pytest.raises(TypeError, match=r"predict\(\) got an unexpected keyword argument 'size'"):
        model.predict(X, size=3)
    with pytest.raises(TypeError, match="y is None, and X is ndarray"):
        model.fit(X)
    with pytest.raises(TypeError, match=r"fit\(\) takes from 2 to 3 positional arguments but 4 were given"):
        model.fit(X, y, 3)


def test_a_subclass_may_extend_fit():
    class Counted(nerva.MLP):
        calls = 0

        def fit(self, X, y, **settings):
            self.calls += 1
            return super().fit(X, y, **settings)

    model, (X, y) = Counted([12, 4]), samples(8)
    assert len(model.fit(X=X, y=y, epochs=2)) == 2
    assert model.calls == 1


def test_the_warning_of_a_lost_training_is_that_of_the_line_that_calls_fit():
    model, (X, y) = network(), samples(90)
    with pytest.warns(RuntimeWarning, match="loss is not finite") as found:
        model.fit(X, y, epochs=2, batch_size=10, schedule=1e30, diverged="warn")
    assert found[0].filename == __file__
