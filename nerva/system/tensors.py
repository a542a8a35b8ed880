"""Arrays and JSON in one file of the safetensors layout, with a hash of each array: nothing in it can be executed.

The layout is eight bytes with the length of a JSON header, the header, and the bytes of the arrays one after the other.
The header names dtype, shape and place of every array. Under "__metadata__" it has, as strings, "nerva", the JSON that
goes with the arrays, "sha256", a hash of each of them, and "digest", one of all that.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nerva.system.files import as_path, replacing

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # bytes, as the safetensors package has it
MOST_DIMENSIONS = 32
ZIP = b"PK\x03\x04"  # with which an .npz file begins

Arrays = Mapping[str, NDArray[Any]]


def write_tensors(path: str | os.PathLike[str], arrays: Arrays, metadata: Any) -> None:
    """Write arrays by name, and what JSON can hold, to a file: whole or not at all (see nerva.system.files.replacing).

    Raises TypeError for an array of another dtype than the layout has, OSError where the file cannot be written.

    >>> write_tensors("a.safetensors", {"x": np.arange(3)}, {"epoch": 7})
    >>> read_tensors("a.safetensors")
    ({'x': array([0, 1, 2])}, {'epoch': 7})
    """
    kept, entries = _entries(arrays)
    text = json.dumps(metadata)
    hashes = {name: hashlib.sha256(_bytes(kept[name])).hexdigest() for name in entries}
    about = {"nerva": text, "sha256": json.dumps(hashes), "digest": _digest(entries, hashes, text)}
    _write(path, kept, entries, about)


def write_plain_tensors(path: str | os.PathLike[str], arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """Write arrays by name, and texts by name, to a file for others: without hashes; see `write_tensors`."""
    kept, entries = _entries(arrays)
    _write(path, kept, entries, metadata)


def _entries(arrays: Arrays) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays as a file holds them, and their entries in its header, in the order of their bytes."""
    kept = {name: _plain(name, array) for name, array in arrays.items()}
    entries, start = {}, 0
    # Large items first, so that all are aligned where the file is mapped into memory.
    for name in sorted(kept, key=lambda name: (-kept[name].itemsize, name)):
        end = start + kept[name].nbytes
        shape = list(kept[name].shape)
        entries[name] = {"dtype": NAMES[kept[name].dtype], "shape": shape, "data_offsets": [start, end]}
        start = end
    return kept, entries


def _write(path: str | os.PathLike[str], kept: Arrays, entries: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    header = json.dumps({"__metadata__": metadata, **entries}).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > LONGEST_HEADER:
        raise ValueError(f"{os.fspath(path)}: a header of {len(header):,} bytes is longer than the layout allows")
    with replacing(path) as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for name in entries:
            stream.write(_bytes(kept[name]))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], Any]:
    """Return the arrays of a file of `write_tensors`, each compared with its hash, and the JSON.

    No more memory is taken than the file is long. Raises FileNotFoundError if there is no such file, ValueError, which
    names it, where it is cut short, changed, or of another kind.
    """
    path = as_path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    try:
        with open(path, "rb") as stream:
            return _read(stream)
    except (ValueError, RecursionError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None


def is_tensors(path: Path) -> bool:
    """Return whether a file begins as one of the safetensors layout, nerva's or not."""
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return length <= LONGEST_HEADER and stream.read(1) == b"{"


def _read(stream: IO[bytes]) -> tuple[dict[str, NDArray[Any]], Any]:
    found = os.fstat(stream.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a file")
    first = stream.read(8)
    length = int.from_bytes(first, "little")
    rest = found.st_size - 8 - length
    if len(first) < 8 or rest < 0 or length > LONGEST_HEADER:
        if first.startswith(ZIP):
            raise ValueError("not of the safetensors layout, but a zip: nerva.load_weights reads one of save_weights")
        raise ValueError("cut short, or not of the safetensors layout")
    header = _json(stream.read(length))
    about = header.pop("__metadata__", None) if isinstance(header, dict) else None
    if not isinstance(about, dict) or not {"nerva", "sha256", "digest"} <= about.keys():
        raise ValueError("its header is not that of a file of nerva")
    if not all(isinstance(about[name], str) for name in ("nerva", "sha256", "digest")):
        raise ValueError("its header is not that of a file of nerva")
    _check_entries(header, rest)
    hashes = _json(about["sha256"])
    if not isinstance(hashes, dict) or hashes.keys() != header.keys():
        raise ValueError("its hashes are not those of its arrays")
    if _digest(header, hashes, about["nerva"]) != about["digest"]:
        raise ValueError("its header has been changed")
    arrays = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        array = np.empty(entry["shape"], DTYPES[entry["dtype"]])
        if stream.readinto(_bytes(array)) != array.nbytes:  # type: ignore[attr-defined]
            raise ValueError(f"cut short within {name}")
        if hashlib.sha256(_bytes(array)).hexdigest() != hashes[name]:
            raise ValueError(f"{name} has been changed: its hash is another one")
        arrays[name] = array
    return arrays, _json(about["nerva"])


def _check_entries(entries: dict[str, Any], size: int) -> None:
    """Raise ValueError where arrays are not described rightly, or do not fill so many bytes, without gap or overlap."""
    for name, entry in entries.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"{name} is not described rightly")
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
            raise ValueError(f"{name} is of dtype {entry['dtype']!r:.40}, which is unknown")
        if not _are_counts(entry["shape"]) or len(entry["shape"]) > MOST_DIMENSIONS:
            raise ValueError(f"{name} has no shape")
        if not _are_counts(entry["data_offsets"]) or len(entry["data_offsets"]) != 2:
            raise ValueError(f"{name} has no place")
        first, end = entry["data_offsets"]
        if prod(entry["shape"]) * np.dtype(DTYPES[entry["dtype"]]).itemsize != end - first:
            raise ValueError(f"{name} of shape {entry['shape']} does not take {end - first:,} bytes")
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["data_offsets"][0] != end:
            raise ValueError(f"{name} does not follow the array before it")
        end = entry["data_offsets"][1]
    if end != size:
        raise ValueError(f"its arrays take {end:,} bytes; it has {size:,}, so it is cut short or too long")


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**63 for number in value)


def _json(text: bytes | str) -> Any:
    """Return the value of a JSON text; raise ValueError where it is none, or names something twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("its JSON has a name twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its JSON is broken ({error})") from None


def _digest(entries: Mapping[str, Any], hashes: Mapping[str, Any], text: str) -> str:
    """Return a hash of names, dtypes, shapes and hashes of the arrays and of the text that goes with them."""
    about = [[name, entries[name]["dtype"], entries[name]["shape"], hashes[name]] for name in sorted(entries)]
    return hashlib.sha256(json.dumps([about, text]).encode()).hexdigest()


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in C order and little-endian; raise TypeError for a dtype that the layout lacks."""
    plain = np.asarray(array, order="C")
    if plain.dtype.byteorder == ">":
        plain = plain.astype(plain.dtype.newbyteorder("<"))
    if plain.dtype not in NAMES:
        raise TypeError(f"{name} has dtype {plain.dtype}; a file takes {', '.join(DTYPES.values())}")
    return plain


def _bytes(array: NDArray[Any]) -> memoryview:
    """Return the memory of an array in C order as bytes."""
    return array.reshape(-1).view(np.uint8).data
