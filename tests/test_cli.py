"""The command line: what it prints, writes and returns, and how it ends when things go wrong."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points

import numpy as np
import pytest

import nerva
from nerva.backends import calibration
from nerva.callbacks.interruption import DeferredInterrupt
from nerva.callbacks.json_lines import Metrics
from nerva.cli import main
from nerva.cli.report import duration, size

from .reference import made_up

EPOCH_KEYS = ["epoch", "learning_rate", "loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
EPOCH_LINE = re.compile(r" *\d+ +[\d.e-]+ +(\d+\.\d{4}|nan) +\d+\.\d{2}% +\d+\.\d{2}% +\d+\.\d{2}")
SMALL = ["--hidden", "16,8", "--density", "0.3", "--batch-size", "32"]
ENDLESS = ["--epochs", "1000000"]
# Ctrl-C reaches the command even where the tests run in the background of a shell, which ignores it for its children.
COMMAND = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from nerva.cli import main; sys.exit(main())",
]


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """A file with three classes of 20 numbers that are told apart with ease."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((3, 20), dtype=np.float32) * 2
    arrays = {}
    for part, n in (("train", 250), ("test", 60)):
        y = rng.integers(0, 3, n)
        y[:3] = 0, 1, 2
        arrays[f"X{part}"] = centers[y] + rng.standard_normal((n, 20), dtype=np.float32)
        arrays[f"T{part}"] = y
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def command(capsys):
    """Runs the command in this process: command(...) gives (exit code, lines of output, lines of errors)."""

    def run(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


@pytest.fixture
def metrics_of(command, blobs, tmp_path):
    """Trains with these options; gives the run's settings and the records of its epochs."""
    runs = iter(range(100))

    def run(*options):
        path = tmp_path / f"{next(runs)}.jsonl"
        code, _, errors = command("train", "--data", blobs, "--metrics", path, "--epochs", 3, *SMALL, *options)
        assert (code, errors) == (0, [])
        return read(path)

    return run


def read(path):
    """The settings and the epochs in a file of metrics, which must be strict JSON in whole lines."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    text = path.read_text()
    assert text.endswith("\n")
    first, *epochs = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert list(first) == ["run"]
    assert all(list(epoch) == EPOCH_KEYS for epoch in epochs)
    return first["run"], epochs


def start(*argv, cwd, **settings):
    """The command in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("NERVA_ISA", "FORCE_COLOR")}
    environment |= settings.pop("env", {})
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | settings
    return subprocess.Popen([*COMMAND, *map(str, argv)], cwd=cwd, env=environment, **settings)


def finish(process):
    """(exit code, lines of output, lines of errors) of a process that ends by itself."""
    with process:
        try:
            out, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, (out or "").splitlines(), (errors or "").splitlines()


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


# ---- what it does


def test_the_default_learns_the_embedded_data_and_names_the_next_command(command):
    started = time.process_time()
    code, out, errors = command("train")
    assert (code, errors) == (0, [])
    assert time.process_time() - started < 120  # a minute of two cores
    (result,) = [line for line in out if line.startswith("test accuracy")]
    assert float(re.search(r"([\d.]+)%", result)[1]) >= 85
    assert out[-1].endswith("train --data cifar10")


def test_a_run_shows_summary_epochs_and_result(command, blobs):
    code, out, errors = command("train", "--data", blobs, *SMALL, "--epochs", 4)
    text = "\n".join(out)
    assert (code, errors) == (0, [])
    assert nerva.MLP([20, 16, 8, 3], density=0.3).summary() in text
    assert len([line for line in out if EPOCH_LINE.fullmatch(line)]) == 4
    assert "after 4 epochs" in text
    assert "s per epoch" in text
    (weights,) = [line for line in out if line.startswith("weights")]
    assert weights.split() == ["weights", "142", "472", "30.08%"]
    assert {line.split("  ")[0] for line in out} >= {"memory for weights", "memory in training"}
    assert "cifar10" not in text
    assert "\x1b" not in text
    assert "\r" not in text


def test_columns_are_aligned(command, blobs):
    _, out, _ = command("train", "--data", blobs, *SMALL, "--epochs", 12, "--learning-rate", "0.000012345")
    (header,) = [line for line in out if line.startswith("epoch ")]
    lines = [line for line in out if EPOCH_LINE.fullmatch(line)]
    ends = {match.end() for match in re.finditer(r"\S+( \S+)*", header)}
    assert all({match.end() for match in re.finditer(r"\S+", line)} == ends for line in lines)
    assert len(lines) == 12


def test_quiet_prints_the_result_alone(command, blobs):
    code, out, errors = command("train", "--data", blobs, *SMALL, "--epochs", 1, "--quiet")
    assert (code, errors) == (0, [])
    assert re.fullmatch(r"test accuracy [\d.]+% after 1 epoch, [\d.]+ s per epoch, 142 of 472 weights", *out)


def test_version(command):
    assert command("--version") == (0, [f"nerva {nerva.__version__}"], [])


def test_info_prints_the_configuration_and_the_speed_of_the_backends(command, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("NERVA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "_known", {})
    monkeypatch.setattr(calibration, "measure", lambda dtype: made_up(dense=0.5))
    nerva.show_config()
    expected = capsys.readouterr().out.splitlines()
    code, out, errors = command("info")
    assert (code, out[: len(expected)], errors) == (0, expected, [])
    assert [line.split()[1] for line in out if line.startswith("backends,") and "not measured" in line] == [
        "float32,",
        "float64,",
    ]
    assert not (tmp_path / "cache").exists()
    code, measured, errors = command("info", "--calibrate")
    assert (code, measured[: len(expected)], errors) == (0, expected, [])
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert sum(line.split()[-5:-4] == ["dense"] for line in measured) == 6
    monkeypatch.setattr(calibration, "_known", {})
    assert command("info") == (0, measured, [])


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["info", "-h"]])
def test_help(command, argv):
    code, out, errors = command(*argv)
    assert (code, errors) == (0, [])
    assert out[0].startswith("usage: nerva")


def test_help_names_every_option(command):
    _, out, _ = command("train", "--help")
    expected = (
        "data data-dir augment hidden density densities distribution activation init backend epochs batch-size "
        "optimizer momentum weight-decay learning-rate milestones gamma threads dtype seed metrics quiet"
    )
    assert all(f"  --{option} " in "\n".join(out) + " " for option in expected.split())


def test_the_entry_point_is_main():
    (script,) = entry_points(group="console_scripts", name="nerva")
    assert script.load() is main


# ---- metrics


def test_metrics_hold_the_settings_and_the_epochs(metrics_of):
    before = time.monotonic()
    run, epochs = metrics_of("--seed", 3, "--threads", 1)
    elapsed = time.monotonic() - before
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert all(epoch["seconds"] > 0 for epoch in epochs)
    assert sum(epoch["seconds"] for epoch in epochs) < elapsed
    assert all(0 <= epoch[key] <= 1 for epoch in epochs for key in ("train_accuracy", "test_accuracy"))
    settings = {
        "hidden": [16, 8], "density": 0.3, "densities": None, "distribution": "erdos-renyi", "activation": "relu",
        "init": "xavier", "backend": "auto", "epochs": 3, "batch_size": 32, "optimizer": "nesterov", "momentum": 0.9,
        "weight_decay": 0.0, "learning_rate": 0.01, "milestones": [50, 75], "gamma": 0.1, "threads": 1,
        "dtype": "float32", "seed": 3, "data_dir": None, "augment": False,
    }  # fmt: skip
    assert {name: run[name] for name in settings} == settings
    assert run["data"].endswith("blobs.npz")
    assert (run["train_samples"], run["test_samples"], run["features"], run["classes"]) == (250, 60, 20, 3)
    model = nerva.MLP([20, 16, 8, 3], density=0.3, seed=3)
    assert run["nnz"] == model.nnz
    assert [layer["nnz"] for layer in run["layers"]] == [layer.nnz for layer in model.layers]
    assert [layer["density"] for layer in run["layers"]] == [layer.density for layer in model.layers]
    assert (run["nerva"], run["python"], run["numpy"]) == (nerva.__version__, sys.version.split()[0], np.__version__)
    assert "Math Kernel Library" in run["mkl"]
    assert run["isa"] in ("avx2", "avx512")


def test_the_command_trains_as_the_library_does(metrics_of, blobs):
    _, epochs = metrics_of("--seed", 5, "--optimizer", "momentum", "--weight-decay", 0.01, "--init", "he")
    data = nerva.datasets.npz(blobs)
    model = nerva.MLP([20, 16, 8, 3], density=0.3, seed=5, init="he")
    optimizer = nerva.Momentum(0.9, weight_decay=0.01)
    history = model.fit(*data.train, validation=data.test, epochs=3, batch_size=32, optimizer=optimizer)
    for column in ("loss", "train_accuracy", "test_accuracy"):
        assert [epoch[column] for epoch in epochs] == history[column]


@pytest.mark.parametrize(
    ("options", "network", "training"),
    [
        (["--activation", "gelu", "--batch-norm"], {"activation": "gelu", "batch_norm": True}, {}),
        (["--dropout", 0.2, "--drop-connect", 0.1], {"dropout": 0.2, "drop_connect": 0.1}, {}),
        (["--activation", "srelu", "--support", "fan-in"], {"activation": "srelu", "support": "fan-in"}, {}),
        (["--fan", "live", "--init", "lecun"], {"fan": "live", "init": "lecun"}, {}),
        (["--distribution", "balanced"], {"distribution": "balanced"}, {}),
        (["--power-scale", 0], {"distribution": "uniform"}, {}),
        (["--optimizer", "adam"], {}, {"optimizer": nerva.Adam()}),
        (["--optimizer", "rmsprop", "--momentum", 0.5], {}, {"optimizer": nerva.RMSprop(momentum=0.5)}),
        (["--clip-norm", 0.5], {}, {"optimizer": nerva.Nesterov(clip_norm=0.5)}),
        (["--clip-value", 0.01], {}, {"optimizer": nerva.Nesterov(clip_value=0.01)}),
        (["--schedule", "cosine"], {}, {"schedule": nerva.Cosine(0.01, 3)}),
        (["--schedule", "one-cycle"], {}, {"schedule": nerva.OneCycle(0.01, 3)}),
        (["--schedule", "time-based", "--decay", 0.5], {}, {"schedule": nerva.TimeBased(0.01, 0.5)}),
        (["--schedule", "exponential"], {}, {"schedule": nerva.Exponential(0.01, 0.01)}),
        (["--schedule", "constant", "--warm-up", 2], {}, {"schedule": nerva.WarmUp(0.01, 2)}),
        (["--topology", "rigl", "--update-every", 4], {}, {"topology": nerva.RigL(0.3, every=4)}),
        (
            ["--topology", "set", "--drop-fraction", 0.1, "--update-every", 5],
            {},
            {"topology": nerva.SET(0.1, every=5, unit="step")},
        ),
        (
            ["--topology", "gmp", "--final-density", 0.1, "--update-every", 3],
            {"sparse": True},
            {"topology": nerva.GMP(0.1, every=3)},
        ),
        (
            ["--topology", "granet", "--final-density", 0.1, "--update-every", 3],
            {"sparse": True},
            {"topology": nerva.GraNet(0.1, every=3)},
        ),
        (
            ["--topology", "rigl", "--update-every", 4, "--accumulate", 2, "--drop-fraction", 0.2],
            {},
            {"topology": nerva.RigL(0.2, every=4, accumulate=2)},
        ),
        (["--no-shuffle"], {}, {"shuffle": False}),
        (
            ["--topology", "srigl", "--update-every", 4, "--grow-init", "he"],
            {},
            {"topology": nerva.SRigL(every=4, init="he")},
        ),
        (["--topology", "deepr"], {}, {"topology": nerva.DeepR()}),
        (
            ["--topology", "threshold", "--drop-threshold", 0.05, "--update-every", 4],
            {},
            {"topology": nerva.Threshold(0.05, every=4, unit="step")},
        ),
        (
            ["--topology", "top-kast", "--final-density", 0.15, "--update-every", 4],
            {"sparse": True},
            {"topology": nerva.TopKAST(0.5, every=4)},
        ),
        (["--topology", "srigl", "--update-every", 4], {}, {"topology": nerva.SRigL(every=4)}),
        (["--schedule", "step", "--period", 1, "--gamma", 0.5], {}, {"schedule": nerva.StepDecay(0.01, 0.5, 1)}),
        (["--schedule", "cosine", "--period", 2], {}, {"schedule": nerva.Cosine(0.01, 2, growth=1)}),
        (["--label-smoothing", 0.1], {}, {"loss": nerva.SoftmaxCrossEntropy(label_smoothing=0.1)}),
        (["--class-weights", "1,2,0.5"], {}, {"loss": nerva.SoftmaxCrossEntropy(class_weights=[1, 2, 0.5])}),
        (["--optimizer", "lion", "--betas", "0.8,0.9"], {}, {"optimizer": nerva.Lion(0.8, 0.9)}),
        (["--loss", "squared-error"], {}, {"loss": nerva.SquaredError(classes=True)}),
        (["--loss", "mean-squared-error"], {}, {"loss": nerva.MeanSquaredError(classes=True)}),
        (["--loss", "logistic-cross-entropy"], {}, {"loss": nerva.LogisticCrossEntropy(classes=True)}),
        (["--loss", "cross-entropy"], {"output": "softmax"}, {"loss": nerva.CrossEntropy()}),
        (["--loss", "negative-log-likelihood"], {"output": "log_softmax"}, {"loss": nerva.NegativeLogLikelihood()}),
        (["--distribution", "erdos-renyi-kernel"], {}, {}),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_every_option_does_what_its_argument_does(metrics_of, blobs, options, network, training):
    _, epochs = metrics_of("--seed", 5, "--batch-size", 50, *options)
    data = nerva.datasets.npz(blobs)
    model = nerva.MLP([20, 16, 8, 3], density=0.3, seed=5, **network)
    history = model.fit(*data.train, validation=data.test, epochs=3, batch_size=50, **training)
    assert [epoch["loss"] for epoch in epochs] == history["loss"]


def test_a_dense_network_is_pruned_while_it_trains(command, blobs, tmp_path):
    options = ["--hidden", "16,8", "--density", 1, "--topology", "gmp", "--final-density", 0.1, "--update-every", 3]
    code, _, _ = command("train", "--data", blobs, "--epochs", 2, *options, "--save-weights", tmp_path / "w.npz")
    assert code == 0
    model = nerva.load_weights(tmp_path / "w.npz")
    assert all(isinstance(layer, nerva.SparseLinear) for layer in model.layers)
    assert model.nnz == 47  # a tenth of 20 x 16 + 16 x 8 + 8 x 3


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


def test_a_model_of_any_layers_is_saved(command, blobs, tmp_path):
    options = ["--batch-norm", "--dropout", 0.1, "--activation", "srelu", "--hidden", 16, "--density", 0.4]
    code, out, _ = command("train", "--data", blobs, *options, "--epochs", 2, "--save-weights", tmp_path / "w.npz")
    assert code == 0
    accuracy = nerva.load_weights(tmp_path / "w.npz").evaluate(*nerva.datasets.npz(blobs).test).accuracy
    assert f"{100 * accuracy:.2f}" in "\n".join(out)


def test_gradients_are_checked(command, blobs):
    code, out, _ = command("train", "--data", blobs, "--hidden", "16", "--activation", "tanh", "--check-gradients")
    text = "\n".join(out)
    assert code == 0
    assert "0 SparseLinear  weight" in text
    assert "WRONG" not in text
    assert "epoch" not in text


@pytest.mark.parametrize("name", ["checkerboard", "mini"])
def test_generated_data(command, name):
    code, out, _ = command("train", "--data", name, "--hidden", "8", "--density", 0.5, "--epochs", 1)
    assert code == 0
    assert name in "\n".join(out)


def test_the_seed_decides_and_the_threads_do_not(metrics_of):
    def losses(*options):
        return [epoch["loss"] for epoch in metrics_of("--hidden", "64,64", "--batch-size", 100, *options)[1]]

    once = losses("--seed", 1, "--threads", 1)
    assert once == losses("--seed", 1, "--threads", 1) == losses("--seed", 1, "--threads", 3)
    assert once != losses("--seed", 2)


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


def test_augmented_images_are_trained_on(command, tmp_path, monkeypatch):
    data = nerva.datasets.shapes(300, test=50)
    monkeypatch.setattr("nerva.cli.build.shapes", lambda preprocess: data)
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


def test_data_that_are_no_images_are_not_augmented(command, blobs):
    complaint = "nerva train: --augment: goes with images only, --data cifar10, cifar100, mnist, fashion-mnist, shapes"
    assert command("train", "--data", blobs, "--augment") == (2, [], [complaint])


def test_densities_are_those_of_the_layers(command, blobs, tmp_path):
    path = tmp_path / "run.jsonl"
    options = ["--hidden", "16,8", "--densities", "0.1,0.5,1", "--epochs", 1, "--metrics", path]
    assert command("train", "--data", blobs, *options)[0] == 0
    run, _ = read(path)
    assert [layer["nnz"] for layer in run["layers"]] == [32, 64, 24]
    assert (run["density"], run["distribution"], run["densities"]) == (None, None, [0.1, 0.5, 1.0])


def test_milestones_lower_the_rate(metrics_of):
    rates = [epoch["learning_rate"] for epoch in metrics_of("--milestones", "1,2", "--gamma", 0.5)[1]]
    assert rates == [0.01, 0.005, 0.0025]
    run, epochs = metrics_of("--milestones", "none")
    assert [epoch["learning_rate"] for epoch in epochs] == [0.01] * 3
    assert (run["milestones"], run["gamma"]) == ([], None)


def test_a_loss_that_is_not_finite_ends_the_run_and_is_null(command, blobs, tmp_path):
    path = tmp_path / "run.jsonl"
    options = ["--learning-rate", "1e30", "--epochs", 5, "--metrics", path]
    code, out, errors = command("train", "--data", blobs, *SMALL, *options)
    assert code == 1
    assert errors == ["nerva: stopped, since the loss is not finite: try a lower --learning-rate"]
    assert any("after 1 of 5 epochs" in line for line in out)
    _, epochs = read(path)
    assert [epoch["loss"] for epoch in epochs] == [None]


def test_metrics_that_exist_are_kept_unless_told_otherwise(command, blobs, tmp_path):
    path = tmp_path / "run.jsonl"
    arguments = ["train", "--data", blobs, *SMALL, "--epochs", 1, "--metrics", path]
    path.touch()
    assert command(*arguments)[0] == 0
    before = path.read_bytes()
    code, out, errors = command(*arguments)
    assert (code, out, len(errors)) == (1, [], 1)
    assert str(path) in errors[0]
    assert "--overwrite" in errors[0]
    assert path.read_bytes() == before
    assert command(*arguments, "--seed", 1, "--overwrite")[0] == 0
    assert read(path)[0]["seed"] == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [(".", "directory"), ("missing/run.jsonl", "No such file"), ("/dev/full", "No space left on device")],
)
def test_metrics_that_cannot_be_written(command, blobs, tmp_path, name, reason):
    path = tmp_path / name
    code, out, errors = command("train", "--data", blobs, *SMALL, "--metrics", path)
    assert (code, len(errors)) == (1, 1)
    assert f"cannot write {path}: " in errors[0]
    assert reason in errors[0]
    assert not any(EPOCH_LINE.fullmatch(line) for line in out)


def test_a_disk_that_fills_up_keeps_whole_lines(blobs, tmp_path):
    """The size a file may have stands for the disk."""
    path = tmp_path / "run.jsonl"
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); "
        "from nerva.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["train", "--data", blobs, *SMALL, *ENDLESS, "--metrics", str(path)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == f"nerva: cannot write {path}: File too large\n"
    _, epochs = read(path)
    assert 5 < len(epochs) < 20
    assert f"after {len(epochs) + 1} of 1000000 epochs" in done.stdout


def test_metrics_write_nulls_deep_inside(tmp_path):
    with Metrics(tmp_path / "run.jsonl") as metrics:
        metrics.write({"run": {"a": [1.5, float("nan")], "b": {"c": float("-inf")}, "d": (1, "x", None, True)}})
    assert read(tmp_path / "run.jsonl")[0] == {"a": [1.5, None], "b": {"c": None}, "d": [1, "x", None, True]}


# ---- what cannot be


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "nerva: name a command, train or info"),
        (["tain"], "invalid choice: 'tain'"),
        (["--colour"], "unknown option --colour"),
        (["info", "more"], "unexpected argument 'more'"),
        (["info", "--threads", "2"], "nerva info: unknown option --threads"),
        (["train", "--epoch", "3"], "nerva train: unknown option --epoch; did you mean --epochs?"),
        (["train", "--dens=0.1"], "unknown option --dens"),
        (["train", "more"], "unexpected argument 'more'"),
        (
            ["train", "--data", "golden"],
            "--data: 'golden' is neither one of shapes, cifar10, cifar100, mnist, fashion-mnist,",
        ),
        (["train", "--data", "missing.npz"], "--data: there is no file missing.npz"),
        (["train", "--data", "cifar10", "--data-dir", "missing"], "--data-dir: there is no folder missing"),
        (["train", "--data-dir", "."], "--data-dir: goes with --data cifar10, cifar100, mnist, fashion-mnist only"),
        (["train", "--hidden", "10,0"], "--hidden: '0'"),
        (["train", "--hidden", "10,"], "--hidden: ''"),
        (["train", "--hidden", "10.5"], "--hidden: '10.5'"),
        (["train", "--hidden", "3000000000"], "--hidden: '3000000000'"),
        (["train", "--density", "0"], "--density: '0' is not a number above 0 and at most 1"),
        (["train", "--density", "1.01"], "--density: '1.01'"),
        (["train", "--density", "nan"], "--density: 'nan'"),
        (["train", "--density", "few"], "--density: 'few'"),
        (["train", "--densities", "0.1,0.2"], "--densities: 2 given for 3 layers"),
        (["train", "--densities", "0.1,0.2,-1"], "--densities: '-1'"),
        (["train", "--density", "0.1", "--densities", "1,1,1"], "not allowed with"),
        (["train", "--densities", "1,1,1", "--distribution", "uniform"], "--distribution: goes with --density"),
        (["train", "--distribution", "normal"], "--distribution: invalid choice: 'normal'"),
        (["train", "--activation", "step"], "--activation: invalid choice: 'step'"),
        (["train", "--init", "ones"], "--init: invalid choice: 'ones'"),
        (["train", "--backend", "cuda"], "--backend: invalid choice: 'cuda'"),
        (["train", "--epochs", "0"], "--epochs: '0' is not a whole number of at least 1"),
        (["train", "--epochs", "1.5"], "--epochs: '1.5'"),
        (["train", "--batch-size", "0"], "--batch-size: '0'"),
        (["train", "--batch-size"], "--batch-size: expected one argument"),
        (["train", "--optimizer", "golden"], "--optimizer: invalid choice: 'golden'"),
        (
            ["train", "--optimizer", "adam", "--momentum", "0.9"],
            "--momentum: goes with --optimizer momentum, nesterov or",
        ),
        (["train", "--decay", "0.1"], "--decay: goes with --schedule time-based or exponential"),
        (["train", "--schedule", "cosine", "--gamma", "0.1"], "--gamma: goes with milestones"),
        (["train", "--update-every", "3"], "--update-every: goes with --topology"),
        (["train", "--data", "mini", "--topology", "set"], "nerva: topology is never due"),
        (["train", "--topology", "gmp"], "--topology gmp: needs --final-density"),
        (["train", "--topology", "set", "--final-density", "0.1"], "--final-density: goes with --topology gmp"),
        (["train", "--load-weights", "nowhere.npz"], "--load-weights: there is no file nowhere.npz"),
        (["train", "--data", "mini", "--augment"], "--augment: goes with images only"),
        (["train", "--data", "mini", "--preprocess", "unit"], "--preprocess: goes with images only"),
        (["train", "--power-scale", "0.5", "--distribution", "uniform"], "--power-scale: goes with erdos-renyi only"),
        (["train", "--momentum", "1"], "--momentum: '1' is not a number from 0 to below 1"),
        (["train", "--momentum", "0.9", "--optimizer", "sgd"], "--momentum: goes with"),
        (["train", "--weight-decay", "-0.1"], "--weight-decay: '-0.1'"),
        (["train", "--learning-rate", "0"], "--learning-rate: '0' is not a number above 0"),
        (["train", "--learning-rate", "inf"], "--learning-rate: 'inf'"),
        (["train", "--learning-rate", "-1e-3"], "--learning-rate: '-1e-3'"),
        (["train", "--milestones", "75,50"], "--milestones: '75,50' does not ascend"),
        (["train", "--milestones", "5,5"], "--milestones: '5,5' does not ascend"),
        (["train", "--milestones", "-1,5"], "--milestones: '-1'"),
        (["train", "--gamma", "0"], "--gamma: '0'"),
        (["train", "--milestones", "none", "--gamma", "0.5"], "--gamma: goes with milestones"),
        (["train", "--threads", "0"], "--threads: '0'"),
        (["train", "--threads", "100000"], "--threads: '100000'"),
        (["train", "--dtype", "float16"], "--dtype: invalid choice: 'float16'"),
        (["train", "--seed", "-1"], "--seed: '-1'"),
        (["train", "--overwrite"], "--overwrite: goes with --metrics"),
        (
            ["train", "--label-smoothing", "0.1", "--loss", "squared-error"],
            "--label-smoothing: goes with --loss softmax",
        ),
        (["train", "--label-smoothing", "1"], "--label-smoothing: '1' is not a number from 0"),
        (["train", "--loss", "mse"], "--loss: invalid choice"),
        (["train", "--class-weights", "1", "--loss", "squared-error"], "--class-weights: goes with --loss"),
        (["train", "--class-weights", "1,2"], "--class-weights: 2 given for 10 classes"),
        (["train", "--class-weights", "0,0,0,0,0,0,0,0,0,0"], "--class-weights: all are 0"),
        (["train", "--betas", "0.9,0.99"], "--betas: goes with --optimizer adam, adamw or lion"),
        (["train", "--betas", "0.9", "--optimizer", "adam"], "--betas: 1 given; there are two"),
        (["train", "--period", "3"], "--period: goes with --schedule step or cosine"),
        (["train", "--accumulate", "3", "--topology", "set"], "--accumulate: goes with --topology rigl or granet"),
        (["train", "--drop-fraction", "0.3", "--topology", "gmp", "--final-density", "0.001"], "--drop-fraction: goes"),
        (["train", "--grow-init", "he", "--topology", "snfs"], "--grow-init: goes with --topology set or"),
        (["train", "--topology", "threshold"], "--topology threshold: needs --drop-threshold"),
        (["train", "--drop-threshold", "1", "--topology", "rigl"], "--drop-threshold: goes with --topology threshold"),
        (["train", "--topology", "top-kast", "--final-density", "0.5"], "--topology top-kast: --density is that of"),
        (["train", "--prune-samples", "10"], "--prune-samples: goes with --prune-at-start"),
        (["train", "--prune-at-start", "snip", "--batch-norm"], "--batch-norm: does not go with --prune-at-start"),
        (["train", "--prune-at-start", "snip", "--support", "blocks"], "--support: does not go with"),
        (
            ["train", "--prune-at-start", "snip", "--loss", "squared-error"],
            "--prune-at-start: goes with --loss softmax",
        ),
        (["train", "--prune-at-start", "snip", "--activation", "srelu"], "--prune-at-start: knows the activations"),
        (["train", "--prune-at-start", "snip", "--init", "zeros"], "--prune-at-start: has nothing to choose from"),
        (
            ["train", "--prune-at-start", "synflow", "--prune-samples", "10"],
            "--prune-samples: synflow looks at none",
        ),
        (["train", "--schedule", "cosine", "--milestones", "5"], "--milestones: goes with --schedule milestones"),
        (["train", "--check-gradients", "--metrics", "m.jsonl"], "--metrics: does not go with --check-gradients"),
        (["train", "--check-gradients", "--save-weights", "w.npz"], "--save-weights: does not go with --check-grad"),
        (["train", "--save-weights", "/nowhere/w.npz"], "--save-weights: /nowhere/w.npz is no file in a folder"),
        (["train", "--save-weights", "/"], "--save-weights: / is no file in a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line_and_code_2(command, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    code, out, errors = command(*argv)
    assert (code, len(errors)) == (2, 1)
    assert not out or "--topology" in argv
    assert errors[0].startswith("nerva")
    assert complaint in errors[0]
    assert list(tmp_path.iterdir()) == []


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


def test_a_batch_too_small_to_be_normalised(command, blobs):
    code, _, errors = command("train", "--data", blobs, "--hidden", 8, "--batch-norm", "--batch-size", 249)
    assert (code, len(errors)) == (2, 1)
    assert "batch_size is 249: 250 samples leave a batch of 1" in errors[0]


def test_weights_that_cannot_be_written_are_refused_before_the_training(command, blobs):
    code, out, errors = command("train", "--data", blobs, *SMALL, "--epochs", 1, "--save-weights", "/dev/null")
    assert (len(errors), out) == (1, [])
    assert code in (1, 2)
    assert "/dev/null" in errors[0]


def test_a_network_that_is_too_large(command, blobs, monkeypatch):
    large = ["--hidden", "200000,200000", "--density", "0.5", "--distribution", "uniform"]
    code, out, errors = command("train", "--data", blobs, *large)
    assert (code, out, len(errors)) == (2, [], 1)
    assert "at most 2147483647 weights" in errors[0]

    def fill(*arguments, **settings):
        raise MemoryError

    monkeypatch.setattr("nerva.cli.build.MLP", fill)
    assert command("train", "--data", blobs) == (1, [], ["nerva: out of memory"])


# ---- the process around it


def test_it_runs_as_a_module_and_names_itself_so(tmp_path):
    command = [sys.executable, "-m", "nerva", "train", "--epochs", "1", "--hidden", "8"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{sys.executable} -m nerva train --data cifar10\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_cleanly(blobs, tmp_path, number, code):
    path = tmp_path / "run.jsonl"
    process = start("train", "--data", blobs, *SMALL, *ENDLESS, "--metrics", path, cwd=tmp_path)
    wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") > 5)
    process.send_signal(number)
    ended, out, errors = finish(process)
    assert (ended, errors) == (code, ["nerva: interrupted"])
    epochs = read(path)[1]
    shown = [line for line in out if EPOCH_LINE.fullmatch(line)]
    assert len(shown) == len(epochs) >= 5
    assert any(f"after {len(shown)} of 1000000 epochs" in line for line in out)


def test_a_second_signal_does_not_wait():
    patience = DeferredInterrupt()
    patience.on_batch(1, 2)
    patience.hold(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        patience.hold(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        patience.on_batch(2, 2)


def test_a_signal_before_the_training_ends_it_at_once(command, blobs, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("nerva.cli.build.npz", lambda path: signal.raise_signal(signal.SIGTERM))
    assert command("train", "--data", blobs) == (143, [], ["nerva: interrupted"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_closed_pipe_ends_it_without_a_word(blobs, tmp_path):
    process = start("train", "--data", blobs, *SMALL, *ENDLESS, cwd=tmp_path)
    assert process.stdout.readline().startswith("data ")
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("argv", [["train", "--hidden", "8", "--epochs", "1"], ["info"], ["--version"]])
def test_a_full_disk_under_the_output(tmp_path, argv):
    with open("/dev/full", "w") as full:
        code, _, errors = finish(start(*argv, cwd=tmp_path, stdout=full))
    assert (code, errors) == (1, ["nerva: cannot write to standard output: No space left on device"])


def test_an_instruction_set_that_does_not_exist(tmp_path):
    code, out, errors = finish(start("info", cwd=tmp_path, env={"NERVA_ISA": "mmx"}))
    assert code in (1, 2)
    assert out == []
    assert "NERVA_ISA is 'mmx'; it must be 'avx2' or 'avx512'" in errors[-1]


def on_terminal(*argv, cwd, **environment):
    """What the command writes to a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    environment = {"TERM": "xterm", "COLUMNS": "100"} | environment
    process = start(*argv, cwd=cwd, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    output = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # so a terminal ends
            break
        output += piece
    os.close(ours)
    return output.decode(), process.wait(timeout=60)


def test_a_terminal_gets_a_bar_that_goes_away(tmp_path):
    output, code = on_terminal("train", "--epochs", "2", cwd=tmp_path)
    assert code == 0
    assert re.search(r"epoch 1 of 2 .*\d+%  \d+ s left", output)
    assert "\x1b[?25h" in output.rpartition("\x1b[?25l")[2]  # the cursor is back
    assert "\x1b[2K" in output


def test_colours_can_be_refused(blobs, tmp_path):
    output, code = on_terminal("train", "--data", blobs, *SMALL, "--epochs", "2", cwd=tmp_path, NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[\d;]*3\dm", output)


def test_a_dumb_terminal_gets_plain_lines(blobs, tmp_path):
    output, code = on_terminal("train", "--data", blobs, *SMALL, "--epochs", "2", cwd=tmp_path, TERM="dumb")
    assert code == 0
    assert "\x1b" not in output


# ---- what is read by people


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185.3, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1 kB"), (14_700_544, "14.7 MB"), (2e9, "2 GB"), (5e13, "50 TB")],
)
def test_size(nbytes, text):
    assert size(nbytes) == text
