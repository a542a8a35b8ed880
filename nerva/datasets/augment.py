"""Augmentation: images moved at random, so that no two epochs see the same ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Augment:
    """Pad every training image by its mirror image, crop it back to its size at a random place, and flip it or not.

    The padding is numpy.pad's "reflect": the edge pixels are not repeated. The crop lies anywhere in the padded image,
    each place equally likely; the flip is left to right, with probability 1/2. This is done while a batch is gathered:
    no image is copied or changed, and images are evaluated as they are. It is the augmentation of CIFAR-10 in
    S. Zagoruyko and N. Komodakis, Wide residual networks, BMVC 2016.

    Parameters
    ----------
    image_shape : (channels, height, width)
        How the features of a sample lie, the last axis fastest; for CIFAR-10 (3, 32, 32).
    padding : int
        Pixels on each side, from 0, which crops nothing, to below height and width.
    flip : bool
        Whether to flip.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or out of range; the message names it.

    Examples
    --------
    >>> Augment((3, 32, 32)).padding
    4
    >>> model.fit(X, y, augment=Augment((1, 28, 28), padding=2, flip=False))  # doctest: +SKIP
    """

    image_shape: tuple[int, int, int]
    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        demand = f"image_shape is {self.image_shape!r}; it must be (channels, height, width), three positive integers"
        if not isinstance(self.image_shape, (tuple, list)) or not all(map(_is_integer, self.image_shape)):
            raise TypeError(demand)
        if len(self.image_shape) != 3 or min(self.image_shape) < 1:
            raise ValueError(demand)
        shape = cast("tuple[int, int, int]", tuple(map(int, self.image_shape)))
        if not _is_integer(self.padding):
            raise TypeError(f"padding is {self.padding!r}; it must be an integer")
        most = min(shape[1:]) - 1
        if not 0 <= self.padding <= most:
            raise ValueError(f"padding is {self.padding}; for images of {shape[1]} x {shape[2]} it is from 0 to {most}")
        if not isinstance(self.flip, (bool, np.bool_)):
            raise TypeError(f"flip is {self.flip!r}; it must be True or False")
        for name, value in (("image_shape", shape), ("padding", int(self.padding)), ("flip", bool(self.flip))):
            object.__setattr__(self, name, value)

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """Return moves of n images, int32 (n, 3): how far the crop is from the middle, down and right, and the flip."""
        moves = np.zeros((n, 3), np.int32)
        if self.padding:
            moves[:, :2] = rng.integers(-self.padding, self.padding, (n, 2), np.int32, endpoint=True)
        if self.flip:
            moves[:, 2] = rng.integers(0, 2, n, np.int32)
        return moves


def check_augment(augment: Augment | None, features: int) -> Augment | None:
    """Return it; raise TypeError or ValueError where it is no Augment, or not for samples of so many features."""
    if augment is None:
        return None
    if not isinstance(augment, Augment):
        raise TypeError(f"augment is {augment!r}; it must be a nerva.Augment, nerva.Augment((3, 32, 32)) say")
    if math.prod(augment.image_shape) != features:
        shape, product = augment.image_shape, math.prod(augment.image_shape)
        raise ValueError(f"augment is for images of {shape}, {product} features; the network takes {features}")
    return augment


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
