"""What training and evaluation need of a network."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from nerva._kernels.memory import Array, Buffer
from nerva.losses import Loss
from nerva.parameters import Parameter


class Trainable(Protocol):
    """A network as the training loop sees it; nerva.Sequential is one.

    `classes` are the names of the classes, where the labels of the last `fit` were names; it sets them.
    `forward` and `backward` take batches as columns, (features, batch). `inputs` is a buffer for a batch to predict.
    Optional attributes are looked up: `layers`, by dynamic sparse training, whose items may have a CSR `weight`, and
    their `least_batch`, the fewest samples that a layer can be trained on; and a method `compiled(batch)`, which
    returns a `Compiled` for batches of this size, or None where it cannot.
    """

    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def rng(self) -> np.random.Generator: ...
    @property
    def inputs(self) -> Buffer: ...

    loss: Loss
    classes: tuple[str, ...] | None

    def forward(self, X: Array, *, training: bool = True) -> Array: ...
    def backward(self, DY: Array) -> None: ...
    def parameters(self) -> Sequence[Parameter]: ...
