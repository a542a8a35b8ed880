"""Data of extreme classification: the repository's text format, and data that are generated."""

from __future__ import annotations

import os
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.system.files import as_path, replacing
from nerva.validation import as_generator, check_integer

PIECE = 4096  # lines that are parsed at a time


def read_extreme(path: str | os.PathLike[str]) -> tuple[Any, Any]:
    """Read samples and labels in the text format of the Extreme Classification Repository; needs the extra "scipy".

    The first line holds the numbers of samples, features and labels; each other one a sample, `label,label
    feature:value feature:value ...`, without labels where it begins with a space. All are numbered from 0.

    Parameters
    ----------
    path : of the file, not compressed

    Returns (X, Y): SciPy CSR matrices, X float32 (samples, features) and Y bool (samples, labels).

    Raises ImportError without SciPy, FileNotFoundError where there is no such file, and ValueError, which names file
    and line, for what is not of the format.

    >>> from pathlib import Path
    >>> _ = Path("train.txt").write_text("2 3 4\\n0,3 0:0.5 2:1\\n 1:2\\n")
    >>> X, Y = nerva.datasets.read_extreme("train.txt")
    >>> X.toarray().tolist(), Y.toarray().astype(int).tolist()
    ([[0.5, 0.0, 1.0], [0.0, 2.0, 0.0]], [[1, 0, 0, 1], [0, 0, 0, 0]])

    K. Bhatia et al., The extreme classification repository: multi-label datasets and code, 2016.
    """
    path = as_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    with path.open(encoding="ascii", errors="replace") as file:
        n, features, labels = _head(file.readline(), path)
        rows = [_Rows(labels), _Rows(features)]
        number = 1
        while lines := list(islice(file, PIECE)):
            for line in lines:
                number += 1
                if number > n + 1 and not line.strip():
                    continue
                if number > n + 1:
                    raise ValueError(
                        f"{path}, line {number}: there are more than {n} samples, which its first line tells"
                    )
                try:
                    _take(line, *rows)
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}: {error}") from None
    if number != n + 1:
        raise ValueError(f"{path}: its first line tells of {n} samples; there are {number - 1}")
    Y, X = (one.matrix() for one in rows)
    return X, Y.astype(bool)


def write_extreme(path: str | os.PathLike[str], X: Any, Y: Any) -> None:
    """Write samples X and labels Y, SciPy sparse matrices, in the format that `read_extreme` reads.

    Raises ValueError where their rows are not as many, and OSError where the file cannot be written.
    """
    X, Y = X.tocsr(), Y.tocsr()
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"X has {X.shape[0]} samples, and Y {Y.shape[0]}")
    with replacing(path) as stream:
        stream.write(f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}\n".encode())
        for i in range(X.shape[0]):
            own, entries = slice(*Y.indptr[i : i + 2]), slice(*X.indptr[i : i + 2])
            labels = ",".join(map(str, Y.indices[own][Y.data[own] != 0]))
            pairs = zip(X.indices[entries], X.data[entries], strict=True)
            stream.write(f"{labels} {' '.join(f'{column}:{value:.9g}' for column, value in pairs)}\n".encode())


def generated_extreme(
    n: int,
    features: int,
    labels: int,
    *,
    per_sample: float = 3.0,
    words: int = 8,
    noise: int = 8,
    exponent: float = 1.0,
    seed: int = 0,
    draw: np.random.Generator | int | None = None,
) -> tuple[Any, Any]:
    """Generate samples (bags of words) with labels whose frequencies follow a power law; needs the extra "scipy".

    Label l is drawn in proportion to (l + 10)^-exponent. Each label has `words` features of its own, drawn at random; a
    sample with 1 + Poisson(per_sample - 1) labels holds about half of the words of each, and `noise` others, all with
    values from 0.5 to 1.5, then scaled to norm 1. So labels can be learned, the more so the more frequent they are.

    Parameters
    ----------
    n, features, labels : how many samples, features and labels
    per_sample : labels of a sample on average, at least 1
    words, noise : features of a label; others of a sample
    exponent : of the power law
    seed : of the words of the labels
    draw : generator or seed of the samples, so that others of the same labels can be drawn; None is `seed` + 1

    Returns (X, Y): SciPy CSR matrices, X float32 (n, features) and Y bool (n, labels).

    >>> X, Y = nerva.datasets.generated_extreme(100, 1000, 50)
    >>> X.shape, Y.shape, bool((abs(X.multiply(X).sum(axis=1) - 1) < 1e-5).all())
    ((100, 1000), (100, 50), True)
    """
    sparse = _require_scipy("generated_extreme")
    for name, value in (("n", n), ("features", features), ("labels", labels), ("words", words)):
        check_integer(value, name, least=1)
    vocabulary = np.random.default_rng(seed).integers(0, features, (labels, words), dtype=np.int32)
    rng = as_generator(seed + 1 if draw is None else draw)
    chances = np.cumsum((np.arange(labels) + 10.0) ** -exponent)
    counts = 1 + rng.poisson(max(0.0, per_sample - 1), n)
    rows = np.repeat(np.arange(n), counts)
    drawn = np.minimum(np.searchsorted(chances, rng.random(len(rows)) * chances[-1]), labels - 1)
    Y = sparse.coo_array((np.ones(len(rows), bool), (rows, drawn)), shape=(n, labels)).tocsr()
    Y.data[:] = True
    held = rng.random((len(rows), words)) < 0.5
    held[:, 0] = True
    columns = np.concatenate([vocabulary[drawn][held], rng.integers(0, features, n * noise, dtype=np.int32)])
    places = np.concatenate([np.repeat(rows, held.sum(axis=1)), np.repeat(np.arange(n), noise)])
    values = rng.uniform(0.5, 1.5, len(columns)).astype(np.float32)
    X = sparse.coo_array((values, (places, columns)), shape=(n, features)).tocsr()
    norms = np.sqrt(np.add.reduceat(np.square(X.data), X.indptr[:-1]))
    X.data /= np.repeat(norms, np.diff(X.indptr))
    return X, Y


def _require_scipy(who: str) -> Any:
    """Return scipy.sparse; raise ImportError, which names the extra, where it is missing."""
    try:
        import scipy.sparse
    except ImportError as error:
        raise ImportError(f"{who} needs SciPy: pip install 'nerva-sparse[scipy]'") from error
    return scipy.sparse


class _Rows:
    """Rows of a sparse matrix, as they are read."""

    def __init__(self, columns: int) -> None:
        self._columns, self._ends = columns, [0]
        self._indices: list[int] = []
        self._values: list[float] = []

    def add(self, indices: list[int], values: list[float], what: str) -> None:
        """Add a row; raise ValueError for a column out of range or twice, or a value that is not finite."""
        if indices and not 0 <= min(indices) <= max(indices) < self._columns:
            bad = next(index for index in indices if not 0 <= index < self._columns)
            raise ValueError(f"{what} {bad} is out of range: there are {self._columns}")
        if len(set(indices)) < len(indices):
            raise ValueError(f"a {what} stands there twice")
        if not np.isfinite(values).all():
            raise ValueError(f"the value of a {what} is not finite")
        self._indices += indices
        self._values += values
        self._ends.append(len(self._indices))

    def matrix(self) -> Any:
        """Return the rows as a matrix."""
        arrays = np.array(self._values, np.float32), np.array(self._indices, np.int32), np.array(self._ends, np.int64)
        found = _require_scipy("read_extreme").csr_array(arrays, shape=(len(self._ends) - 1, self._columns))
        found.sort_indices()
        return found


def _head(line: str, path: Any) -> npt.NDArray[np.int64]:
    parts = line.split()
    if len(parts) != 3 or not all(part.isdigit() and len(part) < 10 for part in parts):
        raise ValueError(
            f"{path}, line 1: it must hold the numbers of samples, features and labels, found {line[:60]!r}"
        )
    return np.array(list(map(int, parts)))


def _take(line: str, labels: _Rows, features: _Rows) -> None:
    first, _, rest = line.rstrip("\n").partition(" ")
    if ":" in first:
        raise ValueError("labels and features must be apart by a space; a sample without labels begins with one")
    pairs = [pair.split(":") for pair in rest.split()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("features must be feature:value")
    own = list(map(int, first.split(","))) if first else []
    labels.add(own, [1.0] * len(own), "label")
    features.add([int(column) for column, _ in pairs], [float(value) for _, value in pairs], "feature")
