"""The mini-batches of the experiments: of one seed the same for every framework, augmented samples bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.datasets import Augment
from nerva.datasets.dataset import Split
from nerva.experiments.paper.protocol import IMAGE
from nerva.training.batches import Batches
from nerva.training.samples import Samples


def order_rng(seed: int) -> np.random.Generator:
    """Return the generator of the order of samples and of their augmentation, for all epochs of a seed."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 2])))


def augmentation(augment: bool) -> Augment | None:
    """Return how images are moved; None where they are not."""
    return Augment(IMAGE) if augment else None


def batches(
    split: Split, batch_size: int, rng: np.random.Generator, augment: bool, dtype: npt.DTypeLike = np.float32
) -> Batches:
    """Return the mini-batches that `fit` takes with the same generator: every iteration is the next epoch.

    Each batch is a pair X (features, batch), in memory that the next one overwrites, and labels y (batch,).
    """
    X: Any = split.X
    samples = Samples(X, X.shape[1], dtype)
    return Batches(samples, split.y, batch_size, dtype, rng, augmentation(augment))
