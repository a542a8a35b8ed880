"""The command `nerva summary`."""

import numpy as np
import pytest

import nerva

from .running import assert_refused

LOSS = "loss: softmax-cross-entropy, label smoothing 0.25"


@pytest.fixture
def model():
    model = nerva.MLP([6, 5, 2], density=0.5, seed=3)
    model.loss, model.classes = nerva.SoftmaxCrossEntropy(label_smoothing=0.25), ("cat", "dog, wet")
    return model


@pytest.mark.parametrize("save", [nerva.save, nerva.save_weights])
def test_the_summary_is_that_of_the_model(command, model, tmp_path, save):
    save(model, tmp_path / "model")
    expected = [*model.summary(7).splitlines(), LOSS, 'classes: cat, "dog, wet"']
    assert command("summary", tmp_path / "model", "--batch-size", 7) == (0, expected, [])


def test_a_file_of_the_original_has_a_summary_without_classes(command, tmp_path):
    np.savez(tmp_path / "w.npz", W1=np.ones((3, 4), np.float32), b1=np.ones(3, np.float32))
    code, out, errors = command("summary", tmp_path / "w.npz")
    assert (code, errors, out[-1]) == (0, [], "loss: softmax-cross-entropy")


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (nerva.SoftmaxCrossEntropy(class_weights=[1, 2.5]), "softmax-cross-entropy, class weights 1,2.5"),
        (nerva.MeanSquaredError(classes=True), "mean-squared-error"),
        (nerva.LogisticCrossEntropy(negatives=False), "logistic-cross-entropy, negatives False"),
        (nerva.NegativeLogLikelihood(), "negative-log-likelihood"),
    ],
)
def test_a_loss_has_the_name_by_which_the_command_takes_it(command, tmp_path, loss, expected):
    model = nerva.MLP([3, 2])
    model.loss = loss
    nerva.save(model, tmp_path / "model")
    assert command("summary", tmp_path / "model")[1][-1] == f"loss: {expected}"


def test_the_folder_of_a_model_stands_for_its_file(command, model, tmp_path):
    nerva.save_pretrained(model, tmp_path / "model")
    assert command("summary", tmp_path / "model") == command("summary", tmp_path / "model" / "model.safetensors")
    (tmp_path / "empty").mkdir()
    assert command("summary", tmp_path / "empty")[2][-1].endswith(f"there is no file {tmp_path / 'empty'}")


def test_a_file_that_is_no_model_is_one_line(command, model, tmp_path):
    nerva.save(model, tmp_path / "model")
    whole = (tmp_path / "model").read_bytes()
    for content in (b"", b"text", whole[:-5], whole[:40]):
        (tmp_path / "broken").write_bytes(content)
        code, out, errors = command("summary", tmp_path / "broken")
        assert (code, out, len(errors)) == (1, [], 1)
        assert errors[0].startswith(f"nerva: {tmp_path / 'broken'}: ")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "required: FILE"),
        (["none.npz"], "nerva summary: FILE: there is no file none.npz"),
        ([__file__, "more"], "unexpected argument 'more'"),
        ([__file__, "--batch-size", "0"], "--batch-size: '0' is not a whole number"),
    ],
)
def test_words_that_are_no_options_are_refused(command, argv, complaint):
    assert_refused(command("summary", *argv), argv, complaint)
