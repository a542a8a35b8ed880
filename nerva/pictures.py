"""Pictures of patterns and curves as SVG and PNG, for notebooks; they need no other package."""

from __future__ import annotations

import base64
import struct
import sys
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR

CELLS = 256  # of the picture of a pattern, along each side at most
SIDE = 192  # pixels that its longer side has on the screen
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # M. Okabe and K. Ito, 2008
TINY = np.finfo(np.float64).tiny
WIDTH, HEIGHT, MARGIN = 320, 140, 34  # of a plot of curves


def cells(weight: CSR, most: int = CELLS) -> npt.NDArray[np.int64]:
    """Return the number of weights in each cell of a grid of at most `most` x `most` cells over the matrix.

    >>> cells(nerva.CSR.from_dense(np.eye(3)))
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    K, D = weight.shape
    rows, columns = min(K, most), min(D, most)
    of_row = np.repeat(np.arange(K, dtype=np.int64) * rows // K, np.diff(weight.indptr))
    of_column = weight.indices.astype(np.int64) * columns // D
    return np.bincount(of_row * columns + of_column, minlength=rows * columns).reshape(rows, columns)


def png(grey: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture of grey levels (rows, columns), 0 is black, as a PNG file.

    >>> png(np.zeros((2, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    rows, columns = grey.shape
    lines = np.zeros((rows, columns + 1), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = grey
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def pattern_html(weight: CSR, side: int = SIDE) -> str:
    """Return the picture of a pattern as an HTML element: the darker a cell, the more weights. Takes memory O(nnz).

    Parameters
    ----------
    weight : (outputs, inputs), at least one of each
    side : pixels of its longer side on the screen
    """
    counts, (K, D) = cells(weight), weight.shape
    return picture_html(counts, (K, D), f"{K} x {D}, {weight.nnz} weights", side)


def picture_html(values: npt.NDArray[Any], shape: tuple[int, int], text: str, side: int = SIDE) -> str:
    """Return a picture of values (rows, columns), none below 0, as an HTML element: the larger a value, the darker.

    Parameters
    ----------
    values : at least one; those of 0 are white
    shape : of what they are a picture of, which gives the picture its proportions
    text : what is said where the picture is not shown
    side : pixels of its longer side on the screen
    """
    grey = np.full(values.shape, 255, np.uint8)
    # What is least can be told from nothing.
    grey[values > 0] = (176 - 176 * (values[values > 0] / max(values.max(), TINY))).astype(np.uint8)
    rows, columns = shape
    width, height = (max(ceil(side * n / max(shape)), 8) for n in (columns, rows))
    data = base64.b64encode(png(grey)).decode()
    style = f"width:{width}px;height:{height}px;image-rendering:pixelated;border:1px solid #888;background:#fff"
    return f'<img style="{style}" alt="{escape(text)}" src="data:image/png;base64,{data}">'


def csr_html(weight: CSR) -> str:
    """Return a CSR matrix as HTML: shape, weights, density and its pattern."""
    K, D = weight.shape
    text = f"CSR {K:,} x {D:,}, {weight.nnz:,} weights, density {weight.density:.3g}, {weight.dtype.name}"
    picture = pattern_html(weight) if K and D else ""
    return f"<div>{text}<br/>{picture}</div>"


def table_html(rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)) -> str:
    """Return rows of cells, the first of them the head, as an HTML table; cells that begin with "<img" are pictures."""
    lines = []
    for i, row in enumerate(rows):
        kind = "td" if i else "th"
        sides = ("left" if j in left else "right" for j in range(len(row)))
        shown = (cell if cell.startswith("<img") else escape(cell) for cell in row)
        lines.append("".join(f'<{kind} style="text-align:{s}">{c}</{kind}>' for s, c in zip(sides, shown, strict=True)))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def curves_svg(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return curves by name, each of points (x, y), as an SVG element; points that are not finite are left out.

    >>> curves_svg("loss", {"train": [(1, 0.5), (2, 0.25)]})[:4]
    '<svg'
    """
    kept = {name: [p for p in points if all(map(isfinite, p))] for name, points in curves.items()}
    points = [p for own in kept.values() for p in own]
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="10">'
    parts = [
        head,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="4" y="12">{escape(title)}</text>',
    ]
    if points:
        (left, right), (low, high) = ((min(values), max(values)) for values in zip(*points, strict=True))
        across, up = (WIDTH - MARGIN - 8) / ((right - left) or 1), (HEIGHT - MARGIN - 8) / ((high - low) or 1)
        places = {
            name: [(MARGIN + (x - left) * across, HEIGHT - 16 - (y - low) * up) for x, y in own]
            for name, own in kept.items()
            if own
        }
        for value, y in ((high, HEIGHT - 16 - (high - low) * up), (low, HEIGHT - 16.0)):
            parts.append(f'<text x="{MARGIN - 4}" y="{y:.1f}" text-anchor="end">{value:.3g}</text>')
        for value, x in ((left, MARGIN), (right, WIDTH - 8)):
            parts.append(f'<text x="{x}" y="{HEIGHT - 3}" text-anchor="middle">{value:g}</text>')
        for i, (name, own) in enumerate(places.items()):
            colour = COLOURS[i % len(COLOURS)]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in own)
            dot = f'<circle cx="{own[-1][0]:.1f}" cy="{own[-1][1]:.1f}" r="2" fill="{colour}"/>'
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.3"/>{dot}')
            parts.append(
                f'<text x="{WIDTH - 8 - 60 * i}" y="12" text-anchor="end" fill="{colour}">{escape(name)}</text>'
            )
    return "".join([*parts, "</svg>"])


def show_in_notebooks() -> None:
    """Let notebooks show CSR matrices by `csr_html`; a compiled class is told to IPython, where that is running."""
    formatter = notebook_formatter("text/html")
    if formatter is not None:
        formatter.for_type(CSR, csr_html)


def notebook_formatter(kind: str) -> Any:
    """Return what shows objects as a MIME type in a notebook, None where IPython is not running."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    formatter = getattr(shell, "display_formatter", None)
    return None if formatter is None else formatter.formatters[kind]
