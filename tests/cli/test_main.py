"""The process of the command: how it starts, and with which exit code it ends."""

import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import nerva
from nerva.callbacks.interruption import DeferredInterrupt
from nerva.cli import main

from .running import ENDLESS, EPOCH_LINE, SMALL, finish, read, start, wait_for


def test_version(command):
    assert command("--version") == (0, [f"nerva {nerva.__version__}"], [])


@pytest.mark.parametrize(
    "argv", [["--help"], ["train", "--help"], ["info", "-h"], ["summary", "-h"], ["predict", "-h"], ["evaluate", "-h"]]
)
def test_help(command, argv):
    code, out, errors = command(*argv)
    assert (code, errors) == (0, [])
    assert out[0].startswith("usage: nerva")


def test_the_entry_point_is_main():
    (script,) = entry_points(group="console_scripts", name="nerva")
    assert script.load() is main


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_keeps_what_was_trained(blobs, tmp_path, number):
    path, weights = tmp_path / "run.jsonl", tmp_path / "w.npz"
    options = ["--metrics", path, "--save-weights", weights]
    process = start("train", "--data", blobs, *SMALL, *ENDLESS, *options, cwd=tmp_path)
    wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") > 20)
    assert not weights.exists()
    process.send_signal(number)
    ended, _, errors = finish(process)
    told = [f"nerva: the weights trained so far are in {weights}", "nerva: interrupted"]
    assert (ended, errors) == (128 + number, told)
    data = nerva.datasets.npz(blobs)
    assert nerva.load_weights(weights).evaluate(*data.test).accuracy > 0.6


def test_weights_that_cannot_be_kept_are_told(command, blobs, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("the disk is full")

    module = sys.modules["nerva.cli.train"]  # the name is that of its function too
    monkeypatch.setattr(module, "_fit", lambda *_: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(module, "save_model", fail)
    code, _, errors = command("train", "--data", blobs, "--quiet", "--save-weights", tmp_path / "w.npz")
    assert (code, errors) == (143, ["nerva: the weights are not saved: the disk is full", "nerva: interrupted"])


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
    monkeypatch.setattr("nerva.cli.build.npz", lambda path, task: signal.raise_signal(signal.SIGTERM))
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


@pytest.mark.parametrize("argv", [["info"], ["train"], ["--version"], []])
def test_an_instruction_set_that_does_not_exist(tmp_path, argv):
    script = tmp_path / "nerva"  # as the installed one
    script.write_text("import sys\nfrom nerva.cli import main\nsys.exit(main())\n")
    for command in (["-m", "nerva"], [script]):
        done = subprocess.run(
            [sys.executable, *command, *argv],
            cwd=tmp_path,
            env={**os.environ, "NERVA_ISA": "mmx"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "nerva: NERVA_ISA is 'mmx'; it must be 'avx2' or 'avx512'\n"


def test_an_instruction_set_that_does_not_exist_is_an_error_of_a_library(tmp_path):
    code, _, errors = finish(start("info", cwd=tmp_path, env={"NERVA_ISA": "mmx"}))
    assert code == 1
    assert errors[-1] == "ValueError: NERVA_ISA is 'mmx'; it must be 'avx2' or 'avx512'"
