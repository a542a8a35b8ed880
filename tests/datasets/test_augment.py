"""Images moved at random: what is drawn, what the loader makes of it, and training on it."""

import copy
import pickle

import numpy as np
import pytest

import nerva
from nerva.training.batches import Batches
from nerva.training.samples import Samples

from ..reference import assert_same_bits, moved_images

SHAPE = (2, 9, 20)
D = 2 * 9 * 20


def numbered_images(n=50):
    """Images whose every pixel is another number, so that they show where each of their pixels came from."""
    return np.arange(n * D, dtype=np.float64).reshape(n, D)


def every_move(padding):
    span = range(-padding, padding + 1)
    return np.stack(np.meshgrid(span, span, (0, 1), indexing="ij"), axis=-1).reshape(-1, 3)


def batches_of(X, augment, rng, batch_size=16):
    """All samples of one pass, (n, features)."""
    loader = Batches(Samples(X, X.shape[1], X.dtype), None, batch_size, X.dtype, np.random.default_rng(rng), augment)
    return np.vstack([batch.T.copy() for batch, _ in loader])


# ---- what is drawn


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("flip", [False, True])
def test_every_move_is_drawn_equally_often(padding, flip):
    moves = nerva.Augment((3, 32, 32), padding, flip).draw(40_000, np.random.default_rng(0))
    assert (moves.shape, moves.dtype) == ((40_000, 3), np.int32)
    found, counts = np.unique(moves, axis=0, return_counts=True)
    wanted = [move for move in every_move(padding) if flip or not move[2]]
    np.testing.assert_array_equal(found, wanted)
    mean = 40_000 / len(wanted)
    assert (np.abs(counts - mean) <= 5 * np.sqrt(mean)).all()


def test_the_seed_decides_what_is_drawn():
    augment = nerva.Augment((3, 32, 32))
    one, same, other = (augment.draw(100, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_an_augment_is_a_value():
    augment = nerva.Augment([np.int64(3), 32, 32], padding=np.int32(2), flip=np.False_)
    assert augment == nerva.Augment((3, 32, 32), 2, False) != nerva.Augment((3, 32, 32))
    assert repr(augment) == "Augment(image_shape=(3, 32, 32), padding=2, flip=False)"
    assert pickle.loads(pickle.dumps(augment)) == copy.copy(augment) == augment
    assert hash(augment) == hash(copy.deepcopy(augment))
    with pytest.raises(AttributeError):
        augment.padding = 3
    assert nerva.datasets.Augment is nerva.Augment


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((32,), TypeError, r"image_shape is 32; it must be \(channels, height, width\)"),
        (("chw",), TypeError, "image_shape is 'chw'"),
        (((3, 32.0, 32),), TypeError, r"image_shape is \(3, 32.0, 32\)"),
        (((True, 32, 32),), TypeError, "image_shape is"),
        ((None,), TypeError, "image_shape is None"),
        (((32, 32),), ValueError, r"image_shape is \(32, 32\)"),
        (((3, 0, 32),), ValueError, "image_shape is"),
        (((3, 32, 32), -1), ValueError, "padding is -1; for images of 32 x 32 it is from 0 to 31"),
        (((3, 5, 8), 5), ValueError, "padding is 5; for images of 5 x 8 it is from 0 to 4"),
        (((3, 8, 4),), ValueError, "padding is 4; for images of 8 x 4 it is from 0 to 3"),
        (((3, 32, 32), 1.5), TypeError, "padding is 1.5; it must be an integer"),
        (((3, 32, 32), True), TypeError, "padding is True"),
        (((3, 32, 32), 4, 1), TypeError, "flip is 1; it must be True or False"),
        (((3, 32, 32), 4, 0.5), TypeError, "flip is 0.5"),
    ],
)
def test_what_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match="^" + message):
        nerva.Augment(*arguments)


# ---- what the loader makes of it


@pytest.mark.parametrize("batch_size", [1, 16, 50, 1000])
def test_a_pass_is_every_image_once_each_moved_in_its_own_way(batch_size):
    padding, n = 3, 300
    X = numbered_images(n)
    seen = batches_of(X, nerva.Augment(SHAPE, padding), 5, batch_size)
    images = (seen.min(axis=1) // D).astype(int)
    assert sorted(images) == list(range(n))
    moves, found = every_move(padding), []
    for image, pixels in zip(images, seen, strict=True):
        candidates = moved_images(np.repeat(X[image : image + 1], len(moves), axis=0), SHAPE, moves)
        (which,) = np.flatnonzero((candidates == pixels).all(axis=1))
        found.append(moves[which])
    found = np.array(found)
    assert set(found[:, 0]) == set(found[:, 1]) == set(range(-padding, padding + 1))
    assert abs(found[:, 2].mean() - 0.5) < 0.12
    assert_same_bits(X, numbered_images(n), "the data")


def test_passes_differ_and_the_seed_decides():
    X, augment = numbered_images(), nerva.Augment(SHAPE)
    assert_same_bits(batches_of(X, augment, 1), batches_of(X, augment, 1))
    assert (batches_of(X, augment, 1) != batches_of(X, augment, 2)).any()
    loader = Batches(Samples(X, D, X.dtype), None, 50, X.dtype, np.random.default_rng(0), augment)
    first, second = (next(iter(loader))[0].T.copy() for _ in range(2))
    first, second = (batch[batch.min(axis=1).argsort()] for batch in (first, second))
    assert (first != second).any()


def test_without_augment_the_stream_of_random_numbers_is_the_order_alone():
    X, rng = numbered_images(), np.random.default_rng(7)
    loader = Batches(Samples(X, D, X.dtype), None, 16, X.dtype, rng)
    expected = np.random.default_rng(7)
    for _ in range(2):
        order = np.arange(50)
        expected.shuffle(order)
        seen = np.vstack([batch.T.copy() for batch, _ in loader])
        assert_same_bits(seen, X[order])
    assert rng.bit_generator.state == expected.bit_generator.state


# ---- training on it


def bright_and_dark(dtype=np.float32, n=600):
    """Images of SHAPE in three classes, told apart by how bright their channels are, wherever their pixels go."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n)
    levels = np.array([[60, 180], [180, 60], [180, 180]])[y][:, :, None]
    X = np.clip(levels + rng.integers(-60, 61, (n, 2, 180)), 0, 255).reshape(n, D)
    return (X.astype(np.uint8) if dtype == np.uint8 else (X / 255 - 0.5).astype(dtype)), y


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_it_learns_from_moved_images(dtype, kind):
    X, y = bright_and_dark(kind)
    if kind == np.uint8:
        X = nerva.datasets.Standardized(X, 0.5, 1.0)
    model = nerva.MLP([D, 30, 3], density=0.3, dtype=dtype)
    settings = {"epochs": 8, "batch_size": 32, "augment": nerva.Augment(SHAPE), "validation": (X[500:], y[500:])}
    history = model.fit(X[:500], y[:500], **settings)
    assert history["loss"][-1] < 0.2 < history["loss"][0]
    assert history["test_accuracy"][-1] == model.evaluate(X[500:], y[500:]).accuracy > 0.95


def test_an_augmentation_that_moves_nothing_is_none():
    X, y = bright_and_dark()
    still = nerva.Augment(SHAPE, padding=0, flip=False)
    losses = [
        nerva.MLP([D, 30, 3], density=0.3).fit(X, y, epochs=2, augment=augment)["loss"]
        for augment in (None, still, nerva.Augment(SHAPE))
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_any_number_of_threads_gives_the_same_bits(instruction_set, dtype, kind):
    X, y = bright_and_dark(kind)
    found = []
    for threads in (1, 2, 3):
        nerva.set_num_threads(threads)
        model = nerva.MLP([D, 100, 3], density=0.2, dtype=dtype, seed=4)
        history = model.fit(X, y, epochs=2, batch_size=90, schedule=1e-4, augment=nerva.Augment(SHAPE, 8))
        weights = [parameter.values for parameter in model.parameters()]
        found.append(pickle.dumps((history["loss"], weights, model.rng.bit_generator.state)))
    assert found[0] == found[1] == found[2]
