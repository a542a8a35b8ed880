"""Networks in C: compiled without a warning, and the outputs of predict."""

import ctypes
import subprocess

import numpy as np
import pytest

import nerva

from .c_programs import Compiled, cc
from .exported import ACTIVATIONS, LOSSES, TOLERANCE, mixed, network, outputs, samples


def compiled(folder, model, *options, **settings):
    nerva.export_c(model, folder / "net.c", **settings)
    return Compiled(folder / "net.c", model, *options)


# ---- outputs
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_every_activation(tmp_path, activation, dtype):
    model = network(activation, dtype)
    X = samples(model)
    found = compiled(tmp_path, model).forward(X)
    np.testing.assert_allclose(found, outputs(model, X), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [[], ["-DNET_STATIC"]])
def test_every_layer_and_its_predictions(tmp_path, dtype, options):
    model = mixed(dtype)
    X = samples(model, 200)
    found = compiled(tmp_path, model, *options).forward(X)
    np.testing.assert_allclose(found, outputs(model, X), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    np.testing.assert_array_equal(found.argmax(axis=1), model.predict(X))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda case: type(case[0]).__name__)
def test_probabilities_are_those_of_predict_proba(tmp_path, loss):
    model = network("tanh", "float32", output=loss[1])
    model.loss = loss[0]
    X = samples(model)
    np.testing.assert_allclose(
        compiled(tmp_path, model, proba=True).forward(X), model.predict_proba(X), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "layers",
    [
        [nerva.BatchNorm(5)],
        [nerva.BatchNorm(5, activation="softmax")],
        [nerva.Activation("relu"), nerva.Dropout(0.5), nerva.Linear(5, 3, rng=0)],
        [nerva.Linear(5, 3, rng=0), nerva.Activation(nerva.SReLU(per="neuron")), nerva.Dropout(0.3)],
        [nerva.Linear(5, 1, rng=0, bias=False), nerva.Linear(1, 7, rng=1), nerva.Activation("softmax")],
        [nerva.SparseLinear(5, 4, density=0.0), nerva.Linear(4, 2, rng=0)],
        [nerva.SparseLinear(70_000, 3, density=0.001, rng=0)],
        [nerva.SparseLinear(5, 4, density=0.5, drop_connect=0.5, rng=0)],
    ],
    ids=lambda layers: ", ".join(type(layer).__name__ for layer in layers),
)
def test_layers_in_any_place(tmp_path, layers):
    model = nerva.Sequential(layers)
    X = samples(model)
    np.testing.assert_allclose(compiled(tmp_path, model).forward(X), outputs(model, X), rtol=1e-5, atol=1e-6)


def test_extreme_numbers_are_the_same(tmp_path):
    weights = np.array([1e-45, -1e-45, 3.4028235e38, 1.1754944e-38, 1.0, -0.0, 16777216, 1e-7], np.float32)
    for dtype in ("float32", "float64"):
        model = nerva.Sequential([nerva.Linear(1, len(weights), bias=False, dtype=dtype)])
        model.layers[0].weight = weights[:, None].astype(dtype)
        found = compiled(tmp_path, model).forward(np.ones((1, 1)))
        np.testing.assert_array_equal(found[0], weights.astype(dtype))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sigmoid", "silu", "gelu", "gelu_tanh", "tanh"])
def test_functions_of_large_numbers_do_not_overflow(tmp_path, name):
    model = nerva.Sequential([nerva.Linear(1, 4, bias=False), nerva.Activation(name)])
    model.layers[0].weight = [[1.0], [-1.0], [0.5], [0.0]]
    X = np.array([[1e3], [1e15], [-1e15], [100.0]])
    found = compiled(tmp_path, model).forward(X)
    np.testing.assert_allclose(found, outputs(model, X.astype(np.float32)), rtol=1e-6, atol=1e-30)


def test_nan_stays_nan(tmp_path):
    for activation in ACTIVATIONS:
        model = nerva.Sequential([nerva.Linear(1, 2, activation=activation, rng=0)])
        assert np.isnan(compiled(tmp_path, model).forward([[np.nan]])).all(), activation


# ---- the file
def test_a_program_of_its_own(tmp_path):
    model = network("relu", "float64")
    nerva.export_c(model, tmp_path / "net.c")
    cc("-DNET_MAIN", tmp_path / "net.c", "-o", tmp_path / "net", "-lm")

    def run(text):
        done = subprocess.run([tmp_path / "net"], input=text, capture_output=True, text=True, check=False)
        return (
            done.returncode,
            [[float(word) for word in line.split()] for line in done.stdout.splitlines()],
            done.stderr,
        )

    X = samples(model, 3)
    for separator in (",", " ", ";", ", "):
        text = "\n".join(separator.join(map(repr, row)) for row in X.tolist())
        code, found, _ = run(text + "\n")
        assert code == 0
        np.testing.assert_allclose(found, outputs(model, X), rtol=1e-12)
    assert run("") == (0, [], "")
    code, found, complaint = run(text + "\n1 2 x\n")
    assert (code, len(found)) == (1, 3)
    assert "sample 4: number 3 of 9" in complaint
    for wrong in ("1,2,,4,5,6,7,8,9,10", "1,2,1e999,4,5,6,7,8,9", "1,2,nan,4,5,6,7,8,9"):
        code, found, complaint = run(wrong)
        assert (code, found) == (1, []), wrong
        assert "sample 1: number 3 of 9 is missing, or no finite number" in complaint


def test_the_program_of_a_wide_network_fits_the_stack(tmp_path):
    wide = [
        nerva.SparseLinear(2, 1_200_000, density=1e-6, rng=0),
        nerva.SparseLinear(1_200_000, 2, density=1e-6, rng=0),
    ]
    nerva.export_c(nerva.Sequential(wide), tmp_path / "net.c")
    cc("-DNET_MAIN", tmp_path / "net.c", "-o", tmp_path / "net", "-lm")
    done = subprocess.run([tmp_path / "net"], input="1 2\n", capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout.split())) == (0, 2)


def test_another_file_includes_the_declarations(tmp_path):
    model = network("relu", "float32")
    nerva.export_c(model, tmp_path / "my@net.c", name="Net2")
    (tmp_path / "main.c").write_text(
        '#define NET2_DECLARATIONS\n#include "my@net.c"\n#include "my@net.c"\n'
        "int main(void)\n{\n    float x[NET2_INPUTS] = {0}, y[NET2_OUTPUTS];\n"
        "    Net2_forward(x, y);\n    return NET2_INPUTS == 9 && NET2_OUTPUTS == 4 ? 0 : 1;\n}\n"
    )
    cc("-c", tmp_path / "my@net.c", "-o", tmp_path / "net.o")
    cc(tmp_path / "main.c", tmp_path / "net.o", "-o", tmp_path / "main", "-lm")
    subprocess.run([tmp_path / "main"], check=True)
    assert '#include "my@net.c"' in (tmp_path / "my@net.c").read_text()


def test_names_of_classes_go_along(tmp_path):
    model = network("relu", "float32")
    model.classes = ("plain", 'a "quote"\\', "ü\n?", "what??/")
    library = compiled(tmp_path, model).functions
    names = (ctypes.c_char_p * 4).in_dll(library, "net_classes")
    assert tuple(name.decode() for name in names) == model.classes
    assert "#define NET_CLASSES 4\n" in (tmp_path / "net.c").read_text()


def test_the_same_model_gives_the_same_file(tmp_path):
    texts = []
    for _ in range(2):
        nerva.export_c(mixed("float32"), tmp_path / "net.c")
        texts.append((tmp_path / "net.c").read_text())
    assert texts[0] == texts[1]
    assert max(map(len, texts[0].splitlines())) < 200


# ---- what is refused
@pytest.mark.parametrize(
    ("path", "settings", "error", "match"),
    [
        ("my-net.c", {}, ValueError, "name is None, and that of the file is 'my-net'"),
        ("net.c", {"name": "2nd"}, ValueError, "name is '2nd'"),
        ("net.c", {"name": "_net"}, ValueError, "name is '_net'"),
        ("net.c", {"name": "né"}, ValueError, "name is"),
        ("net.c", {"name": 3}, TypeError, "name is 3"),
        ("net.c", {"proba": "yes"}, (TypeError, ValueError), "proba"),
        ("no/net.c", {}, OSError, "no/net.c"),
    ],
)
def test_wrong_arguments(tmp_path, path, settings, error, match):
    with pytest.raises(error, match=match):
        nerva.export_c(network("relu", "float32"), tmp_path / path, **settings)
    assert not [*tmp_path.iterdir()]
