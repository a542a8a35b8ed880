"""The study of accuracies: the data are the same for both frameworks."""

import numpy as np
import pytest

import nerva


@pytest.fixture
def split():
    """A few images of CIFAR-10's shape."""
    rng = np.random.default_rng(0)
    return nerva.datasets.Standardized(rng.integers(0, 256, (250, 3072), np.uint8), 0.5, 0.25), rng.integers(0, 10, 250)


def test_mini_batches_are_the_standardized_samples(split):
    from studies.accuracy import Data

    (X, y), order = split, np.random.default_rng(1).permutation(250)
    batches = list(Data(split, split, augmented=False).batches(order, seed=0))
    assert [len(labels) for _, labels in batches] == [100, 100, 50]
    assert np.allclose(np.concatenate([images for images, _ in batches]), np.asarray(X)[order], atol=1e-5)
    assert (np.concatenate([labels for _, labels in batches]) == y[order]).all()


def test_augmentation_depends_on_the_seed_alone(split):
    from studies.accuracy import Data

    data, order = Data(split, split, augmented=True), np.arange(250)
    first, again, other = (next(data.batches(order, seed))[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
