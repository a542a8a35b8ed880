"""The input map: how many weights each input of a network has, and how much they weigh, as a picture of the inputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR
from nerva.layers import LAYERS, Affine
from nerva.pictures import COLOURS, picture_html, table_html
from nerva.training.curves import finished, new_figure
from nerva.validation import check_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPES = "features, height and width, or channels, height and width"


class Network(Protocol):
    """What is needed of a network: nerva.Sequential has it."""

    @property
    def layers(self) -> Sequence[Any]: ...
    @property
    def in_features(self) -> int: ...


@dataclass(frozen=True, eq=False)
class InputMap:
    """The weights of each input in the first linear layer of a network.

    Attributes
    ----------
    weights : int64, in the shape asked for; how many weights leave the input (its fan-out)
    strength : float64, in the same shape; the sum of their absolute values

    A notebook shows it as two pictures, the darker the more, with the channels of an image added up.
    """

    weights: npt.NDArray[np.int64]
    strength: npt.NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the inputs."""
        return self.weights.shape

    @property
    def unused(self) -> int:
        """The number of inputs without a weight."""
        return int(np.count_nonzero(self.weights == 0))

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"InputMap({shape} inputs, {int(self.weights.sum()):,} weights, {self.unused:,} inputs without any)"

    def plot(self, *, path: str | os.PathLike[str] | None = None) -> Figure:
        """Plot weights and strength, images as images with their channels added up, and return the matplotlib.Figure.

        Parameters
        ----------
        path : a file to save the figure to, in the format of its suffix

        Raises ImportError without matplotlib.
        """
        figure = new_figure(8.0, 3.6)
        for axes, (title, values) in zip(figure.subplots(1, 2), self._flat().items(), strict=True):
            axes.set(title=title)
            if len(self.shape) == 1:
                axes.stairs(values[0], np.arange(self.shape[0] + 1) - 0.5, color=COLOURS[0], fill=True)
                axes.set(xlabel="input", ylim=(0, None))
            else:
                image = axes.imshow(values, interpolation="nearest", cmap="viridis", vmin=0)
                figure.colorbar(image)
        return finished(figure, path)

    def _flat(self) -> dict[str, npt.NDArray[Any]]:
        """Return both, by the titles of their pictures, as matrices: channels added up, features in one row."""
        both = {"weights of an input": self.weights, "sum of their absolute values": self.strength}
        if len(self.shape) == 3:
            return {title: values.sum(axis=0) for title, values in both.items()}
        return {title: np.atleast_2d(values) for title, values in both.items()}

    def _repr_html_(self) -> str:
        """Return what notebooks show."""
        flat = self._flat()
        # Weights that are not finite, of a training that diverged, have no place between white and black.
        shown = [np.where(np.isfinite(values), values, 0) for values in flat.values()]
        pictures = [picture_html(v, (v.shape[0], v.shape[1]), t) for t, v in zip(flat, shown, strict=True)]
        return f"<div>{self!r}{table_html([list(flat), pictures], left=(0, 1))}</div>"


def input_map(model: Network, shape: Sequence[int] | None = None) -> InputMap:
    """Return how many weights each input has in the first linear layer, and the sum of their absolute values.

    Parameters
    ----------
    shape : of the inputs, the last axis fastest: (height, width), or (channels, height, width) as nerva.datasets has
        them; None is one row of features

    Dynamic sparse training moves weights to the inputs that matter, which the map shows. Layers before the first linear
    one, such as batch normalization, are passed over. Takes time and memory O(nnz + D). Raises TypeError or ValueError
    for a shape of other inputs than the network's, TypeError where one of your own layers stands first.

    >>> W = nerva.CSR.from_dense(np.array([[0.5, 0, 0, 1], [-2, 0, 0, 0]]))
    >>> model = nerva.Sequential([nerva.SparseLinear(4, 2, weight=W)])
    >>> model.input_map((2, 2))
    InputMap(2 x 2 inputs, 3 weights, 2 inputs without any)
    >>> model.input_map((2, 2)).strength
    array([[2.5, 0. ],
           [0. , 1. ]])
    """
    wanted = _check_inputs(shape, model.in_features)
    W, D = _first_weight(model.layers), model.in_features
    if isinstance(W, CSR):
        weights = np.bincount(W.indices, minlength=D)
        strength = np.asarray(np.bincount(W.indices, np.abs(W.values), minlength=D), np.float64)
    else:
        weights, strength = np.full(D, len(W), np.int64), np.abs(W).sum(axis=0, dtype=np.float64)
    return InputMap(weights.reshape(wanted), strength.reshape(wanted))


def _check_inputs(shape: Any, features: int) -> tuple[int, ...]:
    """Return the shape of so many inputs as a tuple."""
    if shape is None:
        return (features,)
    if not isinstance(shape, Sequence) or isinstance(shape, (str, bytes)):
        raise TypeError(f"shape is {shape!r}; it must be positive integers, {SHAPES}")
    sizes = tuple(check_integer(n, "shape") for n in shape)
    if not 1 <= len(sizes) <= 3 or min(sizes) < 1:
        raise ValueError(f"shape is {shape!r}; it must be positive integers, {SHAPES}")
    if prod(sizes) != features:
        raise ValueError(f"shape is {shape!r}, of {prod(sizes)} inputs; the network has {features}")
    return sizes


def _first_weight(layers: Sequence[Any]) -> Any:
    """Return the weights of the first linear layer, a CSR or an array (K, D)."""
    for i, layer in enumerate(layers):
        if isinstance(layer, Affine):
            return layer.weight
        if type(layer) not in LAYERS.values():
            raise TypeError(f"layers[{i}] is {type(layer).__name__}; only what nerva's layers do with inputs is known")
    raise TypeError("the network has no linear layer, and so no weights of its inputs")
