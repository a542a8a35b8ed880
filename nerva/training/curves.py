"""Figures of training runs. Needs matplotlib: the extra 'plot'."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nerva.pictures import COLOURS, notebook_formatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]


def plot_curves(panels: Mapping[str, Mapping[str, Points]], path: str | os.PathLike[str] | None) -> Figure:
    """Return a figure with a panel for each title, of curves by name over the epochs, saved where there is a path.

    Raises ImportError without matplotlib.
    """
    figure = new_figure(4.0 * len(panels), 3.0)
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.set(title=title, xlabel="epoch")
        for i, (name, points) in enumerate(curves.items()):
            if points:
                axes.plot(*zip(*points, strict=True), color=COLOURS[i % len(COLOURS)], lw=1.3, label=name)
                axes.legend(fontsize=7)
    return finished(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches; raise ImportError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'nerva-sparse[plot]'") from None
    formatter = notebook_formatter("image/png")
    if formatter is not None and Figure not in formatter:  # which only pyplot would tell it
        formatter.for_type(Figure, _png)
    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def finished(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Return the figure, saved where there is a path."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(9)
    if path is not None:
        figure.savefig(path)
    return figure
