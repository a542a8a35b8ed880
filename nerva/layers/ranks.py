"""What layers need of the processes (ranks) that train one network together."""

from collections.abc import Callable
from typing import Any, Protocol

from nerva._kernels.memory import Array


class Ranks(Protocol):
    """The processes that train copies of one network, each on its part of every batch; `rank` is this one's number.

    What these methods return has the same bits on every rank. All ranks must call them in the same order.
    """

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...

    def sum(self, numbers: Array, kind: str) -> Array:
        """Return the sum over the ranks of a vector; its bytes are counted as of this `kind`."""
        ...

    def start_sum(self, vector: Array) -> Callable[[], object]:
        """Begin to sum a vector over the ranks, in place; what is returned waits for the end."""
        ...

    def columns(self, matrix: Array, kind: str) -> Array:
        """Return the matrices (rows, batch) of all ranks side by side, in a new one."""
        ...

    def shared(self, thing: Any) -> Any:
        """Return what rank 0 gives, on every rank."""
        ...
