"""`nerva sweep` as a function, which returns its table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nerva.experiments.runs import nerva_command
from nerva.experiments.tables import load_table
from nerva.system.files import as_path


def sweep(
    out: str | os.PathLike[str],
    *,
    grids: Iterable[Mapping[str, Any]] = (),
    verbose: bool = True,
    retry_failed: bool = False,
    prediction: bool = True,
    **options: Any,
) -> Any:
    """Train networks with every combination of values, as `nerva sweep` does, and return their table.

    Parameters
    ----------
    out : the folder of the runs; those that are done are not run again
    grids : options that hold for a part of the runs, one mapping for each part
    verbose : whether the progress is printed, a line for each run that ends
    retry_failed : whether runs that failed are tried again
    prediction : whether it is measured and told before how long the runs will take
    options : those of `nerva train`, with a value or a list of values, and engine, jobs, scheduler, submitit and
        save_weights of `nerva sweep`. Of an option that is a list itself, such as hidden, a list of lists has several

    Returns a pandas.DataFrame, as `load_table`. Warns (RuntimeWarning) where runs have failed. Raises ValueError, which
    names it, for a wrong option or combination, before anything is run; OSError where something fails; ImportError,
    which names the extra, without pandas.

    >>> frame = sweep("runs", density=[0.2, 0.1], seed=[1, 2], epochs=1, verbose=False)
    >>> frame[["density", "seed", "status"]].values.tolist()
    [[0.1, 1, 'done'], [0.1, 2, 'done'], [0.2, 1, 'done'], [0.2, 2, 'done']]
    """
    switches = {"--quiet": not verbose, "--retry-failed": retry_failed, "--no-prediction": not prediction}
    text = _toml(options) + "".join(f"[[grid]]\n{_toml(grid)}" for grid in grids)
    with tempfile.TemporaryDirectory(prefix="nerva-") as folder:
        file = Path(folder) / "sweep.toml"
        file.write_text(text, encoding="utf-8")
        command = [*nerva_command(), "sweep", str(file), "--out", str(as_path(out))]
        code, complaint = _run([*command, *(name for name, given in switches.items() if given)], verbose)
    complaint = (
        complaint.replace(f"{file}: ", "").removeprefix("nerva: ").removeprefix("nerva ").removeprefix("sweep: ")
    )
    if code == 2:
        raise ValueError(complaint)
    if code > 128:
        raise KeyboardInterrupt(code - 128)
    if code and "runs failed: " not in complaint:
        raise OSError(complaint)
    if code:
        warnings.warn(complaint, RuntimeWarning, stacklevel=2)
    return load_table(out)


def _run(command: list[str], verbose: bool) -> tuple[int, str]:
    """Run a command, print its lines where they are seen in notebooks too, and return its code and last complaint."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if verbose:
                    print(line, end="")
            code = process.wait()
        except BaseException:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
        finally:
            process.stdout.close()
        errors.seek(0)
        lines = [line.strip() for line in errors if line.strip()]
    return code if code >= 0 else 128 - code, (lines or [f"nerva sweep ended with code {code}"])[-1]


def _toml(options: Mapping[str, Any]) -> str:
    """Return options as lines of TOML.

    >>> print(_toml({"batch_size": 10, "augment": [True, False], "topology": [None, "rigl"]}), end="")
    batch_size = 10
    augment = [true, false]
    topology = ["none", "rigl"]
    """
    return "".join(f"{name} = {_value(value)}\n" for name, value in options.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + "}"
    if value is None:
        return '"none"'
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, os.PathLike):
        return json.dumps(os.fspath(value), ensure_ascii=False)
    if hasattr(value, "tolist"):  # of NumPy
        return _value(value.tolist())
    if isinstance(value, Iterable):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"an option is {value!r}; it must be a number, a word, a bool, None, or a list of them")
