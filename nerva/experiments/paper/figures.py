"""Figures of the report: one look for all, told apart by colour, by marker and by line, so also in print.

How a part draws one:

    figure, axes = new("seconds an epoch")        # an axes; new(..., columns=2) gives an array of two
    over_sparsity(axes, [0.5, 0.9, 0.99])         # before anything is drawn: the axis of sparsity, dense on the left
    line(axes, sparsities, medians, "nerva", low=lowest, high=highest)   # with a band from low to high
    line(axes, sparsities, others, "masked PyTorch", label="PyTorch with a mask")
    bars(axes, ["forward", "backward"], {"nerva": [1.0, 2.0], "masked PyTorch": [3.0, 4.0]})
    legend(axes)                                  # last
    Picture("time", figure, "What is to be seen, in words: it is the alternative text, too.")

Names that `SERIES` has look the same in all figures; any other gets a look of its own by `look(number)`. `svg` is for
the runner: the same figure gives the same bytes. Needs matplotlib, the extra 'compare'.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nerva.pictures import COLOURS
from nerva.training.curves import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = COLOURS
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "x")
HATCHES = ("", "///", "\\\\\\", "xxx", "---", "+++", "...")  # dots make large files
SERIES = (  # in the order of colours, lines and markers
    "nerva",
    "masked PyTorch",
    "dense PyTorch",
    "PyTorch CSR",
    "dense nerva",
    "twice masked PyTorch",
    "original",
)
SETTINGS = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so the same everywhere
    "font.size": 9.0,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "nerva",
}


def look(series: str | int) -> dict[str, Any]:
    """Return colour, line and marker of a series by its name in SERIES, or by a number.

    >>> look("masked PyTorch")
    {'color': '#d55e00', 'linestyle': '--', 'marker': 's'}
    """
    i = _number(series)
    return {"color": COLOURS[i], "linestyle": LINES[i], "marker": MARKERS[i]}


def new(
    ylabel: str = "",
    *,
    xlabel: str = "",
    rows: int = 1,
    columns: int = 1,
    width: float = 6.4,
    height: float = 3.6,
    title: str = "",
) -> tuple[Figure, Any]:
    """Return a figure of `width` x `height` inches, and its axes: one, or an array of rows x columns without ones.

    Notebooks show the figure as a picture. Raises ImportError without matplotlib.
    """
    figure = new_figure(width, height)
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        axes = figure.subplots(rows, columns)
        for each in np.ravel(axes):
            each.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return figure, axes


def over_sparsity(axes: Any, sparsities: Sequence[float]) -> None:
    """Let x be sparsity: logarithmic in density, which falls to the right, with these marks; 0 is dense."""
    from matplotlib.ticker import NullLocator

    marks = sorted({float(sparsity) for sparsity in sparsities})
    axes.set_xscale("function", functions=(_places, _sparsities))
    axes.set_xticks(marks, [percent(mark) for mark in marks], rotation=40 if len(marks) > 5 else 0)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("sparsity")


def line(
    axes: Any,
    x: Sequence[float],
    y: Sequence[float],
    series: str | int,
    *,
    label: str | None = None,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
) -> None:
    """Draw a series as a line with markers, and a band from `low` to `high`; `label` is its name unless it is given."""
    style = look(series)
    axes.plot(x, y, label=str(series) if label is None else label, lw=1.5, ms=4.5, **style)
    if low is not None and high is not None:
        axes.fill_between(x, low, high, color=style["color"], alpha=0.18, lw=0)


def bars(axes: Any, groups: Sequence[str], series: Mapping[str, Sequence[float]]) -> None:
    """Draw bars in groups: of each series a bar in every group, told apart by colour and hatching."""
    width = 0.8 / max(1, len(series))
    for i, (name, heights) in enumerate(series.items()):
        number = _number(name) if name in SERIES else i
        at = [place + (i - (len(series) - 1) / 2) * width for place in range(len(groups))]
        axes.bar(at, heights, width, label=name, color=COLOURS[number], hatch=HATCHES[number], edgecolor="white")
    axes.set_xticks(range(len(groups)), list(groups))
    axes.grid(visible=False, axis="x")


def legend(axes: Any, **settings: Any) -> None:
    """Add the legend."""
    axes.legend(**{"fontsize": 8.0, "frameon": False, "handlelength": 3.0} | settings)


def percent(sparsity: float) -> str:
    """Return a sparsity as text.

    >>> percent(0.995), percent(0.5), percent(0.0)
    ('99.5 %', '50 %', 'dense')
    """
    return f"{100 * sparsity:.6g} %" if sparsity else "dense"


def svg(figure: Figure) -> bytes:
    """Return a figure as an SVG file, the same bytes every time."""
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # a second layout would differ in the last digits
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _number(series: str | int) -> int:
    return SERIES.index(series) if isinstance(series, str) else series % len(COLOURS)


def _places(sparsity: Any) -> Any:
    return -np.log10(np.clip(1.0 - np.asarray(sparsity, float), 1e-12, None))


def _sparsities(place: Any) -> Any:
    return 1.0 - 10.0 ** -np.asarray(place, float)
