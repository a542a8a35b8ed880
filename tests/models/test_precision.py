"""The precision of a network: where it is kept and shown, and what it refuses."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import nerva
from nerva._kernels import isa
from nerva.models.precision import PRECISIONS

from ..bfloat16_reference import needs_bfloat16
from ..compiled_reference import SIZES, arrays, samples
from ..reference import assert_same_bits

X, Y = samples(130, np.float32)


def network(**settings):
    return nerva.MLP(SIZES, **{"density": [0.3, 0.4, 1.0], "seed": 1, "precision": "bfloat16"} | settings)


@pytest.fixture
def avx2():
    """Without AVX-512, as NERVA_ISA=avx2 has it."""
    before = isa.chosen()
    isa.choose("avx2")
    yield
    isa.choose(before)


# ---- what it is


def test_it_is_that_of_the_dtype_unless_given():
    assert network(precision=None).precision == network(precision="float32").precision == "float32"
    assert network(precision=None, dtype=np.float64).precision == "float64"


@needs_bfloat16
def test_it_is_kept_and_shown():
    model = network()
    assert model.precision == "bfloat16"
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.astype(np.float32), model.compact()):
        assert other.precision == "bfloat16"
    assert model.astype(np.float64).precision == "float64"
    assert model.astype(np.float64).astype(np.float32).precision == "float32"
    assert repr(model).endswith("\n], precision='bfloat16')")
    assert repr(network(precision=None)).endswith("\n])")
    assert "\nfloat32, activations bfloat16; dense" in model.summary()
    assert "\nfloat32; dense" in network(precision=None).summary()


@needs_bfloat16
def test_it_can_be_set_between_steps():
    model, plain = network(precision=None), network(precision=None)
    losses = [m.train_step(X, Y, nerva.SGD(), 0.1) for m in (model, plain)]
    assert losses[0] == losses[1]
    model.precision = "bfloat16"
    one, other = (m.train_step(X, Y, nerva.SGD(), 0.1) for m in (model, plain))
    assert one != other
    assert one == pytest.approx(other, rel=1e-2)
    model.precision = None
    assert model.precision == "float32"


@needs_bfloat16
def test_files_have_it(tmp_path):
    model = network()
    nerva.save_weights(model, tmp_path / "w.npz")
    found = nerva.load_weights(tmp_path / "w.npz")
    assert found.precision == "bfloat16"
    assert_same_bits(found.predict_proba(X), model.predict_proba(X))
    assert nerva.load_weights(tmp_path / "w.npz", network(precision=None)).precision == "float32"
    nerva.save_weights(network(precision=None), tmp_path / "plain.npz")
    assert nerva.load_weights(tmp_path / "plain.npz").precision == "float32"
    assert nerva.load_weights(tmp_path / "plain.npz", network()).precision == "bfloat16"


def test_a_pickle_from_before_there_was_one():
    model = network(precision=None, dtype=np.float64)
    state = {name: value for name, value in model.__getstate__().items() if name != "_precision"}
    other = nerva.Sequential.__new__(nerva.Sequential)
    other.__setstate__(state)
    assert other.precision == "float64"


# ---- what cannot be


def test_others_are_refused():
    for wrong in ("float16", "bf16", "", 16):
        with pytest.raises((ValueError, TypeError), match=r"^precision is"):
            network(precision=wrong)
    for dtype, precision in ((np.float64, "float32"), (np.float32, "float64")):
        with pytest.raises(ValueError, match=f"precision is '{precision}', but dtype is {np.dtype(dtype)}"):
            network(dtype=dtype, precision=precision)
    with pytest.raises(ValueError, match="precision is 'bfloat16', which needs weights of float32; dtype is float64"):
        network(dtype=np.float64)
    model = network(precision=None, dtype=np.float64)
    with pytest.raises(ValueError, match="dtype is float64"):
        model.precision = "bfloat16"
    assert model.precision == "float64"
    assert PRECISIONS == ("float32", "float64", "bfloat16")


def test_a_refused_network_leaves_its_layers_as_they_were():
    layers = [nerva.Linear(4, 3, dtype=np.float64), nerva.Dropout(0.5)]
    with pytest.raises(ValueError, match="precision is 'bfloat16'"):
        nerva.Sequential(layers, precision="bfloat16")
    assert layers[1].in_features is None


def test_without_avx512_it_is_refused_at_once(avx2):
    with pytest.raises(ValueError, match="precision is 'bfloat16', which needs AVX"):
        network()
    model = network(precision=None)
    with pytest.raises(ValueError, match="precision is 'bfloat16', which needs AVX"):
        model.precision = "bfloat16"
    assert model.precision == "float32"


@needs_bfloat16
def test_a_network_from_another_machine_is_evaluated_but_not_trained(avx2, tmp_path):
    isa.choose("avx512")
    model = network()
    nerva.save_weights(model, tmp_path / "w.npz")
    pickled = pickle.dumps(model)
    isa.choose("avx2")
    model, before = pickle.loads(pickled), arrays(network(precision=None))
    wanted = network(precision=None).predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X), wanted, rtol=1e-5)
    for train in (lambda: model.fit(X, Y, epochs=1), lambda: model.train_step(X, Y, nerva.SGD(), 0.1)):
        with pytest.raises(ValueError, match="precision is 'bfloat16', but it needs AVX-512, which is not in use"):
            train()
    for mine, right in zip(arrays(model), before, strict=True):
        assert_same_bits(mine, right)
    with pytest.warns(RuntimeWarning, match="precision 'bfloat16' is not kept: it needs AVX-512"):
        found = nerva.load_weights(tmp_path / "w.npz")
    assert found.precision == "float32"
    np.testing.assert_allclose(found.predict_proba(X), wanted, rtol=1e-5)


def test_in_a_process_with_avx2_it_is_refused(tmp_path):
    code = 'import nerva; nerva.MLP([4, 3, 2], density=0.5, precision="bfloat16")'
    environment = os.environ | {"NERVA_ISA": "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "ValueError: precision is 'bfloat16', which needs AVX" in done.stderr


# ---- what cannot be trained so


class Own(nerva.layers.Layer):
    """A layer of the user's own."""

    def forward(self, X, *, training=True):
        return X

    def backward(self, DY, **flags):
        return DY

    def astype(self, dtype):
        return Own()

    def __repr__(self):
        return "Own()"


class OwnNetwork(nerva.Sequential):
    """A network with passes of its own."""

    def forward(self, X, *, training=True):
        return super().forward(X, training=training)


class OwnStep(nerva.SGD):
    """An optimizer of the user's own."""

    def step(self, parameters, rate):
        super().step(parameters, rate)


def layers(*between):
    return [nerva.SparseLinear(SIZES[0], 9, density=0.5), *between, nerva.Linear(9, SIZES[-1])]


MODELS = {
    "own layer": (lambda: nerva.Sequential(layers(Own()), precision="bfloat16"), r"layers\[1\] is Own\(\), which"),
    "backend": (lambda: network(backend="mkl"), r"layers\[0\] is SparseLinear\(.*, whose backend is mkl;"),
    "own passes": (lambda: OwnNetwork(layers(), precision="bfloat16"), "OwnNetwork has passes of its own"),
}
ARGUMENTS = {
    "optimizer": ({"optimizer": OwnStep()}, r"the optimizer is OwnStep\("),
}


def assert_refused(model, message, **settings):
    """Before anything is changed, in `fit` and in a step."""
    before, loss, rng = copy.deepcopy(arrays(model)), model.loss, copy.deepcopy(model.rng.bit_generator.state)
    settings = {"X": X, "y": Y, "optimizer": nerva.SGD()} | settings
    for train in (lambda: model.fit(**settings), lambda: model.train_step(**settings, rate=0.1)):
        with pytest.raises(ValueError, match=rf"^precision is 'bfloat16', but {message}.*to 'float32'$"):
            train()
        assert model.loss is loss
        assert model.rng.bit_generator.state == rng
        for now, was in zip(arrays(model), before, strict=True):
            assert_same_bits(now, was)


@needs_bfloat16
@pytest.mark.parametrize("name", MODELS)
def test_a_network_that_is_not_compiled_is_refused(name):
    make, message = MODELS[name]
    model = make()
    assert_refused(model, message)
    assert np.isfinite(model.predict_proba(X)).all()
    model.precision = "float32"
    model.fit(X, Y, epochs=1)


@needs_bfloat16
@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_a_compiled_step_does_not_compute_is_refused(name):
    settings, message = ARGUMENTS[name]
    assert_refused(network(), message, **settings)


@needs_bfloat16
def test_a_backend_that_is_set_later_is_found():
    model = network()
    model.train_step(X, Y, nerva.SGD(), 0.1)
    model.layers[0].backend = "dense"
    with pytest.raises(ValueError, match=r"layers\[0\] is .*, whose backend is dense"):
        model.train_step(X, Y, nerva.SGD(), 0.1)
    model.layers[0].backend = "auto"
    model.train_step(X, Y, nerva.SGD(), 0.1)
