"""From options to objects: data, network, pruning, class weights."""

import numpy as np
import pytest

import nerva

from .running import assert_refused, read


def test_a_dense_network_is_pruned_while_it_trains(command, blobs, tmp_path):
    options = ["--hidden", "16,8", "--density", 1, "--topology", "gmp", "--final-density", 0.1, "--update-every", 3]
    code, _, _ = command("train", "--data", blobs, "--epochs", 2, *options, "--save-weights", tmp_path / "w.npz")
    assert code == 0
    model = nerva.load_weights(tmp_path / "w.npz")
    assert all(isinstance(layer, nerva.SparseLinear) for layer in model.layers)
    assert model.nnz == 47  # a tenth of 20 x 16 + 16 x 8 + 8 x 3


@pytest.mark.parametrize("criterion", ["snip", "grasp", "synflow"])
def test_pruned_at_the_start(command, blobs, tmp_path, criterion):
    start = ["train", "--data", blobs, "--density", "0.3", "--hidden", "16", "--prune-at-start", criterion]
    start += [] if criterion == "synflow" else ["--prune-samples", 50]
    code, out, _ = command(*start, "--seed", 3, "--epochs", 1, "--learning-rate", 1e-30)
    assert code == 0
    data = nerva.datasets.npz(blobs)
    chosen = np.sort(np.random.default_rng(3).permutation(len(data.train.y))[:50])
    X, y = np.asarray(data.train.X[chosen]), data.train.y[chosen]
    model = nerva.pruned([20, 16, 3], X, y, density=0.3, criterion=criterion, seed=3)
    assert f"{100 * model.evaluate(*data.test).accuracy:.2f}" in "\n".join(out)
    assert all(f" {layer.nnz} " in "\n".join(out) for layer in model.layers)


@pytest.mark.parametrize("name", ["checkerboard", "mini"])
def test_generated_data(command, name):
    code, out, _ = command("train", "--data", name, "--hidden", "8", "--density", 0.5, "--epochs", 1)
    assert code == 0
    assert name in "\n".join(out)


def test_options_reach_the_network(metrics_of, blobs):
    run, epochs = metrics_of("--dtype", "float64")
    data = nerva.datasets.npz(blobs)
    history = nerva.MLP([20, 16, 8, 3], density=0.3, dtype="float64").fit(*data.train, epochs=3, batch_size=32)
    assert run["dtype"] == "float64"
    assert [epoch["loss"] for epoch in epochs] == history["loss"]

    run, _ = metrics_of("--distribution", "uniform")
    assert [layer["nnz"] for layer in run["layers"]] == [96, 38, 7]

    run, _ = metrics_of("--hidden", "none", "--density", 1)
    assert run["layers"] == [{"in": 20, "out": 3, "density": 1.0, "nnz": 60}]

    run, _ = metrics_of("--optimizer", "sgd", "--activation", "tanh", "--backend", "mkl")
    assert (run["momentum"], run["activation"], run["backend"]) == (None, "tanh", "mkl")
    run, _ = metrics_of("--backend", "dense")
    assert run["backend"] == "dense"


def test_densities_are_those_of_the_layers(command, blobs, tmp_path):
    path = tmp_path / "run.jsonl"
    options = ["--hidden", "16,8", "--densities", "0.1,0.5,1", "--epochs", 1, "--metrics", path]
    assert command("train", "--data", blobs, *options)[0] == 0
    run, _ = read(path)
    assert [layer["nnz"] for layer in run["layers"]] == [32, 64, 24]
    assert (run["density"], run["distribution"], run["densities"]) == (None, None, [0.1, 0.5, 1.0])


def test_data_that_cannot_be_read(command, tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 and no more")
    for options in (["--data", path], ["--data", "cifar10", "--data-dir", path]):
        code, out, errors = command("train", *options)
        assert (code, out, len(errors)) == (1, [], 1)
        assert str(path) in errors[0]


def test_data_with_a_mistake_in_them(command, blobs, tmp_path):
    with np.load(blobs) as file:
        arrays = dict(file)
    arrays["Xtrain"][7, 3] = np.nan
    path = tmp_path / "mistake.npz"
    np.savez(path, **arrays)
    code, out, errors = command("train", "--data", path)
    assert (code, out, len(errors)) == (1, [], 1)
    assert "NaN" in errors[0]


def test_a_network_that_is_too_large(command, blobs, monkeypatch):
    large = ["--hidden", "200000,200000", "--density", "0.5", "--distribution", "uniform"]
    code, out, errors = command("train", "--data", blobs, *large)
    assert (code, out, len(errors)) == (2, [], 1)
    assert "at most 2147483647 weights" in errors[0]

    def fill(*arguments, **settings):
        raise MemoryError

    monkeypatch.setattr("nerva.cli.build.MLP", fill)
    assert command("train", "--data", blobs) == (1, [], ["nerva: out of memory"])


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["train", "--data", "mini", "--topology", "set"], "nerva: --topology set: is never due in "),
        (["train", "--class-weights", "1,2"], "--class-weights: 2 given for 10 classes"),
        (["train", "--class-weights", "0,0,0,0,0,0,0,0,0,0"], "--class-weights: all are 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_the_data_is_one_line_and_code_2(command, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    assert_refused(command(*argv), argv, complaint)
    assert list(tmp_path.iterdir()) == []
