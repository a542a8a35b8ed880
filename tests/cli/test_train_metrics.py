"""The file of --metrics."""

import subprocess
import sys
import time

import numpy as np
import pytest

import nerva
from nerva.callbacks.json_lines import Metrics

from .running import ENDLESS, EPOCH_LINE, SMALL, read


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
