"""The table of a network's layers, as text and, with their patterns, as HTML for notebooks."""

from __future__ import annotations

from typing import Any

from nerva._kernels.csr import CSR
from nerva.layers import Affine
from nerva.pictures import pattern_html, table_html

HEAD = ("layer", "in", "out", "activation", "density", "weights", "bytes", "a weight")
THUMBNAIL = 64  # pixels of the longer side of a pattern


def layer_rows(model: Any) -> list[tuple[str, ...]]:
    """Return the head of the table, a row for each layer, and one of the totals."""
    rows: list[tuple[str, ...]] = [HEAD]
    for layer in model.layers:
        rows.append(
            (
                type(layer).__name__,
                f"{layer.in_features:,}",
                f"{layer.out_features:,}",
                "-" if layer.activation is None else str(layer.activation),
                f"{layer.density:.4%}" if isinstance(layer, Affine) else "-",
                f"{layer.nnz:,}" if isinstance(layer, Affine) else "-",
                f"{layer.nbytes:,}",
                _each(layer.nbytes, layer.nnz),
            )
        )
    each = _each(model.nbytes, model.nnz)
    rows.append(("total", "", "", "", f"{model.density:.4%}", f"{model.nnz:,}", f"{model.nbytes:,}", each))
    return rows


def network_html(model: Any) -> str:
    """Return a network as HTML: the table of its layers, with the patterns of the sparse ones."""
    head, *rows, total = layer_rows(model)
    weights = [getattr(layer, "weight", None) for layer in model.layers]
    pictures = [pattern_html(weight, THUMBNAIL) if isinstance(weight, CSR) else "" for weight in weights]
    shown = [(*row, picture) for row, picture in zip(rows, pictures, strict=True)]
    return f"<div>{type(model).__name__}{table_html([(*head, 'pattern'), *shown, (*total, '')], left=(0, 3))}</div>"


def _each(nbytes: int, nnz: int) -> str:
    """Return bytes per weight, for the summary."""
    return f"{nbytes / nnz:.1f}" if nnz else "-"
