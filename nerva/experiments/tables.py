"""The table of a sweep: a row a run, from the files in the folders of the runs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerva.experiments.runs import METRICS, RESULT, SETTINGS, begun, read_json, read_lines
from nerva.system.files import as_path, replacing

CSV, PARQUET = "table.csv", "table.parquet"
FIGURES = ("loss", "train_accuracy", "test_loss", "test_accuracy")


def rows(out: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return a row for each run in a folder of runs, by the names of their folders.

    A row has the run, its status ("done", "failed", or "unfinished", which a sweep goes on with), the settings that are
    not the same in all runs, the seed, the weights after the last epoch (nnz) and those of the dense network, the
    epochs done, loss and accuracy after the last one and of the best one (by test accuracy, else by loss), seconds an
    epoch and in all, exit code, error and attempts. What there is not is None. Raises ValueError, which names it, for a
    broken file.
    """
    found = [*begun(out)]
    names = dict.fromkeys(name for _, settings in found for name in settings)
    vary = [name for name in names if len({repr(settings.get(name)) for _, settings in found}) > 1]
    return [_row(folder, settings, vary) for folder, settings in found]


def row_of(folder: Path) -> dict[str, Any]:
    """Return the row of one run, without settings that vary; raise ValueError, which names it, for a broken file."""
    return _row(folder, (read_json(folder / SETTINGS) or {}).get("settings", {}), ())


def _row(folder: Path, settings: Mapping[str, Any], vary: Sequence[str]) -> dict[str, Any]:
    result = read_json(folder / RESULT) or {"status": "unfinished"}
    lines = read_lines(folder / METRICS)
    about: dict[str, Any] = next((line["run"] for line in lines if "run" in line), {})
    epochs = [line for line in lines if "epoch" in line]
    seconds = [epoch["seconds"] for epoch in epochs]
    return {
        "run": folder.name,
        "status": result["status"],
        **{name: _plain(settings.get(name)) for name in vary if name != "seed"},
        "seed": settings.get("seed"),
        "nnz": epochs[-1].get("nnz", about.get("nnz")) if epochs else about.get("nnz"),
        "dense_weights": about.get("dense_weights"),
        "epochs": len(epochs),
        **figures(epochs),
        "seconds_per_epoch": sum(seconds) / len(seconds) if seconds else None,
        "seconds": result.get("seconds"),
        "threads": result.get("threads"),
        "attempts": result.get("attempts"),
        "exit_code": result.get("exit_code"),
        "error": result.get("error"),
    }


def figures(epochs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return loss and accuracy after the last epoch, and of the best one, from the records of a run's metrics."""
    last: Mapping[str, Any] = epochs[-1] if epochs else {}
    best = max(epochs, key=_goodness, default={})
    return {
        **{name: last.get(name) for name in FIGURES},
        **{f"best_{name}": best.get(name) for name in ("test_loss", "test_accuracy")},
        "best_epoch": best.get("epoch"),
    }


def _goodness(epoch: Mapping[str, Any]) -> float:
    """Return what is larger for a better epoch; the first of equal ones is the best."""
    if (accuracy := epoch.get("test_accuracy")) is not None:
        return float(accuracy)
    loss = epoch.get("test_loss") if epoch.get("test_loss") is not None else epoch.get("loss")
    return float("-inf") if loss is None else -float(loss)


def _plain(value: Any) -> Any:
    """Return a setting as a cell: a list as the option has it."""
    return ",".join(map(str, value)) or "none" if isinstance(value, list) else value


def write_tables(out: str | os.PathLike[str], found: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write rows to table.csv and, where pandas and pyarrow are installed, table.parquet; return their paths.

    Raises OSError where they cannot be written.
    """
    folder = as_path(out)
    names = list(dict.fromkeys(name for row in found for name in row))
    with replacing(folder / CSV) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
        text.detach()
    try:
        import pandas
        import pyarrow  # noqa: F401
    except ImportError:
        return [folder / CSV]
    with replacing(folder / PARQUET) as stream:
        frame = pandas.DataFrame(list(found), columns=names).convert_dtypes()
        _of_one_kind(frame).to_parquet(stream, engine="pyarrow", index=False)
    return [folder / CSV, folder / PARQUET]


def _of_one_kind(frame: Any) -> Any:
    """Return a frame whose columns can be written: values of several kinds as text."""
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = frame[name].map(lambda value: None if value is None else str(value)).astype("string")
    return frame


def load_table(out: str | os.PathLike[str]) -> Any:
    """Return the table of the runs in a folder as a pandas.DataFrame, as they are now: see `rows`.

    Raises ValueError where there are no runs, and ImportError, which names the extra, without pandas.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError("load_table needs pandas: pip install 'nerva-sparse[sweep]'") from None
    found = rows(out)
    if not found:
        raise ValueError(f"out is {os.fspath(out)!r}, a folder without runs")
    return pandas.DataFrame(found)
