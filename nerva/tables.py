"""Format a table as text: the summary of a network, a profile, a gradient report."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,), rules: Sequence[int] = ()) -> str:
    """Return rows of cells as lines of aligned columns, two spaces apart, without trailing spaces.

    Parameters
    ----------
    rows : the cells, the same number in each row
    left : indices of the columns that are left-aligned; the others are right-aligned
    rules : indices of the rows that are followed by a line of dashes

    Raises ValueError for rows of different lengths.

    >>> print(table([("layer", "nnz"), ("0 Linear", "12")], rules=[0]))
    layer     nnz
    -------------
    0 Linear   12
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for i, row in enumerate(rows):
        cells = (
            cell.ljust(width) if j in left else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
        if i in rules:
            lines.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)
