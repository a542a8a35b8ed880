"""Choose the backend of each product of a sparse layer: what the user says, or by the costs of this machine."""

from typing import Any

import numpy as np

from nerva._kernels import mkl
from nerva.backends.calibration import costs
from nerva.backends.cost_model import FIXED, BackendChoice, choose, is_open

MOST_CHOICES = 64


def choose_backends(backend: str, K: int, D: int, nnz: int, N: int, dtype: np.dtype[Any]) -> BackendChoice:
    """Return the backend of each product of a layer with nnz weights of K x D, for a batch of N.

    Parameters
    ----------
    backend : "native", "mkl" or "dense"; or "auto", by the costs of this machine and the present number of threads,
        which are measured if they are not known and may make a difference

    Raises ValueError for another backend.

    >>> choose_backends("mkl", 512, 1024, 50_000, 100, np.dtype("float32"))
    BackendChoice(forward='mkl', input_gradient='mkl', weight_gradient='native')
    """
    if backend in FIXED:
        return FIXED[backend]
    if backend != "auto":
        raise ValueError(f"backend is {backend!r}; it must be one of auto, {', '.join(FIXED)}")
    return choose(costs(dtype), K, D, nnz, N, dtype) if is_open(K, D, nnz, N) else FIXED["native"]


class ChoiceCache:
    """The choices of one layer, made once for each batch size, number of threads and setting."""

    __slots__ = ("_choices",)

    def __init__(self) -> None:
        self._choices: dict[tuple[int, int, str], BackendChoice] = {}

    def __len__(self) -> int:
        return len(self._choices)

    def __getstate__(self) -> object:
        # Protocols 0 and 1 ask for one of a class with __slots__; later ones take this by themselves.
        return object.__getstate__(self)

    def get(self, backend: str, K: int, D: int, nnz: int, N: int, dtype: np.dtype[Any]) -> BackendChoice:
        """Return the choice that `choose_backends` makes; K, D, nnz and dtype must be the same until `clear`."""
        key = N, mkl.get_num_threads(), backend
        choice = self._choices.get(key)
        if choice is None:
            if len(self._choices) >= MOST_CHOICES:
                self.clear()
            choice = self._choices[key] = choose_backends(backend, K, D, nnz, N, dtype)
        return choice

    def clear(self) -> None:
        """Forget all choices: the layer has other weights."""
        self._choices = {}
