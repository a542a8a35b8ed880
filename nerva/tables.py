"""Print a table: for the summary of a network, a profile and a gradient report."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,), rules: Sequence[int] = ()) -> str:
    """Return rows of cells as lines of aligned columns, two spaces apart.

    Parameters
    ----------
    rows : cells, as many in each row
    left : the columns whose cells stand to the left; the others' stand to the right
    rules : the rows below which there is a line of dashes

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
