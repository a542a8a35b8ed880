"""The command `nerva reproduce paper`: what it does, and leaves for the next time."""

import json
import os
import signal
import subprocess

import pytest

from nerva.experiments.paper import parts
from nerva.experiments.paper.folder import Folder
from nerva.experiments.paper.protocol import Protocol

from .reproducing import COMMAND, PARTS, PARTS_FOLDER
from .running import wait_for


@pytest.fixture(autouse=True)
def fakes(monkeypatch, tmp_path):
    """Two parts that take no time, in place of all others; data that nobody reads."""
    monkeypatch.syspath_prepend(PARTS_FOLDER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(PARTS_FOLDER), os.environ.get("PYTHONPATH")])))
    monkeypatch.setattr(parts, "PACKAGES", ("matplotlib",))
    monkeypatch.setattr(parts, "PARTS", PARTS)
    monkeypatch.setattr(Protocol, "load", lambda self: None)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "data_batch_1.bin").touch()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def reproduce(command):
    """Runs the command on the parts: reproduce("1,2", ...) with these seeds gives (exit code, output, errors)."""

    def run(seeds, *options):
        given = ["--data", "photos", "--out", "out", "--seeds", seeds, "--jobs", "2", "--threads", "3", *options]
        return command("reproduce", "paper", *given)

    return run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def calls(out):
    """The units that were begun: (seed, process, threads)."""
    return [tuple(map(int, line.split())) for line in (out / "records" / "calls.txt").read_text().splitlines()]


def state(out):
    return json.loads((out / "run.json").read_text())


def test_units_leave_records_and_a_report(reproduce, out):
    code, lines, errors = reproduce("1,20,21")
    assert (code, errors) == (0, [])
    assert lines[2].startswith("4 units to do, 1 alone, 3 up to 2 at a time: about ")
    assert next(line.split()[:4] for line in lines if " of 4  " in line) == ["1", "of", "4", "fake-1"]
    assert lines[-1] == "out/report.md and out/report.html hold the report"
    assert json.loads((out / "records" / "fake-20.json").read_text())["result"] == {"accuracy": 0.02}
    assert sorted(path.name for path in out.iterdir()) == [
        "figures",
        "log.txt",
        "records",
        "report.html",
        "report.md",
        "run.json",
    ]
    assert "unit 21 prints this" in (out / "log.txt").read_text()
    (session,) = state(out)["sessions"]
    assert session["command"].endswith("--data photos --out out --seeds 1,20,21 --jobs 2 --threads 3")


def test_what_is_done_is_not_done_again(reproduce, out):
    assert reproduce("1,20")[0] == 0
    before = calls(out), (out / "report.md").read_text()
    code, lines, _ = reproduce("1,20")
    assert code == 0
    assert "0 units to do" in lines[2]
    assert (calls(out), (out / "report.md").read_text()) == before


def test_units_alone_have_their_own_process_and_the_threads(reproduce, out):
    reproduce("1,2,20,21,22,23", "--part", "timing")
    alone, others = calls(out)[:2], calls(out)[2:]
    assert [seed for seed, _, _ in alone] == [1, 2]
    assert len({process for _, process, _ in alone}) == 2
    assert {threads for _, _, threads in alone} == {3}
    assert len({process for _, process, _ in others}) == 2  # which take one after another
    assert {threads for _, _, threads in others} == {1}


def test_a_unit_that_fails_or_is_killed_is_told_of_and_the_rest_goes_on(reproduce, out):
    code, lines, errors = reproduce("20,101,102,21")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith("nerva: 2 units of work failed; out/log.txt tells why")
    assert {seed for seed, _, _ in calls(out)} == {20, 21, 50, 101, 102}
    failures = {"fake-101": "ValueError: the unit fails", "fake-102": "its process was ended by SIGKILL"}
    assert state(out)["failures"] == failures
    assert sum("FAILED, its process was ended by SIGKILL" in line for line in lines) == 1
    report = (out / "report.md").read_text()
    assert "**This report is not complete.**" in report
    assert "- fake-102 failed: its process was ended by SIGKILL" in report
    (out / "records" / "mended").touch()
    before = len(calls(out))
    assert reproduce("20,101,102,21")[0] == 0
    assert sorted(seed for seed, _, _ in calls(out)[before:]) == [101, 102]
    assert state(out)["failures"] == {}
    assert "not complete" not in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--epochs", "7", "epochs 100, not 7"),
        ("--sparsities", "0.5,0.9", "sparsities 0.5,0.8"),
        ("--quick", None, "10000"),
    ],
)
def test_a_folder_with_other_settings_is_refused(reproduce, out, option, value, told):
    reproduce("1")
    before = (out / "run.json").read_text()
    code, lines, errors = reproduce("1", *filter(None, [option, value]))
    assert (code, lines, len(errors)) == (2, [], 1)
    assert told in errors[0]
    assert errors[0].endswith("give the same options, or another --out")
    assert (out / "run.json").read_text() == before


def test_parts_are_added_to_a_folder(reproduce, out):
    assert reproduce("20", "--part", "accuracy")[0] == 0
    assert "## Time" not in (out / "report.md").read_text()
    assert reproduce("20", "--part", "timing")[0] == 0
    assert [seed for seed, _, _ in calls(out)] in ([20, 50], [50, 20])  # that of both parts once
    text = (out / "report.md").read_text()
    assert text.index("## Time") < text.index("## Accuracy")  # the order of the report, not that of the commands


def test_a_second_command_on_the_folder_is_refused(reproduce, out):
    with Folder(out).locked():
        code, lines, errors = reproduce("1")
    assert (code, lines) == (1, [])
    assert errors == ["nerva: out: another reproduction is at work there"]
    assert not (out / "run.json").exists()


def test_a_dry_run_changes_nothing(reproduce, out):
    code, lines, errors = reproduce("1,20", "--dry-run")
    assert (code, errors) == (0, [])
    assert lines[0].split()[:5] == ["timing", "0", "of", "2", "units"]
    assert lines[-1] == "3 units to do, 1 alone, 2 up to 2 at a time: about 2 min"
    assert not out.exists()


def test_the_report_alone_is_the_same(reproduce, command, out):
    reproduce("1,20")
    files = {path: path.read_bytes() for path in [*out.glob("report.*"), *out.glob("figures/*")]}
    assert len(files) == 3
    for path in files:
        path.write_text("gone")
    (out / "figures" / "old.svg").touch()
    assert command("reproduce", "paper", "--report-only", "--out", "out")[0] == 0
    assert {path: path.read_bytes() for path in [*out.glob("report.*"), *out.glob("figures/*")]} == files


def test_there_is_no_report_without_a_run(command, tmp_path):
    code, _, errors = command("reproduce", "paper", "--report-only", "--out", "photos")
    assert (code, errors) == (1, ["nerva: photos: no reproduction is there, for it has no run.json"])


def test_a_damaged_state_is_told(reproduce, out):
    reproduce("1")
    (out / "run.json").write_text('{"settings": ')
    code, _, errors = reproduce("1")
    assert code == 1
    assert errors[0].startswith("nerva: out/run.json: not the file of a reproduction, or a damaged one")


@pytest.mark.parametrize("text", ["", '{"unit": "fake-20", "sett', "[]", '{"settings": {}}'])
def test_a_unit_with_a_damaged_record_is_done_again(reproduce, out, text):
    reproduce("20,21")
    record = out / "records" / "fake-20.json"
    before = json.loads(record.read_text())
    record.write_text(text)
    code, _, errors = reproduce("20,21")
    assert (code, errors) == (0, [])
    assert json.loads(record.read_text())["result"] == before["result"]
    assert [seed for seed, _, _ in calls(out)].count(21) == 1


def test_a_missing_package_is_told_before_anything_starts(reproduce, out, monkeypatch):
    monkeypatch.setattr(parts, "PACKAGES", ("matplotlib", "no_such_package"))
    code, lines, errors = reproduce("1")
    assert (code, lines) == (1, [])
    assert errors == ["nerva: the reproduction of the paper needs no_such_package: pip install 'nerva-sparse[compare]'"]
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--part", "speed"], "'speed' is none of timing, accuracy"),
        (["--seeds", "1,1"], "'1,1' has a value twice"),
        (["--sparsities", "0.5,1"], "'1' is not a number from 0 to below 1"),
        (["--data", "nowhere"], "there is no folder nowhere"),
        (["--data-name", " "], "the name is empty"),
        (["--out", "photos/data_batch_1.bin"], "is a file, not a folder"),
    ],
)
def test_wrong_options_are_refused(command, options, complaint):
    code, lines, errors = command("reproduce", "paper", *options)
    assert (code, lines, len(errors)) == (2, [], 1)
    assert complaint in errors[0]


def test_quiet_prints_the_result_alone(reproduce):
    assert reproduce("1", "--quiet") == (0, ["out/report.md and out/report.html hold the report"], [])


@pytest.mark.parametrize(("name", "label"), [(None, "CIFAR-10 (folder photos, not verified)"), ("Mine", "Mine")])
def test_the_data_are_named_in_the_report(reproduce, out, name, label):
    reproduce("1", *(["--data-name", name] if name else []))
    assert f"Accuracies. {label}." in (out / "report.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_processes_and_the_command_goes_on(reproduce, out, number):
    given = ["--data", "photos", "--out", "out", "--seeds", "20,103", "--jobs", "2", "--threads", "3"]
    process = subprocess.Popen(
        [*COMMAND, "reproduce", "paper", *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        wait_for((out / "records" / "begun").exists, 60)
        wait_for((out / "records" / "fake-50.json").exists, 60)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    first, last = errors.splitlines()
    assert first.startswith("nerva: 1 of 3 units are left, about 1 min; the same command goes on from there")
    assert last == "nerva: interrupted"
    (waiting,) = {process for seed, process, _ in calls(out) if seed == 103}
    with pytest.raises(ProcessLookupError):
        os.kill(waiting, 0)
    (out / "records" / "mended").touch()
    before = len(calls(out))
    assert reproduce("20,103")[0] == 0
    assert [seed for seed, _, _ in calls(out)[before:]] == [103]
    assert [session["units"] for session in state(out)["sessions"]] == [2, 1]


def test_sources_in_the_present_folder_do_not_hide_nerva(reproduce, out, tmp_path):
    """As in a clone of which nerva was installed, but which is not built."""
    (tmp_path / "nerva").mkdir()
    (tmp_path / "nerva" / "__init__.py").write_text("raise ImportError('not built')")
    assert reproduce("1,20")[0] == 0
