"""A run of `nerva train` in a folder of its own: begun, gone on with, and ended once, whoever comes to it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nerva.experiments.engines import threads_here
from nerva.experiments.stop import Stop
from nerva.system.files import as_path, replacing
from nerva.system.program import python

SETTINGS, RESULT, ATTEMPTS = "settings.json", "result.json", "attempts.jsonl"
METRICS, CHECKPOINT, LOG, LOCK = "metrics.jsonl", "checkpoint", "log.txt", "lock"
POLL = 0.1  # seconds between two looks at what may end a run
# The system ends this process, by SIGTERM, with the one that started it; then it becomes the command.
CHILD = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(143); os.execv(sys.argv[2], sys.argv[2:])"
)


@dataclass(frozen=True)
class Run:
    """A run: its folder, and what is trained there.

    Parameters
    ----------
    folder : of this run alone
    argv : the options of `nerva train`, without those of threads, metrics, checkpoint and resuming
    settings : what tells this run from others, as plain JSON; a folder keeps to those it was begun with
    threads : of the run; None is what the engine gives each
    save_weights : whether the network goes to model.safetensors
    """

    folder: Path
    argv: tuple[str, ...]
    settings: Mapping[str, Any]
    threads: int | None = None
    save_weights: bool = False

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of settings with other values; one that is missing is as one that is not set.

    >>> differing({"epochs": 1, "augment": False}, {"epochs": 2})
    ['epochs']
    """
    names = dict.fromkeys([*found, *wanted])
    return [name for name in names if (found.get(name) or None) != (wanted.get(name) or None)]


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a file, None where there is no file; raise ValueError, which names it, for other content."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: its JSON is broken ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds no JSON object")
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects in a file of JSON lines, without a last line that is not whole; none without a file."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [entry for entry in found if isinstance(entry, dict)]


def begun(out: str | os.PathLike[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folders of the runs in a folder, by their names, each with its settings; others are passed over.

    Raises ValueError, which names it, for a broken file.
    """
    for path in sorted(as_path(out).absolute().glob(f"[!.]*/{SETTINGS}")):
        settings = (read_json(path) or {}).get("settings")
        if isinstance(settings, dict):
            yield path.parent, settings


def check_settings(run: Run) -> None:
    """Raise ValueError, which names one, where the folder of a run was begun with other settings."""
    found = read_json(run.folder / SETTINGS)
    if found is None:
        return
    others = differing(found.get("settings", {}), run.settings)
    if others:
        name = others[0]
        was, now = found.get("settings", {}).get(name), run.settings.get(name)
        raise ValueError(
            f"{run.folder}: holds a run with --{name.replace('_', '-')} {_shown(was)}, not {_shown(now)}; "
            "name another folder, or remove this one"
        )


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "on" if value else "none" if value is None else "off"
    return ",".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def execute(run: Run, *, retry_failed: bool = False, stop: Stop | None = None) -> dict[str, Any]:
    """Train a run to its end in a process of its own, or go on with it, and return its result; a task of `run_all`.

    Parameters
    ----------
    run : its folder is made where there is none
    retry_failed : whether one that failed before is tried again, from its last checkpoint
    stop : ends the process, which keeps a checkpoint; the status is then "stopped"

    The result, which result.json keeps, has the status ("done" or "failed"), the exit code, the error's line, the
    seconds of all attempts, and their number. A run that is done is not run again. While another process runs it, this
    one waits, and returns what came of it. Raises OSError where the folder cannot be written, and ValueError where it
    holds a run with other settings.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with _locked(run.folder / LOCK, stop) as lock:
        if lock is None:
            return {"status": "stopped"}
        check_settings(run)
        found = read_json(run.folder / RESULT)
        mine = found is not None and stop is not None and found.get("sweep") == stop.token
        if found is not None and (found["status"] == "done" or mine or not retry_failed):
            return found
        if not (run.folder / SETTINGS).exists():
            _write_json(run.folder / SETTINGS, {"settings": dict(run.settings), "argv": list(run.argv)})
        return _attempt(run, lock, stop)


def _attempt(run: Run, lock: int, stop: Stop | None) -> dict[str, Any]:
    """Run the process once, and keep what came of it unless it was stopped."""
    threads = run.threads or threads_here()
    started, began = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    about = {"started": began, "host": platform.node(), "pid": os.getpid(), "threads": threads}
    _append_json(run.folder / ATTEMPTS, about)
    with open(run.folder / LOG, "ab") as log:
        process = _start(_command(run, threads), log, threads, lock)
        code, stopped = _wait(process, stop)
    _append_json(run.folder / ATTEMPTS, {"seconds": time.monotonic() - started, "exit_code": code})
    if stopped and code != 0:
        return {"status": "stopped"}
    attempts = read_lines(run.folder / ATTEMPTS)
    result = {
        "status": "failed" if code else "done",
        "exit_code": code,
        "error": _error(run.folder / LOG, code) if code else None,
        "seconds": round(sum(attempt.get("seconds", 0.0) for attempt in attempts), 3),
        "attempts": sum("started" in attempt for attempt in attempts),
        "threads": threads,
        "host": platform.node(),
        "sweep": None if stop is None else stop.token,
    }
    _write_json(run.folder / RESULT, result)
    return result


def _command(run: Run, threads: int) -> list[str]:
    folder = run.folder
    files = ["--metrics", str(folder / METRICS), "--checkpoint", str(folder / CHECKPOINT), "--resume"]
    if run.save_weights:
        files += ["--save-weights", str(folder / "model.safetensors")]
    return [*nerva_command(), "train", *run.argv, *files, "--threads", str(threads)]


def nerva_command() -> list[str]:
    """Return the command that is this nerva, whatever lies in the present folder."""
    return [*python(), "-m", "nerva"]


def _start(command: list[str], log: Any, threads: int, lock: int) -> subprocess.Popen[bytes]:
    """Start a process that holds the lock too, so that nobody else begins while it ends."""
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", CHILD, str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # Ctrl-C in a terminal reaches it as SIGTERM, once
        pass_fds=(lock,),
    )


def _wait(process: subprocess.Popen[bytes], stop: Stop | None) -> tuple[int, bool]:
    """Return the exit code of a process, and whether it was told to end."""
    parent, told = os.getppid(), False
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(POLL), told
            if not told and ((stop is not None and stop.is_set()) or os.getppid() != parent):
                process.terminate()
                told = True
    except BaseException:
        process.terminate()
        try:
            process.wait()
        except BaseException:  # a second signal: nobody waits any longer
            process.kill()
            process.wait()
            raise
        raise


@contextlib.contextmanager
def _locked(path: Path, stop: Stop | None) -> Iterator[int | None]:
    """Hold the lock of a file, for which this may wait; None if it is stopped while it waits."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if stop is not None and stop.is_set():
                    yield None
                    return
                time.sleep(POLL)
                continue
            except OSError:  # some network file systems have no locks
                pass
            break
        yield lock
    finally:
        os.close(lock)


def _error(log: Path, code: int) -> str:
    """Return the line that tells why a run failed."""
    if code < 0:
        return f"killed by signal {-code}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if line.startswith("nerva")]
    return (named or lines or [f"exit code {code}"])[-1].strip()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as stream:
        stream.write(json.dumps(content, indent=1).encode() + b"\n")


def _append_json(path: Path, content: Mapping[str, Any]) -> None:
    with open(path, "ab") as stream:
        stream.write(json.dumps(content).encode() + b"\n")
