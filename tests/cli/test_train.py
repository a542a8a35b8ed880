"""The command `nerva train`: training, saving, and how it ends if training fails."""

import re
import time
from dataclasses import replace

import nerva
from nerva.cli.choices import DATA

from .running import SMALL, read


def test_the_default_learns_the_embedded_data_and_names_the_next_command(command):
    started = time.process_time()
    code, out, errors = command("train")
    assert (code, errors) == (0, [])
    assert time.process_time() - started < 120  # a minute of two cores
    (result,) = [line for line in out if line.startswith("test accuracy")]
    assert float(re.search(r"([\d.]+)%", result)[1]) >= 85
    assert out[-1].endswith("train --data cifar10")


def test_the_command_trains_as_the_library_does(metrics_of, blobs):
    _, epochs = metrics_of("--seed", 5, "--optimizer", "momentum", "--weight-decay", 0.01, "--init", "he")
    data = nerva.datasets.npz(blobs)
    model = nerva.MLP([20, 16, 8, 3], density=0.3, seed=5, init="he")
    optimizer = nerva.Momentum(0.9, weight_decay=0.01)
    history = model.fit(*data.train, validation=data.test, epochs=3, batch_size=32, optimizer=optimizer)
    for column in ("loss", "train_accuracy", "test_accuracy"):
        assert [epoch[column] for epoch in epochs] == history[column]


def test_gradients_are_checked(command, blobs):
    code, out, _ = command("train", "--data", blobs, "--hidden", "16", "--activation", "tanh", "--check-gradients")
    text = "\n".join(out)
    assert code == 0
    assert "0 SparseLinear  weight" in text
    assert "WRONG" not in text
    assert "epoch" not in text


def test_weights_are_saved_and_loaded(command, blobs, tmp_path):
    first = ["train", "--data", blobs, "--density", "0.3", "--epochs", 2]
    code, out, _ = command(*first, "--hidden", "16", "--save-weights", tmp_path / "w.npz")
    assert code == 0
    accuracy = nerva.load_weights(tmp_path / "w.npz").evaluate(*nerva.datasets.npz(blobs).test).accuracy
    assert f"{100 * accuracy:.2f}" in "\n".join(out)
    assert command(*first, "--hidden", "16", "--load-weights", tmp_path / "w.npz")[0] == 0
    code, _, errors = command(*first, "--hidden", "17", "--load-weights", tmp_path / "w.npz")
    assert code == 1
    assert "--load-weights" in errors[0]
    assert "layer 1 has shape (16, 20); in the model it has (17, 20)" in errors[0]


def test_a_model_of_any_layers_is_saved(command, blobs, tmp_path):
    options = ["--batch-norm", "--dropout", 0.1, "--activation", "srelu", "--hidden", 16, "--density", 0.4]
    code, out, _ = command("train", "--data", blobs, *options, "--epochs", 2, "--save-weights", tmp_path / "w.npz")
    assert code == 0
    accuracy = nerva.load_weights(tmp_path / "w.npz").evaluate(*nerva.datasets.npz(blobs).test).accuracy
    assert f"{100 * accuracy:.2f}" in "\n".join(out)


def test_a_name_that_ends_in_safetensors_has_that_layout(command, blobs, tmp_path):
    path, options = tmp_path / "m.safetensors", ["train", "--data", blobs, *SMALL, "--epochs", 1]
    assert command(*options, "--save-weights", path)[0] == 0
    model = nerva.load(path)
    assert command("summary", path)[0] == 0
    nerva.save_weights(model, tmp_path / "w.npz")
    results = [command(*options, "--load-weights", file) for file in (path, tmp_path / "w.npz")]
    assert results[0][0] == 0
    figures = [[line.split()[:-1] for line in out if line[:6].strip() == "1"] for _, out, _ in results]
    assert len(figures[0]) == 1
    assert figures[0] == figures[1]
    code, _, errors = command(*options, "--hidden", "17", "--load-weights", path)
    assert (code, "layers" in errors[0]) == (1, True)


def test_weights_that_cannot_be_written_are_refused_before_the_training(command, blobs):
    code, out, errors = command("train", "--data", blobs, *SMALL, "--epochs", 1, "--save-weights", "/dev/null")
    assert (len(errors), out) == (1, [])
    assert code in (1, 2)
    assert "/dev/null" in errors[0]


def test_the_seed_decides_and_the_threads_do_not(metrics_of):
    def losses(*options):
        return [epoch["loss"] for epoch in metrics_of("--hidden", "64,64", "--batch-size", 100, *options)[1]]

    once = losses("--seed", 1, "--threads", 1)
    assert once == losses("--seed", 1, "--threads", 1) == losses("--seed", 1, "--threads", 3)
    assert once != losses("--seed", 2)


def test_augmented_images_are_trained_on(command, tmp_path, monkeypatch):
    data = nerva.datasets.shapes(300, test=50)
    monkeypatch.setitem(DATA.rows, "shapes", replace(DATA.rows["shapes"], make=lambda: data))
    options = ["--hidden", "none", "--density", 0.1, "--epochs", 2, "--batch-size", 32]
    losses = []
    for augment in ([], ["--augment"]):
        path = tmp_path / f"{len(augment)}.jsonl"
        code, out, errors = command("train", *options, *augment, "--metrics", path)
        assert (code, errors) == (0, [])
        assert any(line.endswith("batches of 32" + ", augmented" * len(augment)) for line in out)
        run, epochs = read(path)
        assert run["augment"] is bool(augment)
        losses.append([epoch["loss"] for epoch in epochs])
    settings = {"epochs": 2, "batch_size": 32, "augment": nerva.Augment(data.image_shape)}
    history = nerva.MLP([3072, 10], density=0.1).fit(*data.train, **settings)
    assert losses[1] == history["loss"] != losses[0]


def test_a_batch_too_small_to_be_normalised(command, blobs):
    code, _, errors = command("train", "--data", blobs, "--hidden", 8, "--batch-norm", "--batch-size", 249)
    assert (code, len(errors)) == (2, 1)
    assert errors[0].startswith("nerva: --batch-size 249: 250 samples leave a batch of 1")


def test_a_loss_that_is_not_finite_ends_the_run_and_is_null(command, blobs, tmp_path):
    path = tmp_path / "run.jsonl"
    options = ["--learning-rate", "1e30", "--epochs", 5, "--metrics", path]
    code, out, errors = command("train", "--data", blobs, *SMALL, *options)
    assert code == 1
    assert errors == ["nerva: stopped, since the loss is not finite: try a lower --learning-rate"]
    assert any("after 1 of 5 epochs" in line for line in out)
    _, epochs = read(path)
    assert [epoch["loss"] for epoch in epochs] == [None]
