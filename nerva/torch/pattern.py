"""The CSR matrix behind two index tensors: built once, and found again at every call."""

import hashlib
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.weak import WeakTensorKeyDictionary

from nerva._kernels.chain import Chain
from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva._kernels.mkl import get_num_threads
from nerva._kernels.operations import IDENTITY
from nerva.backends.choice import MOST_CHOICES, ChoiceCache
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
        self._chains: dict[np.dtype[Any], Chain] = {}
        self._passes: dict[tuple[int, int, torch.dtype], tuple[Chain | None]] = {}
        self._matrices: dict[np.dtype[Any], CSR] = {}
        # Its memory cannot become that of another tensor, of the same address, as long as it is held here.
        self._indptr = indptr
        self._stamp = _stamp(indptr, indices)
        with torch.no_grad():
            first = CSR(self.shape, indptr.numpy(), indices.numpy(), np.zeros(len(indices), np.float32))
        self._matrices[first.dtype] = first

    def is_of(self, indptr: torch.Tensor, indices: torch.Tensor, columns: int) -> bool:
        """Whether these tensors, unchanged since, are those of the pattern."""
        own = self._stamp
        return (
            self.shape[1] == columns
            and own[0] == indptr.data_ptr()
            and own[2] == indices.data_ptr()
            and own[4] == indptr.numel()
            and own[5] == indices.numel()
            and own[1] == _version(indptr)
            and own[3] == _version(indices)
        )

    def matrix(self, values: Array) -> CSR:
        """Return the CSR matrix of these values (nnz,), float32 or float64, which it copies; the lock is held."""
        W = self._of(values.dtype)
        W.values = values
        return W

    def _of(self, dtype: np.dtype[Any]) -> CSR:
        """Return the matrix of a dtype, whatever its values; the lock is held."""
        W = self._matrices.get(dtype)
        if W is None:
            (other,) = self._matrices.values()
            W = self._matrices[dtype] = CSR(self.shape, other.indptr, other.indices, np.zeros(other.nnz, dtype))
        return W

    def structure(self, dtype: torch.dtype) -> CSR:
        """Return a matrix of the pattern whose values are not to be read."""
        with self.lock:
            return self._of(np.dtype(str(dtype).removeprefix("torch.")))

    def chain(self, batch: int, dtype: torch.dtype) -> Chain | None:
        """Return the pass of the layer alone; None for no samples, and where not all of nerva's products cost least."""
        key = batch, get_num_threads(), dtype
        found = self._passes.get(key)
        if found is None:
            if len(self._passes) >= MOST_CHOICES:
                self._passes.clear()
            found = self._passes[key] = self._pass(batch, np.dtype(str(dtype).removeprefix("torch.")))
        return found[0]

    def _pass(self, batch: int, dtype: np.dtype[Any]) -> tuple[Chain | None]:
        with self.lock:
            W = self._of(dtype)
            native = batch > 0 and set(self.choice(batch, W)) == {"native"}
            if native and dtype not in self._chains:
                self._chains[dtype] = Chain([W], [IDENTITY])
        return (self._chains[dtype] if native else None,)

    def choice(self, batch: int, W: CSR) -> BackendChoice:
        """Return the backend of each product for such a batch, as nerva.SparseLinear's "auto"."""
        return self._choices.get("auto", *self.shape, int(W.nnz), batch, W.dtype)


def _stamp(indptr: torch.Tensor, indices: torch.Tensor) -> tuple[int, ...]:
    """Return what changes where an index tensor is written to, or gets other memory."""
    tensors = indptr, indices
    where = (each for tensor in tensors for each in (tensor.data_ptr(), _version(tensor)))
    return (*where, *(tensor.numel() for tensor in tensors))


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


_patterns: Any = WeakTensorKeyDictionary()  # by the tensor of the indices: gone where that is
_recent: dict[int, tuple[weakref.ref[torch.Tensor], Pattern]] = {}  # the same by id, which is faster


def pattern_of(indptr: torch.Tensor, indices: torch.Tensor, columns: int) -> Pattern:
    """Return the pattern of two index tensors, for a matrix of so many columns."""
    found = _recent.get(id(indices))
    if found is not None and found[0]() is indices and found[1].is_of(indptr, indices, columns):
        return found[1]
    pattern: Pattern | None = _patterns.get(indices)
    if pattern is None or not pattern.is_of(indptr, indices, columns):
        pattern = _patterns[indices] = Pattern(indptr, indices, columns)
    key = id(indices)
    _recent[key] = weakref.ref(indices, _forgets(key)), pattern
    return pattern


def _forgets(key: int) -> Callable[[object], None]:
    """Return what is called when the tensor is gone: it looks nothing up, as when Python ends."""
    pop = _recent.pop

    def forget(_: object) -> None:
        pop(key, None)

    return forget


def fingerprint(shape: tuple[int, int], indptr: npt.ArrayLike, indices: npt.ArrayLike) -> torch.Tensor:
    """Return 16 bytes, uint8, that tell patterns of weights apart."""
    digest = hashlib.blake2b(np.array(shape, "<i8").tobytes(), digest_size=16)
    for part in (indptr, indices):
        digest.update(np.ascontiguousarray(part, "<i4").tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
