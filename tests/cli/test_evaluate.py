"""The command `nerva evaluate`."""

import numpy as np
import pytest

import nerva

from .running import SMALL, assert_refused


@pytest.mark.parametrize("save", [nerva.save, nerva.save_weights])
def test_loss_and_accuracy_are_those_of_the_model_on_the_test_samples(command, blobs, tmp_path, save):
    model = nerva.MLP([20, 8, 3], density=0.5, seed=1)
    model.fit(
        *nerva.datasets.npz(blobs).train, epochs=2, verbose=False, loss=nerva.SoftmaxCrossEntropy(label_smoothing=0.1)
    )
    save(model, tmp_path / "model")
    loss, accuracy = model.evaluate(*nerva.datasets.npz(blobs).test)
    expected = [
        "data      blobs: 60 samples to test on",
        f"loss      {loss:.6g}, SoftmaxCrossEntropy",
        f"accuracy  {accuracy:.2%}",
    ]
    assert command("evaluate", tmp_path / "model", "--data", blobs) == (0, expected, [])


def test_it_agrees_with_the_training_that_saved_the_weights(command, blobs, tmp_path):
    weights = tmp_path / "w.npz"
    _, trained, _ = command("train", "--data", blobs, *SMALL, "--epochs", 2, "--quiet", "--save-weights", weights)
    _, out, _ = command("evaluate", weights, "--data", blobs, "--batch-size", 7, "--threads", 1)
    assert trained[0].startswith(f"test accuracy {out[2].split()[1]} after")


@pytest.mark.parametrize(("name", "features", "classes"), [("shapes", 3072, 10), ("mini", 3, 3)])
def test_the_data_sets_of_train(command, tmp_path, name, features, classes):
    data = nerva.datasets.shapes(preprocess="unit") if name == "shapes" else nerva.datasets.mini(seed=5)
    assert (data.test.X.shape[1], len(data.classes)) == (features, classes)
    model = nerva.MLP([features, classes], density=0.5)
    nerva.save(model, tmp_path / "model")
    options = ["--preprocess", "unit"] if name == "shapes" else ["--seed", 5]
    _, out, errors = command("evaluate", tmp_path / "model", "--data", name, *options)
    assert (out[1], errors) == (f"loss      {model.evaluate(*data.test).loss:.6g}, SoftmaxCrossEntropy", [])


def test_regression_has_scores_and_no_accuracy(command, blobs, tmp_path):
    model = nerva.MLP([20, 1], density=0.5)
    model.loss = nerva.MeanSquaredError()
    nerva.save(model, tmp_path / "model")
    code, out, errors = command("evaluate", tmp_path / "model", "--data", blobs)
    assert (code, [line.split()[0] for line in out], errors) == (0, ["data", "loss", "RMSE", "R2"], [])


def test_data_that_do_not_fit_the_model_are_refused(command, blobs, tmp_path):
    for sizes, complaint in (([5, 3], "(samples, 5)"), ([20, 2], "label")):
        nerva.save(nerva.MLP(sizes, density=0.5), tmp_path / "model")
        argv = [tmp_path / "model", "--data", blobs]
        result = command("evaluate", *argv)
        assert_refused(result, argv, complaint)
        assert f"--data {blobs}: " in result[2][0]


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "required: FILE"),
        (["none"], "there is no file none"),
        ([__file__, "--data", "mine"], "--data: 'mine' is neither one of"),
        ([__file__, "--data-dir", "."], "--data-dir: goes with --data cifar10"),
        ([__file__, "--data", "mini", "--preprocess", "none"], "--preprocess: goes with images only"),
        ([__file__, "--augment"], "unknown option --augment"),
        ([__file__, "--threads", "0"], "--threads: '0' is not a whole number"),
    ],
)
def test_words_that_are_no_options_are_refused(command, argv, complaint):
    assert_refused(command("evaluate", *argv), argv, complaint)


def test_broken_files_are_one_line(command, blobs, tmp_path):
    np.savez(tmp_path / "x.npz", X=np.ones(3))
    nerva.save(nerva.MLP([20, 3], density=0.5), tmp_path / "model")
    for argv in ([tmp_path / "x.npz", "--data", blobs], [tmp_path / "model", "--data", tmp_path / "x.npz"]):
        code, out, errors = command("evaluate", *argv)
        assert (code, out, len(errors)) == (1, [], 1)
        assert str(tmp_path / "x.npz") in errors[0]
