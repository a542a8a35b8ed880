"""Checkpoints of a training run by several ranks: the first one writes them, all go on from the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from nerva.layers.ranks import Ranks
from nerva.training.checkpoints import Checkpoints, read_checkpoint


class SharedCheckpoints(Checkpoints):
    """The checkpoints of a run by several ranks, in a folder that all of them see; rank 0 alone writes there.

    Parameters
    ----------
    ranks : all of which make such an object
    folder, every, resume : as of Checkpoints

    Entered, it raises what rank 0 meets on every rank. A state holds nothing of the number of ranks.
    """

    def __init__(
        self, ranks: Ranks, folder: str | os.PathLike[str], every: int | None = None, *, resume: bool = False
    ) -> None:
        super().__init__(folder, every, resume=resume)
        self._first, self._ranks = ranks.rank == 0, ranks

    def __enter__(self) -> Self:
        found: Path | Exception | None = None
        if self._first:
            try:
                super().__enter__()
                found = None if self._last is None else self._last[0]
            except (OSError, ValueError) as error:
                found = error
        found = self._ranks.shared(found)
        if isinstance(found, Exception):
            raise found
        if not self._first and found is not None:
            self._last = found, read_checkpoint(found)
        return self

    def due(self, step: int, after_epoch: bool) -> bool:
        """Return whether this rank shall write a checkpoint."""
        return self._first and super().due(step, after_epoch)

    def write(self, state: Mapping[str, Any], step: int, trusted: int = 0) -> None:
        """Write the state of a run, on rank 0; see Checkpoints.write."""
        if self._first:
            super().write(state, step, trusted)

    def set_aside(self, trusted: int) -> None:
        """Rename the checkpoints of diverged steps, on rank 0; see Checkpoints.set_aside."""
        if self._first:
            super().set_aside(trusted)
