"""A run in its folder: begun once, gone on with, ended once, whoever comes to it and whoever dies."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nerva.experiments import Run, Stop, execute
from nerva.experiments.runs import check_settings, differing, read_json, read_lines

from ..cli.running import SMALL, wait_for

PROGRAM = """
import sys
from pathlib import Path
from nerva.experiments import Run, execute
print(execute(Run(Path(sys.argv[1]), tuple(sys.argv[2:]), {}, threads=1)))
"""


def run_of(folder, blobs, *options, **settings):
    """A run of one epoch, or as many as the options say."""
    epochs = () if "--epochs" in options else ("--epochs", "1")
    return Run(folder, ("--data", blobs, *SMALL, *epochs, *options), settings, threads=1)


def attempts(folder):
    return [line for line in read_lines(folder / "attempts.jsonl") if "started" in line]


def epochs(folder):
    return len(read_lines(folder / "metrics.jsonl"))


def test_a_run_is_done_once(blobs, tmp_path):
    run = run_of(tmp_path / "a", blobs, seed=1)
    result = execute(run)
    assert (result["status"], result["exit_code"], result["attempts"], result["threads"]) == ("done", 0, 1, 1)
    assert "test accuracy" in (run.folder / "log.txt").read_text()
    assert read_json(run.folder / "settings.json")["settings"] == {"seed": 1}
    assert execute(run, retry_failed=True) == result == read_json(run.folder / "result.json")
    assert len(attempts(run.folder)) == 1


def test_weights_are_saved_if_asked_for(blobs, tmp_path):
    run = Run(tmp_path / "a", ("--data", blobs, *SMALL, "--epochs", "1"), {}, save_weights=True)
    assert execute(run)["status"] == "done"
    assert (run.folder / "model.safetensors").exists()


def test_two_that_come_to_one_run_do_it_once(blobs, tmp_path):
    run, results = run_of(tmp_path / "a", blobs, "--epochs", "20"), []
    threads = [threading.Thread(target=lambda: results.append(execute(run))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result["status"] for result in results] == ["done"] * 3
    assert len(attempts(run.folder)) == 1


def test_one_that_waits_can_be_stopped(blobs, tmp_path):
    run, stop = run_of(tmp_path / "a", blobs, "--epochs", "1000000"), Stop(tmp_path)
    results = []
    threads = [threading.Thread(target=lambda: results.append(execute(run, stop=stop))) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_for(lambda: epochs(run.folder) > 2)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert results == [{"status": "stopped"}] * 2
    assert not (run.folder / "result.json").exists()
    assert list((run.folder / "checkpoint").iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_ends_with_the_process_that_looks_after_it(blobs, tmp_path, number):
    """Its checkpoint is written, and the lock is free for the next one, which goes on."""
    options = ["--data", blobs, *SMALL, "--epochs", "300"]
    keeper = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "a"), *options], cwd=tmp_path)
    wait_for(lambda: epochs(tmp_path / "a") > 2)
    keeper.send_signal(number)
    keeper.wait(60)
    result = execute(Run(tmp_path / "a", tuple(options), {}, threads=1))
    assert (result["status"], result["attempts"]) == ("done", 2)
    assert epochs(tmp_path / "a") == 301
    assert "going on after epoch" in (tmp_path / "a" / "log.txt").read_text()


def test_a_run_whose_end_nobody_saw_is_found_done(blobs, tmp_path):
    """Killed between the last checkpoint and the result: nothing is trained again."""
    run = run_of(tmp_path / "a", blobs, "--epochs", "3")
    execute(run)
    before = (run.folder / "metrics.jsonl").read_bytes()
    os.unlink(run.folder / "result.json")
    assert execute(run)["status"] == "done"
    assert (run.folder / "metrics.jsonl").read_bytes() == before


def test_a_run_that_fails_says_why_and_is_tried_again_when_asked(tmp_path):
    run = Run(tmp_path / "a", ("--data", str(tmp_path / "none.npz")), {})
    result = execute(run)
    assert (result["status"], result["exit_code"]) == ("failed", 2)
    assert result["error"].endswith(f"there is no file {tmp_path / 'none.npz'}")
    assert execute(run) == result
    assert execute(run, retry_failed=True)["attempts"] == 2


def test_what_failed_in_this_sweep_is_not_tried_again_by_it(tmp_path):
    """A worker died after a run had failed: its task is called once more."""
    run, stop = Run(tmp_path / "a", ("--epochs", "0"), {}), Stop(tmp_path)
    result = execute(run, retry_failed=True, stop=stop)
    assert result["status"] == "failed"
    assert execute(run, retry_failed=True, stop=stop) == result
    assert execute(run, retry_failed=True, stop=Stop(tmp_path))["attempts"] == 2


def test_settings_of_a_folder_hold(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"settings": {"epochs": 1, "hidden": [5, 6], "augment": True}}))
    same = {"augment": True, "epochs": 1, "hidden": [5, 6], "batch_norm": False, "topology": None}
    check_settings(Run(tmp_path, (), same))
    for others, complaint in (
        ({**same, "epochs": 2}, "holds a run with --epochs 1, not 2;"),
        ({**same, "hidden": []}, "holds a run with --hidden 5,6, not none;"),
        ({**same, "augment": False}, "holds a run with --augment on, not off;"),
        ({**same, "batch_norm": True}, "holds a run with --batch-norm none, not on;"),
    ):
        with pytest.raises(ValueError, match=complaint) as found:
            execute(Run(tmp_path, (), others))
        assert str(found.value).startswith(str(tmp_path))
    assert differing({}, {}) == []


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "result.json"
    for text in ("{", "[1]"):
        path.write_text(text)
        with pytest.raises(ValueError, match="JSON") as found:
            read_json(path)
        assert str(path) in str(found.value)
    assert read_json(tmp_path / "none.json") is None
    (tmp_path / "lines").write_text('{"a": 1}\n[2]\n{"b": \n{"c": 3}\n{"cut": 4')
    assert read_lines(Path(tmp_path / "lines")) == [{"a": 1}, {"c": 3}]
    assert read_lines(tmp_path / "none") == []
