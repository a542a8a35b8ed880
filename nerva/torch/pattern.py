"""The CSR matrix behind two index tensors: built once, and found again at every call."""

import hashlib
import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.weak import WeakTensorKeyDictionary

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.backends.choice import ChoiceCache
from nerva.backends.cost_model import BackendChoice


class Factors(NamedTuple):
    """X (D, N) and DZ (K, N) of a backward pass: the gradient of a dense weight would be DZ X'."""

    X: Array
    DZ: Array


class Pattern:
    """The positions of the weights of a layer, checked, as the kernels want them.

    Parameters
    ----------
    indptr, indices : integer tensors (K + 1,) and (nnz,), copied
    columns : D

    Attributes: `lock` is to be held from `matrix` to the end of the product with it; `factors` is a list that every
    backward pass adds to, or None, where nobody reads them.

    Raises ValueError where the tensors are no pattern of K rows and D columns, sorted within a row.
    """

    def __init__(self, indptr: torch.Tensor, indices: torch.Tensor, columns: int) -> None:
        self.shape = (len(indptr) - 1, columns)
        self.lock = threading.Lock()
        self.factors: list[Factors] | None = None
        self._choices = ChoiceCache()
        self._matrices: dict[np.dtype[Any], CSR] = {}
        # Its memory cannot become that of another tensor, of the same address, as long as it is held here.
        self._indptr = indptr
        self._stamp = _stamp(indptr, indices)
        with torch.no_grad():
            first = CSR(self.shape, indptr.numpy(), indices.numpy(), np.zeros(len(indices), np.float32))
        self._matrices[first.dtype] = first

    def is_of(self, indptr: torch.Tensor, indices: torch.Tensor, columns: int) -> bool:
        """Whether these tensors, unchanged since, are those of the pattern."""
        return self.shape[1] == columns and self._stamp == _stamp(indptr, indices)

    def matrix(self, values: Array) -> CSR:
        """Return the CSR matrix of these values (nnz,), float32 or float64, which it copies; the lock is held."""
        W = self._matrices.get(values.dtype)
        if W is None:
            (other,) = self._matrices.values()
            W = self._matrices[values.dtype] = CSR(self.shape, other.indptr, other.indices, values)
        W.values = values
        return W

    def choice(self, batch: int, W: CSR) -> BackendChoice:
        """Return the backend of each product for such a batch, as nerva.SparseLinear's "auto"."""
        return self._choices.get("auto", *self.shape, int(W.nnz), batch, W.dtype)


def _stamp(indptr: torch.Tensor, indices: torch.Tensor) -> tuple[int, ...]:
    """Return what changes where an index tensor is written to, or gets other memory."""
    return (*_version(indptr), *_version(indices), indptr.numel(), indices.numel())


def _version(tensor: torch.Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version


_patterns: Any = WeakTensorKeyDictionary()  # by the tensor of the indices: gone where that is


def pattern_of(indptr: torch.Tensor, indices: torch.Tensor, columns: int) -> Pattern:
    """Return the pattern of two index tensors, for a matrix of so many columns."""
    pattern: Pattern | None = _patterns.get(indices)
    if pattern is None or not pattern.is_of(indptr, indices, columns):
        pattern = _patterns[indices] = Pattern(indptr, indices, columns)
    return pattern


def fingerprint(shape: tuple[int, int], indptr: npt.ArrayLike, indices: npt.ArrayLike) -> torch.Tensor:
    """Return 16 bytes, uint8, that tell patterns of weights apart."""
    digest = hashlib.blake2b(np.array(shape, "<i8").tobytes(), digest_size=16)
    for part in (indptr, indices):
        digest.update(np.ascontiguousarray(part, "<i4").tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
