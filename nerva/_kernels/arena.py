"""Where the matrices of a compiled network lie in memory: those that are never needed at once may lie in one place."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Room:
    """A matrix of so many rows, needed from stage `first` to stage `last` of a step, both included."""

    rows: int
    first: int
    last: int

    def meets(self, other: "Room") -> bool:
        """Return whether both are needed at once."""
        return self.first <= other.last and other.first <= self.last


def arrange(rooms: Sequence[Room]) -> tuple[list[int], int]:
    """Return the first row of each matrix, 0 for the first of them, and the rows of all together.

    Each lies at the lowest rows that are free for as long as it is needed, the large ones first.

    >>> arrange([Room(5, 0, 3), Room(2, 1, 2), Room(3, 2, 3), Room(2, 3, 3)])
    ([0, 8, 5, 8], 10)
    """
    starts: dict[int, int] = {}
    for i in sorted(range(len(rooms)), key=lambda i: (i > 0, -rooms[i].rows)):
        taken = sorted((starts[j], starts[j] + rooms[j].rows) for j in starts if rooms[j].meets(rooms[i]))
        start = 0
        for begin, end in taken:
            if begin - start >= rooms[i].rows:
                break
            start = max(start, end)
        starts[i] = start
    return [starts[i] for i in range(len(rooms))], max(starts[i] + room.rows for i, room in enumerate(rooms))
