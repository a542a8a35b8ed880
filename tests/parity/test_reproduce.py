"""`nerva reproduce paper` with its real parts, beside PyTorch, as small as they can be."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from nerva.cli import main, reproduce
from nerva.experiments.paper.protocol import Protocol

pytest.importorskip("torch")

TINY = Protocol(
    samples=300, sizes=(3072, 16, 10), sparsities=(0.9,), seeds=(1, 2), epochs=2, masked_epochs=1, redraws=2, rounds=1
)
PARTS = ("timing", "accuracy", "seeds", "work")


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The quick protocol, smaller still, on images that nerva draws."""
    monkeypatch.setattr(reproduce, "quick", lambda: TINY)
    monkeypatch.chdir(tmp_path)
    return ["reproduce", "paper", "--quick", "--data", "shapes", "--out", "out", "--threads", "1"]


def test_parts_run_beside_pytorch_and_make_a_report(tiny, tmp_path, capsys):
    argv = [*tiny, *(word for part in PARTS for word in ("--part", part))]
    assert main(argv) == 0, capsys.readouterr().err
    text = (tmp_path / "out" / "report.md").read_text()
    assert "not complete" not in text
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles[:4] == [
        "Answers",
        "What the paper says, and what was found",
        "Time of training",
        "Accuracy beside masked PyTorch",
    ]
    first, second = re.findall(r"!\[.*\]\(figures/(.*)\.svg\)", text)[:2]
    assert first == "timing"
    assert second.startswith("accuracy")
    assert "Shapes (images that nerva draws, not CIFAR-10)" in text
    state = json.loads((tmp_path / "out" / "run.json").read_text())
    assert state["failures"] == {}
    written = [path.read_text() for path in (tmp_path / "out").rglob("*.json")] + [text]
    assert not [content for content in written if str(tmp_path) in content]


def test_training_that_is_killed_goes_on_from_its_last_epoch(tiny, tmp_path, capsys):
    """A worker is killed between two epochs; the same command ends with what an undisturbed run has."""
    argv = [*tiny, "--part", "accuracy", "--seeds", "1", "--sparsities", "0.9", "--epochs", "60"]
    program = (
        "import sys; from nerva.cli import main, reproduce; from nerva.experiments.paper.protocol import Protocol; "
        f"reproduce.quick = lambda: {TINY!r}; sys.exit(main())"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", program, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    records = tmp_path / "out" / "records"
    deadline = time.monotonic() + 120
    while not (found := list(records.glob("nerva-*-60/step-*"))):
        assert time.monotonic() < deadline
        assert command.poll() is None
        time.sleep(0.002)
    command.send_signal(signal.SIGTERM)
    assert command.wait(60) == 128 + signal.SIGTERM
    (folder,) = {path.parent for path in found}
    assert list(folder.glob("step-*")), "it was done before it could be ended"
    assert main(argv) == 0, capsys.readouterr().err
    record = folder.parent / f"{folder.name}.json"
    undisturbed = [*argv[: argv.index("out")], "other", *argv[argv.index("out") + 1 :]]
    assert main(undisturbed) == 0, capsys.readouterr().err
    again = tmp_path / "other" / "records" / record.name
    results = [json.loads(path.read_text())["result"] for path in (record, again)]
    assert len(results[0]["loss"]) == 60
    assert results[0]["loss"] == results[1]["loss"]
    assert os.listdir(records) == [name for name in os.listdir(records) if name.endswith(".json")]
