"""Data augmentation: random crops and flips of training images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerva.validation import check_flag, check_integer


@dataclass(frozen=True)
class Augment:
    """Random crop with reflection padding, and random horizontal flip, of every training image.

    An image is padded as numpy.pad's "reflect" does (the edge pixels are not repeated) and cropped to its size at a
    position drawn uniformly; it is flipped left to right with probability 1/2. This happens while a mini-batch is
    gathered: no image is copied or changed, and images are evaluated as they are.

    Parameters
    ----------
    image_shape : (channels, height, width) of the features of a sample, the last axis fastest; CIFAR-10 has (3, 32, 32)
    padding : pixels on each side, from 0, for no crop, to less than height and width
    flip : whether to flip

    Raises TypeError or ValueError, which names the argument. The augmentation of CIFAR-10 in S. Zagoruyko and
    N. Komodakis, Wide residual networks, BMVC 2016.

    >>> Augment((3, 32, 32)).padding
    4
    >>> model.fit(X, y, augment=Augment((1, 28, 28), padding=2, flip=False))  # doctest: +SKIP
    """

    image_shape: tuple[int, int, int]
    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        wanted = f"image_shape is {self.image_shape!r}; it must be (channels, height, width), three positive integers"
        if not isinstance(self.image_shape, (tuple, list)):
            raise TypeError(wanted)
        try:
            shape = tuple(check_integer(n, "image_shape") for n in self.image_shape)
        except TypeError:
            raise TypeError(wanted) from None
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(wanted)
        padding, flip = check_integer(self.padding, "padding"), check_flag(self.flip, "flip")
        most = min(shape[1:]) - 1
        if not 0 <= padding <= most:
            raise ValueError(f"padding is {padding}; for images of {shape[1]} x {shape[2]} it is from 0 to {most}")
        for name, value in (("image_shape", shape), ("padding", padding), ("flip", flip)):
            object.__setattr__(self, name, value)

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """Draw moves of n images, int32 (n, 3): the offset of the crop, down and right, and whether to flip."""
        moves = np.zeros((n, 3), np.int32)
        if self.padding:
            moves[:, :2] = rng.integers(-self.padding, self.padding, (n, 2), np.int32, endpoint=True)
        if self.flip:
            moves[:, 2] = rng.integers(0, 2, n, np.int32)
        return moves


def check_augment(augment: Augment | None, features: int) -> Augment | None:
    """Return an Augment, or None, as it is; raise TypeError or ValueError if it is not for so many features."""
    if augment is None:
        return None
    if not isinstance(augment, Augment):
        raise TypeError(f"augment is {augment!r}; it must be a nerva.Augment, for example nerva.Augment((3, 32, 32))")
    if math.prod(augment.image_shape) != features:
        shape, product = augment.image_shape, math.prod(augment.image_shape)
        raise ValueError(f"augment is for images of {shape}, {product} features; the network takes {features}")
    return augment
