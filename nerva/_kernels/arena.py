"""Where the matrices of a compiled network lie in memory: those that are never needed at once may lie in one place.

A step has stages: gathering is stage 0, operation i of n is stage 1 + i, the loss stage 1 + n, and operation i in the
backward pass stage 2 n + 1 - i.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Inputs of so many features, in a network with so many weights for each, are gathered twice, not kept until the
# backward pass: of 8192 features and 164 weights each, a gather is 1.5 % of a step.
MANY_FEATURES, MANY_WEIGHTS = 4096, 128


class Matrices(NamedTuple):
    """The outputs of an operation, and the gradient by them.

    Parameters
    ----------
    rows : of both
    is_product : whether the gradient by its inputs is another matrix, and not computed in place
    in_place : whether its outputs are written over its inputs
    reads_outputs : whether the backward pass of the operation reads its outputs
    """

    rows: int
    is_product: bool
    in_place: bool
    reads_outputs: bool


@dataclass(slots=True)
class Room:
    """Memory for so many rows, needed from stage `first` to stage `last`, both included."""

    rows: int
    first: int
    last: int

    def needed_until(self, stage: int) -> None:
        """Keep the room until this stage at least."""
        self.last = max(self.last, stage)

    def meets(self, other: "Room") -> bool:
        """Return whether both are needed at once."""
        return self.first <= other.last and other.first <= self.last


class Places(NamedTuple):
    """The first rows of the outputs and of the gradients of each operation, and the rows of all together.

    The inputs begin at row 0, and unless `again` is negative, for the backward pass of the first operation at this row.
    """

    outputs: list[int]
    deltas: list[int]
    rows: int
    again: int


def gathers_again(features: int, weights: int) -> bool:
    """Return whether inputs are better gathered twice than kept, in a network with so many weights."""
    return features >= MANY_FEATURES and weights >= MANY_WEIGHTS * features


def place(features: int, matrices: Sequence[Matrices], first_trained: int, again: bool = False) -> Places:
    """Return the places of all matrices, for inputs of so many features.

    No operation before `first_trained` has a gradient. With `again`, inputs that only a product reads are gathered for
    each of its passes where that takes less memory.
    """
    rooms = [Room(features, 0, 1)]
    outputs = _output_rooms(rooms, matrices, first_trained)
    deltas = _delta_rooms(rooms, outputs, matrices, first_trained)
    starts, rows = arrange(rooms)
    second = -1
    if again and matrices[0].is_product and first_trained == 0:
        last = 2 * len(matrices) + 1
        other_starts, other_rows = arrange([Room(features, 0, 1), *rooms[1:], Room(features, last, last)])
        if other_rows < rows:
            starts, rows, second = other_starts, other_rows, other_starts[-1]
    return Places([starts[i] for i in outputs], [starts[i] for i in deltas], rows, second)


def _output_rooms(rooms: list[Room], matrices: Sequence[Matrices], first_trained: int) -> list[int]:
    """Add a room for each matrix of activations; return the number of that of each operation."""
    found, own, count = [], 0, len(matrices)
    for i, of in enumerate(matrices):
        inputs, back = own, 2 * count + 1 - i
        if not of.in_place:
            own = len(rooms)
            rooms.append(Room(of.rows, 1 + i, 1 + i))
        for number, is_read in ((inputs, True), (own, of.reads_outputs)):
            rooms[number].needed_until(back if is_read and i >= first_trained else 1 + i)
        found.append(own)
    rooms[own].needed_until(1 + count)
    return found


def _delta_rooms(
    rooms: list[Room], outputs: Sequence[int], matrices: Sequence[Matrices], first_trained: int
) -> list[int]:
    """Add a room for each gradient by activations; return the number of that of each operation."""
    count = len(matrices)
    last, found = matrices[-1], [0] * count
    own = len(rooms)
    if last.is_product and not last.reads_outputs:
        own = outputs[-1]  # the loss computes its gradient in place, and its inputs are not read again
    else:
        rooms.append(Room(last.rows, 1 + count, 1 + count))
    for i in range(count - 1, first_trained - 1, -1):
        back, found[i] = 2 * count + 1 - i, own
        rooms[own].needed_until(back)
        if matrices[i].is_product and i > first_trained:
            own = len(rooms)
            rooms.append(Room(matrices[i - 1].rows, back, back))
    return found


def arrange(rooms: Sequence[Room]) -> tuple[list[int], int]:
    """Return the first row of each room, 0 for the first of them, and the rows of all together.

    Each lies at the lowest rows that are free for as long as it is needed, the large ones first.

    >>> arrange([Room(5, 0, 3), Room(2, 1, 2), Room(3, 2, 3), Room(2, 3, 3)])
    ([0, 8, 5, 8], 10)
    """
    starts: dict[int, int] = {}
    for i in sorted(range(len(rooms)), key=lambda i: (i > 0, -rooms[i].rows)):
        start = 0
        for begin, end in sorted((starts[j], starts[j] + rooms[j].rows) for j in starts if rooms[j].meets(rooms[i])):
            if begin - start >= rooms[i].rows:
                break
            start = max(start, end)
        starts[i] = start
    return [starts[i] for i in range(len(rooms))], max(starts[i] + room.rows for i, room in enumerate(rooms))
