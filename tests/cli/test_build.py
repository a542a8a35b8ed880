"""From options to objects: data, network, pruning, class weights."""

import numpy as np
import pytest

import nerva

from .running import SMALL, assert_refused, finish, read, start


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
    assert errors[0].startswith("nerva: --density 0.5: is 20000000000 weights in a layer; a layer holds at most 2147")

    def fill(*arguments, **settings):
        raise MemoryError

    monkeypatch.setattr("nerva.cli.build.MLP", fill)
    assert command("train", "--data", blobs) == (1, [], ["nerva: out of memory"])


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["train", "--prune-at-start", "snip", "--density", "1e-9"], "nerva: --density 1e-09: a network of ["),
        (["train", "--hidden", "4", "--density", "1e-9"], "nerva: --density 1e-09: a network of [3072, 4, 10] "),
        (["train", "--hidden", "4", "--densities", "0,0"], "nerva: --densities 0,0: a network of [3072, 4, 10] would"),
        (["train", "--class-weights", "1,2"], "--class-weights: 2 given for 10 classes"),
        (["train", "--class-weights", "0,0,0,0,0,0,0,0,0,0"], "--class-weights: all are 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_the_data_is_one_line_and_code_2(command, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    assert_refused(command(*argv), argv, complaint)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--topology", "snfs", "--optimizer", "sgd"], "--topology snfs: needs an optimizer with momentum, not sgd"),
        (["--topology", "rigl", "--density", "1"], "--topology rigl: needs a density below 1"),
        (["--topology", "gmp", "--final-density", "0.5"], "--final-density 0.5: the sparse layers start at 0.3"),
        (["--topology", "set", "--densities", "0,0,1"], "--topology set: the sparse layers have no weights to move"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_fit_refuses_names_the_option(command, blobs, options, complaint):
    small = ["--hidden", "16,8"] + ([] if {"--density", "--densities"} & {*options} else ["--density", "0.3"])
    code, _, errors = command("train", "--data", blobs, *small, "--batch-size", 25, *options)
    assert (code, len(errors)) == (2, 1)
    assert errors[0].startswith(f"nerva: {complaint}")


def test_a_method_that_is_never_due_is_fitted_to_the_run(command, blobs, tmp_path):
    options = [*SMALL, "--epochs", 2, "--topology", "set"]
    code, out, errors = command("train", "--data", blobs, *options, "--metrics", tmp_path / "a.jsonl")
    taken = "--topology set: an update every 100 steps is never due in 16 steps; --update-every 5 is taken"
    assert (code, errors) == (0, [f"nerva: {taken}"])
    assert any(line.endswith(", set every 5 steps") for line in out)
    given = command("train", "--data", blobs, *options, "--metrics", tmp_path / "b.jsonl", "--update-every", 5)
    assert (given[0], given[2]) == (0, [])
    (run, epochs), (other, same) = read(tmp_path / "a.jsonl"), read(tmp_path / "b.jsonl")
    assert run["update_every"] == other["update_every"] == 5
    assert [epoch["loss"] for epoch in epochs] == [epoch["loss"] for epoch in same]


def test_warnings_of_the_library_are_lines_that_name_the_option(tmp_path, blobs):
    """In a process of its own: here, warnings are errors."""
    train = ["train", "--data", blobs, "--hidden", "8", "--batch-size", "250", "--quiet"]
    argv = [*train, "--epochs", "1", "--density", "0.005", "--topology", "rigl"]
    code, _, errors = finish(start(*argv, cwd=tmp_path))
    assert code == 0
    assert errors[0].startswith("nerva: --density 0.005: linear layer 1, 8-3, has no weight at all then: the outputs")
    assert errors[1:] == ["nerva: --topology rigl: never due in so short a run; no weight moves"]
    kept = [*train, "--density", "0.5", "--checkpoint", "run", "--epochs"]
    assert finish(start(*kept, "1", cwd=tmp_path))[0] == 0
    again = finish(start(*kept, "2", "--resume", "--learning-rate", "0.1", "--optimizer", "sgd", cwd=tmp_path))
    assert (again[0], again[2]) == (
        0,
        [
            "nerva: --optimizer or its options: not as in the run that is continued",
            "nerva: --schedule, --learning-rate or their options: not as in the run that is continued",
        ],
    )
