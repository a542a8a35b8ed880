"""Plots of dynamic sparse training and of sparsity patterns. Needs matplotlib: the extra 'plot'."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nerva._kernels.csr import CSR
from nerva.models.sequential import Sequential
from nerva.pictures import COLOURS, cells
from nerva.topology import TopologyRecord
from nerva.training.curves import finished, new_figure
from nerva.training.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 64  # of a histogram, at most
PANELS = {
    "weights": ("nnz",),
    "new among them": ("churn",),
    "positions ever used": ("exploration",),
    "dropped (dashed), grown": ("dropped", "grown"),
    "neurons without weights, in (dashed), out": ("unused_inputs", "silent_outputs"),
}


def topology(
    history: History, *, layers: Sequence[int] | None = None, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Plot what each topology update did: weights, churn, exploration, dropped and grown, dead neurons; and accuracy.

    Parameters
    ----------
    history : returned by `fit(topology=...)`
    layers : the numbers of the layers to plot, as in the records; None for all
    path : a file to save the figure to, in the format of its suffix

    Raises TypeError or ValueError where there is nothing to plot, ImportError without matplotlib.

    >>> model, y = nerva.MLP([4, 8, 3], density=0.5, seed=0), np.arange(40) % 3
    >>> history = model.fit(np.eye(40, 4), y, epochs=3, topology=nerva.SET())
    >>> len(nerva.plots.topology(history).axes)
    6
    """
    records = _records(history, layers)
    figure = new_figure(9.6, 5.6)
    panels = figure.subplots(2, 3)
    for axes, (title, columns) in zip(panels.flat, PANELS.items(), strict=False):
        for i, (layer, own) in enumerate(records.items()):
            for column, style in zip(columns[::-1], ("-", "--"), strict=False):
                steps, values = [r.step for r in own], [getattr(r, column) for r in own]
                label = f"layer {layer}" if style == "-" else None
                axes.plot(steps, values, style, color=COLOURS[i % len(COLOURS)], lw=1.3, label=label)
        axes.set(title=title, xlabel="step")
    panels[0, 0].legend(fontsize=7)
    last = panels[1, 2]
    last.set(title="accuracy", xlabel="epoch")
    for i, column in enumerate(("train_accuracy", "test_accuracy")):
        points = [(r.epoch, getattr(r, column)) for r in history.epochs if getattr(r, column) is not None]
        if points:
            last.plot(*zip(*points, strict=True), color=COLOURS[i], lw=1.3, label=column.split("_")[0])
            last.legend(fontsize=7)
    return finished(figure, path)


def degrees(history: History, *, layer: int, path: str | os.PathLike[str] | None = None) -> Figure:
    """Plot fan-in and fan-out of a layer over the steps: minimum, quartiles, median and maximum.

    Parameters
    ----------
    history, path : as of `topology`
    layer : the number of the layer, as in the records

    Raises TypeError or ValueError where there is nothing to plot, ImportError without matplotlib.
    """
    ((_, records),) = _records(history, [layer]).items()
    figure = new_figure(8.0, 3.2)
    for axes, column in zip(figure.subplots(1, 2), ("fan_in", "fan_out"), strict=True):
        steps, spreads = [r.step for r in records], np.array([getattr(r, column) for r in records])
        axes.fill_between(steps, spreads[:, 0], spreads[:, 4], color=COLOURS[0], alpha=0.2, lw=0, label="all")
        axes.fill_between(steps, spreads[:, 1], spreads[:, 3], color=COLOURS[0], alpha=0.4, lw=0, label="half of them")
        axes.plot(steps, spreads[:, 2], color=COLOURS[0], lw=1.5, label="median")
        of = "an output" if column == "fan_in" else "an input"
        axes.set(title=f"layer {layer}: {column.replace('_', '-')}", xlabel="step", ylabel=f"weights of {of}", ylim=0)
        axes.legend(fontsize=7)
    return finished(figure, path)


def fans(model: Sequential, *, path: str | os.PathLike[str] | None = None) -> Figure:
    """Plot the fan-in and the fan-out of each sparse layer: how many outputs, and inputs, have so many weights.

    Parameters
    ----------
    model : a network with a sparse layer
    path : as of `topology`

    A layer drawn at random has fans around their mean; growth by gradient lets a few neurons take far more. See
    `degrees` for their course over a training run. Raises TypeError for anything but a network, ValueError for one
    without sparse layers, ImportError without matplotlib.

    >>> model = nerva.MLP([784, 100, 10], density=0.05, seed=0)
    >>> [axes.get_title() for axes in nerva.plots.fans(model).axes][:2]
    ['layer 0: fan-in, 17 to 53', 'layer 0: fan-out, 0 to 14']
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
    weights = [(i, W) for i, layer in enumerate(model.layers) if isinstance(W := getattr(layer, "weight", None), CSR)]
    if not weights:
        raise ValueError("model has no sparse layers; all outputs of a dense one have the same fans")
    figure = new_figure(8.0, 2.4 * len(weights))
    for row, (i, W) in zip(figure.subplots(len(weights), 2, squeeze=False), weights, strict=True):
        every = {"fan-in": np.diff(W.indptr), "fan-out": np.bincount(W.indices, minlength=W.shape[1])}
        for axes, (name, degrees) in zip(row, every.items(), strict=True):
            low, high = int(degrees.min()), int(degrees.max())
            edges = np.arange(low, high + 2) - 0.5  # a bar for each number, and wider ones where those are many
            axes.hist(degrees, edges if high - low < BARS else BARS, color=COLOURS[0])
            axes.axvline(degrees.mean(), color=COLOURS[1], lw=1.3, label="mean")
            of, neurons = ("an output", "outputs") if name == "fan-in" else ("an input", "inputs")
            axes.set(title=f"layer {i}: {name}, {low:,} to {high:,}", xlabel=f"weights of {of}", ylabel=neurons)
            axes.legend(fontsize=7)
    return finished(figure, path)


def pattern(weight: CSR, *, path: str | os.PathLike[str] | None = None) -> Figure:
    """Plot where the weights are: their number in each of at most 256 x 256 cells. Takes memory O(nnz).

    Parameters
    ----------
    weight : (outputs, inputs)
    path : as of `topology`

    Raises TypeError for anything but a nerva.CSR, ImportError without matplotlib.

    >>> layer = nerva.SparseLinear(784, 100, density=0.01)
    >>> nerva.plots.pattern(layer.weight).axes[0].get_title()
    '784 weights, density 0.01'
    """
    if not isinstance(weight, CSR):
        raise TypeError(f"weight is {type(weight).__name__}; it must be a nerva.CSR")
    (K, D), figure = weight.shape, new_figure(5.6, 4.6)
    counts = cells(weight)
    axes = figure.subplots()
    image = axes.imshow(counts, extent=(0, D, K, 0), aspect="auto", interpolation="nearest", cmap="viridis")
    axes.set(title=f"{weight.nnz:,} weights, density {weight.density:.3g}", xlabel="input", ylabel="output")
    figure.colorbar(image, label="weights in a cell")
    return finished(figure, path)


def _records(history: History, layers: Sequence[int] | None) -> dict[int, list[TopologyRecord]]:
    """Return the records of the layers to plot, layer by layer."""
    if not isinstance(history, History):
        raise TypeError(f"history is {type(history).__name__}; it must be what fit returned")
    if not history.topology:
        raise ValueError("history has no updates of a topology; train with fit(..., topology=...)")
    there = sorted({record.layer for record in history.topology})
    wanted = there if layers is None else list(layers)
    for layer in wanted:
        if layer not in there:
            raise ValueError(f"layer {layer!r} has no records; those with some are {', '.join(map(str, there))}")
    if not wanted:
        raise ValueError("layers is empty; it must name one at least, or be None for all")
    return {layer: [record for record in history.topology if record.layer == layer] for layer in wanted}
