"""How a compiled network spreads a mini-batch over threads: slices of the batch, and groups of slices.

Threads that outnumber the groups share the rows of a slice. Slices and groups depend on the batch and the network,
never on the number of threads, and so do the bits of the result.
"""

UNIT = 8  # samples: slices begin at multiples of it
NARROW, WIDE = 64, 128  # samples of a slice, at most
HALVED = 48  # samples of a batch above which it is at least two slices
MOST_GROUPS = 8
MOST_WEIGHTS = 1 << 18  # every slice reads all weights: more than fit a cache cost more than barriers
LEAST_SHARED = 1 << 21  # samples times weights: for less, activations take longer to far cores than is saved


def shares_rows(N: int, weights: int) -> bool:
    """Return whether all threads share the rows of every slice, for a batch of N and a network of so many weights."""
    return N <= HALVED or weights > MOST_WEIGHTS


def pays_to_share(N: int, weights: int) -> bool:
    """Return whether sharing the rows of slices is faster than one thread alone, near and far.

    Threads that share rows hand all activations to each other between operations.
    """
    return N * weights >= LEAST_SHARED


def slices_of(N: int, by_rows: bool = False) -> tuple[list[int], list[int]]:
    """Return where the slices of a batch of N begin and end, and where the groups of slices do.

    With `by_rows` slices are wide, so that the weights are read less often, and all are one group.

    >>> slices_of(100), slices_of(64)
    (([0, 48, 100], [0, 1, 2]), ([0, 32, 64], [0, 1, 2]))
    >>> slices_of(300, by_rows=True)
    ([0, 96, 200, 300], [0, 3])
    """
    units, count = -(-N // UNIT), -(-N // (WIDE if by_rows else NARROW))
    if not by_rows and N > HALVED:
        count = max(count, 2)
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
