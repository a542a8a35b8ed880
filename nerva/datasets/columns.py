"""Columns of tables in files as rows of numbers: .parquet, and Arrow's IPC files (.arrow, .feather)."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class TableRows:
    """The columns of a table in a file as rows of numbers; those of a group of rows are stored together.

    A column of numbers or booleans is a feature; one of lists of as many of them each (fixed_size_list), several.

    Parameters
    ----------
    path : of the file
    columns : the names of the columns, in order; None for all

    `starts` are the first rows of the groups, and the number of rows. Raises ImportError without pyarrow, OSError where
    there is no such file, ValueError where it is none of its kind or has no such column, TypeError for a column that is
    not of numbers.
    """

    kind = ""
    hint = ""  # behind the message that a file is none of its kind

    def __init__(self, path: str | os.PathLike[str], columns: list[str] | None = None) -> None:
        try:
            from pyarrow import ArrowInvalid
        except ImportError:
            raise ImportError(f"{self.kind} needs pyarrow: pip install 'nerva-sparse[parquet]'") from None
        self.path = os.path.abspath(path)
        try:
            schema = self._open()
            self.columns = list(schema.names) if columns is None else list(columns)
            for column in self.columns:
                if schema.get_field_index(column) < 0:
                    known = ", ".join(schema.names)
                    raise ValueError(f"columns holds {column!r}, which {path} has not, or twice; it has {known}")
            fields = [(schema.field(column).type, f"{path}: column {column!r}") for column in self.columns]
            self.starts = np.concatenate([[0], np.cumsum(self._sizes(schema))]).astype(np.int64)
        except ArrowInvalid as error:
            raise ValueError(f"{path}: is no {self.kind} file ({error}){self.hint}") from error
        kinds = [_dtype_of(kind, name) for kind, name in fields]
        self.dtype = np.result_type(*kinds) if kinds else np.dtype(np.float32)
        self._widths = [_width_of(kind) for kind, _ in fields]
        self.shape = (int(self.starts[-1]), sum(self._widths))

    def _open(self) -> Any:
        """Open the file; return its schema."""
        raise NotImplementedError

    def _sizes(self, schema: Any) -> list[int]:
        """Return the numbers of rows that are stored together."""
        raise NotImplementedError

    def _read(self, groups: list[int]) -> Any:
        """Return groups of rows as a table."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        first, last, _ = rows.indices(len(self))
        groups = [i for i in range(len(self.starts) - 1) if self.starts[i] < last and self.starts[i + 1] > first]
        out = np.empty((max(last - first, 0), self.shape[1]), self.dtype)
        if not groups:
            return out
        table = self._read(groups).slice(first - int(self.starts[groups[0]]), len(out))
        at = 0
        for name, width in zip(self.columns, self._widths, strict=True):
            column = table.column(name)
            if column.null_count:
                raise ValueError(f"column {name!r} has {column.null_count} missing values")
            lists = table.schema.field(name).type.num_fields > 0
            values = column.combine_chunks().flatten() if lists else column
            if values.null_count:
                raise ValueError(f"the lists of column {name!r} have {values.null_count} missing values")
            numbers = values.to_numpy() if hasattr(values, "chunks") else values.to_numpy(zero_copy_only=False)
            out[:, at : at + width] = numbers.reshape(len(out), width)
            at += width
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.columns)


class ParquetRows(TableRows):
    """Of a .parquet file, by its row groups."""

    kind = ".parquet"

    def _open(self) -> Any:
        from pyarrow import parquet

        self._file = parquet.ParquetFile(self.path)
        weakref.finalize(self, self._file.close)
        return self._file.schema_arrow

    def _sizes(self, schema: Any) -> list[int]:
        metadata = self._file.metadata
        return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def _read(self, groups: list[int]) -> Any:
        return self._file.read_row_groups(groups, columns=self.columns, use_threads=False)


class ArrowRows(TableRows):
    """Of an Arrow IPC file (.arrow, or .feather of version 2), by its record batches. Its rows are read, not mapped."""

    kind = "Arrow IPC"
    hint = "; one written as a stream has no index of its batches: write it anew with pyarrow.ipc.new_file"

    def _open(self) -> Any:
        from pyarrow import OSFile, ipc

        self._stream = OSFile(self.path)
        weakref.finalize(self, self._stream.close)
        self._schema = ipc.open_file(self._stream).schema
        return self._schema

    def _sizes(self, schema: Any) -> list[int]:
        """Return the rows of the batches; of a column that is not compressed, only its description is read."""
        from pyarrow import ipc, memory_map

        narrow = min(range(len(schema)), key=lambda i: _width_of(schema.field(i).type), default=0)
        options = ipc.IpcReadOptions(included_fields=[narrow] if len(schema) else [], use_threads=False)
        with memory_map(self.path) as mapped, ipc.open_file(mapped, options=options) as reader:
            return [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]

    def _read(self, groups: list[int]) -> Any:
        from pyarrow import Table, ipc

        wanted = sorted({self._schema.get_field_index(name) for name in self.columns})  # nothing else is read
        options = ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        reader = ipc.open_file(self._stream, options=options)
        table = Table.from_batches([reader.get_batch(i) for i in groups])
        table.validate()  # buffers of a damaged file may be shorter than it says
        return table


READERS: dict[str, type[TableRows]] = {".parquet": ParquetRows, ".arrow": ArrowRows, ".feather": ArrowRows}


def is_table(source: Any) -> bool:
    """Return whether a source is the path of a table."""
    return isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() in READERS


def open_table(path: str | os.PathLike[str], columns: list[str] | None) -> TableRows:
    """Return the rows of a table."""
    return READERS[Path(path).suffix.lower()](path, columns)


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_fixed_size_list(kind))


def _width_of(kind: Any) -> int:
    return int(kind.list_size) if _is_list(kind) else 1


def _dtype_of(kind: Any, name: str) -> np.dtype[Any]:
    from pyarrow import types

    own = kind.value_type if _is_list(kind) else kind
    if types.is_boolean(own) or types.is_integer(own) or types.is_floating(own):
        return np.dtype(np.uint8) if types.is_boolean(own) else np.dtype(own.to_pandas_dtype())
    raise TypeError(f"{name} is of {kind}; every feature must be a number (columns= leaves others out)")
