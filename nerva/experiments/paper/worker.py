"""A process that does units of work, one after another: `python -m nerva.experiments.paper.worker`.

It reads a line of JSON for each unit and answers with one, {"seconds": ...} or {"error": ...}. What a unit prints
goes to standard error. It ends where its input ends, and with the process that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from nerva.experiments.paper.units import Unit, do
from nerva.system.signals import handling, interrupt

PR_SET_PDEATHSIG = 1


def request(unit: Unit, folder: Path) -> bytes:
    """Return the line that has a worker do a unit, whose record goes to `folder`."""
    work = {"module": unit.work.__module__, "function": unit.work.__qualname__}
    return json.dumps({**work, "name": unit.name, "settings": unit.settings, "folder": str(folder)}).encode() + b"\n"


def main() -> None:
    """Do what standard input asks for."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # an orphan would write beside the run that goes on
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    with contextlib.suppress(KeyboardInterrupt), handling(interrupt):
        for line in sys.stdin:
            answers.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    print(f"--- {asked['name']}", file=sys.stderr, flush=True)
    try:
        work = getattr(importlib.import_module(asked["module"]), asked["function"])
        made = do(Unit(asked["name"], work, asked["settings"]), Path(asked["folder"]))
    except Exception as error:
        traceback.print_exc()
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())}
    return {"seconds": made["seconds"]}


if __name__ == "__main__":
    main()
