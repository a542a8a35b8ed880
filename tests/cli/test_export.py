"""The command `nerva export`: its formats, and what it refuses."""

import json
import sys

import numpy as np
import pytest
import safetensors.numpy

import nerva


@pytest.fixture
def saved(tmp_path):
    """A model, and its file model.safetensors."""
    model = nerva.MLP([4, 6, 3], density=0.5, seed=1)
    nerva.save(model, tmp_path / "model.safetensors")
    return model


def written(path, make):
    """The bytes of a file that a function writes."""
    make(path)
    return path.read_bytes()


def test_every_format_at_once(command, tmp_path, saved):
    targets = {"--c": "net.c", "--onnx": "net.onnx", "--safetensors": "w.safetensors", "--hub": "hub"}
    options = [word for option, name in targets.items() for word in (option, tmp_path / name)]
    code, out, errors = command("export", tmp_path / "model.safetensors", *options)
    assert (code, errors) == (0, [])
    assert [line.split()[0] for line in out] == [
        str(tmp_path / name)
        for name in ("net.c", "net.onnx", "w.safetensors", "hub/model.safetensors", "hub/config.json")
    ]
    (tmp_path / "other").mkdir()
    wanted = tmp_path / "other" / "net.c"
    assert (tmp_path / "net.c").read_bytes() == written(wanted, lambda path: nerva.export_c(saved, path))
    assert (tmp_path / "net.onnx").read_bytes() == written(wanted, lambda path: nerva.export_onnx(saved, path))
    assert set(safetensors.numpy.load_file(tmp_path / "w.safetensors")) >= {"0.indptr", "1.values"}
    X = np.random.default_rng(0).standard_normal((20, 4))
    np.testing.assert_array_equal(nerva.from_pretrained(tmp_path / "hub").predict_proba(X), saved.predict_proba(X))


def test_options_change_what_is_written(command, tmp_path, saved):
    options = ["--c", tmp_path / "my-net.c", "--name", "my", "--proba", "--onnx", tmp_path / "net.onnx", "--dense"]
    assert command("export", tmp_path / "model.safetensors", *options)[0] == 0
    text = (tmp_path / "my-net.c").read_text()
    assert "void my_forward(const float *x, float *y)" in text
    assert "my_softmax(3, y, y)" in text
    wanted = written(tmp_path / "x", lambda path: nerva.export_onnx(saved, path, sparse=False, proba=True))
    assert (tmp_path / "net.onnx").read_bytes() == wanted
    assert command("export", tmp_path / "model.safetensors", "--safetensors", tmp_path / "w", "--dense")[0] == 0
    assert set(safetensors.numpy.load_file(tmp_path / "w")) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_weights_of_save_weights_are_taken_too(command, tmp_path, saved):
    nerva.save_weights(saved, tmp_path / "w.npz")
    assert command("export", tmp_path / "w.npz", "--c", tmp_path / "net.c")[0] == 0
    before = (tmp_path / "net.c").read_bytes()
    assert before == written(tmp_path / "net.c", lambda path: nerva.export_c(saved, path))


@pytest.mark.parametrize("target", ["net.c", "hub/config.json", "hub/model.safetensors"])
def test_what_is_there_stays_unless_asked(command, tmp_path, saved, target):
    path = tmp_path / target
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    argv = ["export", tmp_path / "model.safetensors", "--c", tmp_path / "net.c", "--hub", tmp_path / "hub"]
    code, out, (complaint,) = command(*argv)
    assert (code, out) == (1, [])
    assert complaint == f"nerva: {path} exists already, and it would be lost (--overwrite replaces it)"
    assert path.read_text() == "mine"
    assert not [*tmp_path.glob("**/README.md")]
    assert command(*argv, "--overwrite")[0] == 0
    assert path.read_bytes() != b"mine"


def test_a_model_card_that_is_there_stays(command, tmp_path, saved):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "README.md").write_text("mine")
    assert command("export", tmp_path / "model.safetensors", "--hub", tmp_path / "hub")[0] == 0
    assert (tmp_path / "hub" / "README.md").read_text() == "mine"
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["in_features"] == 4


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "name what to write: --c, --onnx, --safetensors or --hub"),
        (["--hub", "h", "--name", "x"], "--name: goes with --c"),
        (["--hub", "h", "--proba"], "--proba: goes with --c or --onnx"),
        (["--c", "net.c", "--dense"], "--dense: goes with --onnx or --safetensors"),
        (["--c", "my-net.c"], "--name: 'my-net', the name of the file, is not a letter"),
        (["--c", "net.c", "--name", "2"], "--name: '2' is not a letter"),
        (["--c", "no/net.c"], "--c: no/net.c is no file in a folder that exists"),
        (["--hub", "no/hub"], "--hub: no/hub is in no folder that exists"),
        (["--hub", "model.safetensors"], "--hub: model.safetensors is a file"),
        (["--safetensors", "model.safetensors", "--overwrite"], "model.safetensors is the model itself"),
        (["--c", "net.c", "--onnx", "./net.c"], "is written twice"),
    ],
)
def test_what_is_refused(command, tmp_path, saved, monkeypatch, options, complaint):
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    code, out, (error,) = command("export", "model.safetensors", *options)
    assert (code, out) == (2, [])
    assert complaint in error
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_probabilities_that_a_model_does_not_have(command, tmp_path, saved):
    saved.loss = nerva.MeanSquaredError()
    nerva.save(saved, tmp_path / "model.safetensors")
    code, _, (error,) = command("export", tmp_path / "model.safetensors", "--c", tmp_path / "net.c", "--proba")
    assert code == 2
    assert "--c: proba is True, but a network trained by MeanSquaredError has no probabilities" in error


def test_without_onnx_nothing_is_written(command, tmp_path, saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    options = ["--c", tmp_path / "net.c", "--onnx", tmp_path / "net.onnx"]
    code, _, (error,) = command("export", tmp_path / "model.safetensors", *options)
    assert code == 2
    assert "nerva-sparse[onnx]" in error
    assert not (tmp_path / "net.c").exists()
