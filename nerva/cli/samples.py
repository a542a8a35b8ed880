"""Samples and predictions in files: .npy, .npz, .csv, and .parquet, which needs the extra 'parquet'."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from nerva.cli.csv_cells import UNNAMED, leave_out_index, places, read_csv
from nerva.system.archive import NpzArchive
from nerva.system.files import replacing

READ = (".npy", ".npz", ".csv", ".parquet")
WRITTEN = (".csv", ".npy", ".parquet")
PIECE = 4096  # rows of CSV made at a time


def need_parquet() -> None:
    """Raise ImportError where what reads and writes .parquet is missing."""
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError:
        raise ImportError(".parquet needs pandas and pyarrow: pip install 'nerva-sparse[parquet]'") from None


def read_samples(path: str, drop: Sequence[str] = ()) -> Any:
    """Return the samples in a file: an array (n, D), or a data frame of a .parquet file.

    An .npz file holds them as Xtest, or as its only array. How the header of a .csv file is told: see read_csv of
    nerva.cli.csv_cells. Samples of more dimensions, as images have, are flattened. `drop` are columns of a .csv or
    .parquet file to leave out, by names or numbers from 1.

    Raises OSError or ValueError where the file cannot be read, ImportError without what reads it.
    """
    kind = Path(path).suffix.lower()
    if kind == ".parquet":
        frame, features, _ = read_frame(path, [], drop)
        return frame.iloc[:, features]
    if kind == ".csv":
        return read_csv(path, [], drop).X
    array = _read_npz(path) if kind == ".npz" else _read_npy(path)
    return array.reshape(len(array), -1) if array.ndim > 2 and array.size else array


def read_frame(path: str, target: Sequence[str] | None, drop: Sequence[str] = ()) -> tuple[Any, list[int], list[int]]:
    """Return the data frame of a .parquet file, and the places of features and targets among its columns.

    Parameters and errors: as of read_csv of nerva.cli.csv_cells; also ImportError without what reads it. A first column
    that is an index is no feature.
    """
    need_parquet()
    import pandas

    frame = pandas.read_parquet(path, engine="pyarrow")
    frame.columns = frame.columns.map(str)
    names = list(frame.columns)
    features, targets = places(target, drop, names)
    unnamed = features[0] == 0 and names[0] in UNNAMED and len(features) > 1
    if unnamed and leave_out_index(path, frame.iloc[:, 0].tolist()):
        features = features[1:]
    return frame, features, targets


def _read_npy(path: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except EOFError as error:
        raise ValueError(str(error)) from error
    return array


def _read_npz(path: str) -> NDArray[Any]:
    with NpzArchive(path) as arrays:
        names = list(arrays)
        if "Xtest" not in names and len(names) != 1:
            raise ValueError(f"holds {', '.join(names) or 'nothing'}; it must hold Xtest, or one array")
        return arrays["Xtest" if "Xtest" in names else names[0]]


def write_predictions(path: str | None, names: list[str], values: NDArray[Any]) -> None:
    """Write predictions (n,) or (n, columns) to a file, whole or not at all, or as CSV to standard output.

    .csv and .parquet files have the names of the columns, a .npy file is the array. Raises OSError, or ImportError
    without what writes it.
    """
    if path is None:
        _write_csv(sys.stdout, names, values)
        return
    kind = Path(path).suffix.lower()
    with replacing(path) as stream:
        if kind == ".npy":
            np.save(stream, values)
        elif kind == ".csv":
            text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
            _write_csv(text, names, values)
            text.detach()  # which flushes, and leaves the stream open
        else:
            _write_parquet(stream, names, values)


def _write_csv(stream: TextIO, names: list[str], values: NDArray[Any]) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    columns = values.reshape(len(values), -1)
    for first in range(0, len(columns), PIECE):
        writer.writerows(columns[first : first + PIECE].astype(str))  # the shortest digits that tell floats apart


def _write_parquet(stream: IO[bytes], names: list[str], values: NDArray[Any]) -> None:
    need_parquet()
    import pandas

    frame = pandas.DataFrame(values.reshape(len(values), -1), columns=names)
    frame.to_parquet(stream, engine="pyarrow", index=False)
