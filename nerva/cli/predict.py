"""The command `nerva predict`."""

import contextlib
import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nerva._kernels import mkl
from nerva.cli.build import Failure, load_model, printing
from nerva.cli.samples import need_parquet, read_samples, write_predictions
from nerva.cli.tables import is_table, read_table
from nerva.models.sequential import Sequential
from nerva.system.files import check_writable


def predict(options: Namespace) -> None:
    """Predict for the samples in a file, and write that; raise Failure or OSError if it fails."""
    try:
        if options.output is not None:
            check_writable(options.output)
            if Path(options.output).suffix.lower() == ".parquet":
                need_parquet()
        if options.threads is not None:
            mkl.set_num_threads(options.threads)
        model = load_model(options.file)
        X = _read(options.samples, options.target, options.drop)
        values = _predict(model, X, options)
        with printing() if options.output is None else contextlib.nullcontext():
            write_predictions(options.output, _names(model, values, options.proba), values)
    except ImportError as error:
        raise Failure(error, 2) from error


def _read(path: str, target: list[str] | None, drop: list[str] | None) -> Any:
    for name, given in (("target", target), ("drop", drop)):
        if given is not None and not is_table(path):
            raise Failure(f"--{name}: goes with a .csv or .parquet file, not with {path}", 2)
    try:
        return read_samples(path, drop or ()) if target is None else read_table(path, target, drop or ()).X
    except (ValueError, csv.Error) as error:
        raise Failure(f"{path}: {error}") from error


def _predict(model: Sequential, X: Any, options: Namespace) -> NDArray[Any]:
    """Return the predictions; raise Failure where the samples do not fit the model, or it has no probabilities."""
    try:
        ask = model.predict_proba if options.proba else model.predict
        found: NDArray[Any] = ask(X, batch_size=options.batch_size)
    except TypeError as error:
        about = "--proba" if "has no probabilities" in str(error) else options.samples
        raise Failure(f"{about}: {error}", 2) from error
    except ValueError as error:
        more = is_table(options.samples) and "X has shape" in str(error)
        raise Failure(f"{options.samples}: {error}" + more * "; --target and --drop leave columns out", 2) from error
    return found


def _names(model: Sequential, values: NDArray[Any], proba: bool) -> list[str]:
    """Return the names of the columns: of probabilities the classes, by their names or numbers."""
    columns = 1 if values.ndim == 1 else values.shape[1]
    if proba and model.classes is not None and len(model.classes) in (columns, columns + 1):
        return list(model.classes[-columns:])  # a single output is that of the second of two classes
    if proba:
        return [str(k) for k in range(columns)]
    return ["prediction"] if columns == 1 else [f"prediction_{k}" for k in range(columns)]
