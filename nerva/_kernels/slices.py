"""How a compiled network spreads a mini-batch over threads: slices of the batch, and groups of slices.

Threads that outnumber the groups share the rows of a slice. Slices and groups depend on the batch and the network,
never on the number of threads, and so do the bits of the result.
"""

UNIT = 8  # samples: slices begin at multiples of it
NARROW, WIDE = 64, 128  # samples of a slice, at most
MOST_GROUPS = 8
MOST_WEIGHTS = 1 << 18  # every slice reads all weights: more than fit a cache cost more than barriers


def shares_rows(N: int, weights: int) -> bool:
    """Return whether all threads share the rows of every slice, for a batch of N and a network of so many weights."""
    return N <= NARROW or weights > MOST_WEIGHTS


def slices_of(N: int, by_rows: bool = False) -> tuple[list[int], list[int]]:
    """Return where the slices of a batch of N begin and end, and where the groups of slices do.

    With `by_rows` slices are wide, so that the weights are read less often, and all are one group.

    >>> slices_of(100)
    ([0, 48, 100], [0, 1, 2])
    >>> slices_of(300, by_rows=True)
    ([0, 96, 200, 300], [0, 3])
    """
    units, count = -(-N // UNIT), -(-N // (WIDE if by_rows else NARROW))
    columns = [min(units * s // count * UNIT, N) for s in range(count + 1)]
    groups = 1 if by_rows else min(count, MOST_GROUPS)
    return columns, [count * g // groups for g in range(groups + 1)]


def row_stride(n: int, itemsize: int) -> int:
    """Return the elements from row to row of activations (features, n), in whole cache lines.

    Those of a single sample are contiguous, but in bfloat16, of which kernels store whole lines; and rows a multiple of
    1024 bytes apart would compete for the same few sets of a cache.

    >>> [row_stride(n, 4) for n in (1, 2, 100)], row_stride(128, 8), row_stride(1, 2)
    ([1, 16, 112], 136, 32)
    """
    line = 64 // itemsize
    padded = -(-n // line) * line
    return 1 if n == 1 and itemsize > 2 else padded if padded * itemsize % 1024 else padded + line
