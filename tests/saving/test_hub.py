"""Folders as the Hugging Face Hub has them. No test asks the Hub."""

import json
import sys

import huggingface_hub
import numpy as np
import pytest
import safetensors.numpy

import nerva

from ..weights_reference import assert_same, of_every_kind, trained


def test_a_folder_gives_the_model_back(tmp_path):
    model, X = trained()
    model.classes = ("a", "b", "c", "ü: d")
    nerva.save_pretrained(model, tmp_path / "mine")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    for name in (tmp_path / "mine", str(tmp_path / "mine")):
        same = nerva.from_pretrained(name)
        assert_same(same, model)
        np.testing.assert_array_equal(same.predict(X), model.predict(X))
    assert set(safetensors.numpy.load_file(tmp_path / "mine" / "model.safetensors")) >= {"0.indptr", "2.weight"}


def test_config_and_card_say_what_it_is(tmp_path):
    model = of_every_kind("gelu")
    model.classes = ("a", "b", "c", "ü: d")
    nerva.save_pretrained(model, tmp_path / "mine")
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert config["layers"] == [{"kind": type(layer).__name__, **layer.config()} for layer in model.layers]
    assert (config["in_features"], config["out_features"], config["nnz"]) == (20, 4, model.nnz)
    assert (config["library_name"], config["dtype"], config["classes"]) == ("nerva", "float32", [*model.classes])
    card = huggingface_hub.ModelCard.load(tmp_path / "mine" / "README.md")
    about = card.data.to_dict()
    assert (about["library_name"], about["tags"][:2]) == ("nerva", ["nerva", "sparse"])
    assert 'nerva.from_pretrained("mine")' in card.text
    assert model.summary() in card.text
    assert "a, b, c, ü: d" in card.text


def test_written_again_the_card_stays_and_the_rest_is_new(tmp_path):
    nerva.save_pretrained(trained(seed=0)[0], tmp_path / "mine")
    (tmp_path / "mine" / "README.md").write_text("my words")
    other, _ = trained(seed=1)
    nerva.save_pretrained(other, tmp_path / "mine")
    assert (tmp_path / "mine" / "README.md").read_text() == "my words"
    assert_same(nerva.from_pretrained(tmp_path / "mine"), other)


def test_a_name_on_the_hub_is_downloaded(tmp_path, monkeypatch):
    model, _ = trained()
    nerva.save_pretrained(model, tmp_path / "mine")
    asked = []

    def download(*arguments, **settings):
        asked.append((*arguments, settings))
        return str(tmp_path / "mine" / "model.safetensors")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert_same(nerva.from_pretrained("some/digits-0.1", revision="v2"), model)
    assert asked == [("some/digits-0.1", "model.safetensors", {"revision": "v2"})]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"nerva-sparse\[hub\]"):
        nerva.from_pretrained("some/digits-0.1")


def test_what_cannot_be_written(tmp_path):
    model, _ = trained()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file: a file, not a folder"):
        nerva.save_pretrained(model, tmp_path / "file")
    with pytest.raises(OSError, match="no/mine: cannot be made"):
        nerva.save_pretrained(model, tmp_path / "no" / "mine")
    with pytest.raises(TypeError, match="model is int"):
        nerva.save_pretrained(3, tmp_path / "mine")
    model.layers[0].bias[0] = np.inf
    with pytest.raises(ValueError, match=r"model.layers\[0\] is SparseLinear"):
        nerva.save_pretrained(model, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileNotFoundError, match=r"empty/model.safetensors: there is no such file"):
        nerva.from_pretrained("empty")
    with pytest.raises(ValueError, match="revision is 'v2'; empty is a folder"):
        nerva.from_pretrained("empty", revision="v2")
    for name in ("file", "none", "a/b/c", "../none", "../none/x", "user/na me"):
        with pytest.raises(FileNotFoundError, match="neither a folder, nor USER/NAME"):
            nerva.from_pretrained(name)
    (tmp_path / "empty" / "model.safetensors").write_text("broken")
    with pytest.raises(ValueError, match=r"model.safetensors: cut short"):
        nerva.from_pretrained("empty")
