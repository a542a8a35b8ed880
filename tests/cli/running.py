"""The command in this process or in one of its own, and what it writes."""

import json
import os
import re
import subprocess
import sys
import time

EPOCH_KEYS = ["epoch", "learning_rate", "loss", "train_accuracy", "test_loss", "test_accuracy", "seconds", "nnz"]
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


def finish(process, seconds=60):
    """(exit code, lines of output, lines of errors) of a process that ends by itself."""
    with process:
        try:
            out, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, (out or "").splitlines(), (errors or "").splitlines()


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def assert_refused(result, argv, complaint):
    """A line of errors that names the mistake, exit code 2, and no output."""
    code, out, errors = result
    assert (code, len(errors), out) == (2, 1, []), result
    assert errors[0].startswith("nerva")
    assert complaint in errors[0]
