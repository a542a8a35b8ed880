"""Sparse samples in svmlight's text format: a line a sample, `label feature:value feature:value ...`."""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerva.datasets.chunked import Chunked
from nerva.datasets.sources import CSRRows
from nerva.validation import check_flag, check_integer

PIECE = 1 << 24  # bytes of text parsed at a time


def svmlight(
    path: str | os.PathLike[str],
    *,
    features: int | None = None,
    zero_based: bool | None = None,
    in_memory: bool = True,
    chunk: int | None = None,
    window: int | None = None,
) -> tuple[Any, NDArray[Any]]:
    """Read samples and labels of a file in svmlight's (libsvm's) text format; needs the extra "sklearn".

    Parameters
    ----------
    path : of the file, not compressed
    features : the number of features, as of another file of the same data; None is that of the largest in the file
    zero_based : whether the first feature is number 0; None is where any feature is
    in_memory : False reads all lines once, for the labels, and parses the samples anew in every epoch
    chunk, window : as of Chunked, where the samples are not in memory

    Returns (X, y): X a SciPy CSR matrix of float32 (n, features), or Chunked; y the labels, int64 (n,) where they are
    whole numbers, with -1 and 1 as 0 and 1, and float64 (n,) otherwise.

    Raises ImportError without scikit-learn, FileNotFoundError where there is no such file, TypeError or ValueError,
    which names the file or the argument, for what cannot be read.

    >>> from pathlib import Path
    >>> _ = Path("a.svm").write_text("-1 1:0.5 3:2\\n1 2:1\\n")
    >>> X, y = svmlight("a.svm")
    >>> X.toarray().tolist(), y.tolist()
    ([[0.5, 0.0, 2.0], [0.0, 1.0, 0.0]], [0, 1])
    """
    if features is not None:
        check_integer(features, "features", least=1)
    if zero_based is not None:
        check_flag(zero_based, "zero_based")
    if check_flag(in_memory, "in_memory"):
        for name, given in (("chunk", chunk), ("window", window)):
            if given is not None:
                raise ValueError(f"{name} is {given}, but in_memory is True: the samples are read at once")
    rows = SvmlightRows(path, features, zero_based)
    X: Any
    if in_memory:
        from scipy.sparse import csr_matrix

        indices, data = rows.entries(0, len(rows))
        X = csr_matrix((data, indices, rows.indptr), shape=rows.shape)
    else:
        X = Chunked(rows, chunk=chunk, window=window)
    return X, _labels(rows.labels)


class SvmlightRows(CSRRows):
    """The samples of a file in svmlight's format, parsed when they are asked for: read as CSRRows are.

    Parameters and errors: as of `svmlight`. `labels` are those of the file, float64 (n,). Where each sample begins, in
    the file and among the entries, is in memory: 16 bytes a sample.
    """

    def __init__(self, path: str | os.PathLike[str], features: int | None, zero_based: bool | None) -> None:
        self.path, self._given = os.path.abspath(path), (features, zero_based)
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        labels, lengths, begins, self._end = [], [], [], 0
        least, most = 0 if zero_based else 1, 0
        for at, text in self._pieces():
            X, y = self._parse(text, None)
            labels.append(y)
            lengths.append(np.diff(X.indptr))
            begins.append(at + _begins(text))
            if len(begins[-1]) != len(y):
                raise ValueError(f"{path}: has {len(begins[-1])} lines with samples, of which {len(y)} can be read")
            if X.nnz:
                least, most = min(least, int(X.indices.min())), max(most, int(X.indices.max()))
        if not labels:
            raise ValueError(f"{path}: holds no samples")
        self.labels = np.concatenate(labels)
        self._begins = np.append(np.concatenate(begins), self._end)
        self.indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        self._shift = 0 if zero_based or (zero_based is None and least == 0) else 1
        if self._shift and least == 0:
            raise ValueError(f"{path}: has a feature 0; zero_based is False, where they begin with 1")
        found = most + 1 - self._shift
        if features is not None and found > features:
            raise ValueError(f"{path}: has {found} features; features is {features}")
        self.shape = (len(self.labels), max(features or found, 1))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the entries, float32."""
        return np.dtype(np.float32)

    def entries(self, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the features and values of the entries of samples first to last - 1."""
        begin, end = int(self._begins[first]), int(self._begins[last])
        text = os.pread(self._descriptor, end - begin, begin)
        while len(text) < end - begin:
            more = os.pread(self._descriptor, end - begin - len(text), begin + len(text))
            if not more:
                raise EOFError(f"the file ends at byte {begin + len(text):,}: it was cut short after it was opened")
            text += more
        X, _ = self._parse(text, self.shape[1] + self._shift)
        if X.nnz != self.indptr[last] - self.indptr[first] or X.shape[0] != last - first:
            raise ValueError("they have other entries than when the file was opened: it has changed")
        return X.indices - self._shift, X.data

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield where whole lines begin, and these."""
        at = 0
        while text := os.pread(self._descriptor, PIECE, at):
            cut = text.rfind(b"\n") + 1
            while cut == 0 and (more := os.pread(self._descriptor, PIECE, at + len(text))):
                text += more
                cut = text.rfind(b"\n") + 1
            text = text[:cut] if cut else text
            if len(_begins(text)):
                yield at, text
            at += len(text)
            self._end = at

    def _parse(self, text: bytes, features: int | None) -> tuple[Any, NDArray[np.float64]]:
        """Return the samples and labels of some lines."""
        try:
            from sklearn.datasets import load_svmlight_file
        except ImportError:
            raise ImportError("svmlight needs scikit-learn: pip install 'nerva-sparse[sklearn]'") from None
        try:
            X, y = load_svmlight_file(io.BytesIO(text), n_features=features, dtype=np.float32, zero_based=True)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{self.path}: is not in svmlight's format ({error})") from error
        return X, y.astype(np.float64)

    def __reduce__(self) -> tuple[Any, ...]:
        return SvmlightRows, (self.path, *self._given)


def _begins(text: bytes) -> NDArray[np.int64]:
    """Return where the lines with samples begin: neither empty ones, nor those of a comment alone."""
    starts, at = [], 0
    for line in text.splitlines(keepends=True):
        if line.split(b"#", 1)[0].strip():
            starts.append(at)
        at += len(line)
    return np.array(starts, np.int64)


def _labels(y: NDArray[np.float64]) -> NDArray[Any]:
    """Return labels that are whole numbers as int64, -1 and 1 as 0 and 1; others as they are."""
    if not np.isfinite(y).all() or (y != np.trunc(y)).any():
        return y
    found = y.astype(np.int64)
    return (found + 1) // 2 if set(np.unique(found).tolist()) == {-1, 1} else found
