"""Batches that something else makes: lists, generators, functions and PyTorch's DataLoader."""

import gc
import weakref
from itertools import count, repeat

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva.datasets import Standardized

from ..training_reference import assert_same_weights, network, samples, state

N, SIZE = 90, 20


def pieces(X, y, *others):
    return [(X[i : i + SIZE], y[i : i + SIZE], *(each[i : i + SIZE] for each in others)) for i in range(0, N, SIZE)]


class Again:
    """What can be iterated over again and again, of known length or not."""

    def __init__(self, batches, has_length=True):
        self._batches, self.times = batches, 0
        if has_length:
            self.length = len(batches)

    def __iter__(self):
        self.times += 1
        yield from self._batches

    def __len__(self):
        if not hasattr(self, "length"):
            raise TypeError("there is no telling")
        return self.length


KINDS = {
    "float64": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "integers": lambda X: (X * 100).astype(np.int64),
    "sparse": lambda X: sparse.csr_matrix(X * (X > 0)),
    "standardized": lambda X: Standardized((X * 40 + 100).clip(0, 255).astype(np.uint8), 0.4, 0.2),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, {"batch_norm": True, "activation": "tanh"}])
def test_training_has_the_bits_of_the_samples_in_this_order(kind, settings):
    X, y = samples()
    X = KINDS[kind](X)
    one, other = network(**settings), network(**settings)
    ours = one.fit(pieces(X, y), epochs=3, schedule=1e-3, validation=Again(pieces(X, y), has_length=False))
    theirs = other.fit(X, y, epochs=3, schedule=1e-3, validation=(X, y), batch_size=SIZE, shuffle=False)
    for name in ("loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert ours[name] == theirs[name]
    assert_same_weights(one, other)
    assert one.evaluate(pieces(X, y)) == other.evaluate(X, y, batch_size=SIZE)


def test_a_dataloader():
    torch = pytest.importorskip("torch")
    X, y = samples()
    images = torch.tensor(X, dtype=torch.float32).reshape(N, 3, 2, 2)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, torch.tensor(y)), batch_size=SIZE)
    one, other = network(), network()
    ours = one.fit(loader, epochs=2, validation=loader, topology=nerva.RigL(every=3))
    theirs = other.fit(X.astype(np.float32), y, epochs=2, batch_size=SIZE, shuffle=False,
                       topology=nerva.RigL(every=3))  # fmt: skip
    assert ours["loss"] == theirs["loss"]
    assert_same_weights(one, other)


def test_weights_and_images_and_targets_of_numbers():
    X, y = samples()
    weights, rows = np.random.default_rng(2).random(N), np.random.default_rng(3).standard_normal((N, 4))
    pixels = (X * 40 + 100).clip(0, 255).astype(np.uint8)
    one, other = network(), network()
    one.fit(pieces(X, y, weights), epochs=2)
    other.fit(X, y, epochs=2, sample_weight=weights, batch_size=SIZE, shuffle=False)
    assert_same_weights(one, other)
    one.fit(pieces(X, rows), epochs=2, loss=nerva.MeanSquaredError(), schedule=1e-3)
    other.fit(X, rows, epochs=2, loss=nerva.MeanSquaredError(), schedule=1e-3, batch_size=SIZE, shuffle=False)
    assert_same_weights(one, other)
    augment, one, other = nerva.Augment((3, 2, 2), padding=1), network(), network()
    one.fit(pieces(pixels, y), epochs=2, augment=augment, rng=4)
    other.fit(pixels, y, epochs=2, augment=augment, rng=4, batch_size=SIZE, shuffle=False)
    assert_same_weights(one, other)


def test_names_of_classes_that_the_network_knows():
    X, y = samples()
    names = np.array(["ant", "bee", "cat", "dog"])[y]
    model = network()
    with pytest.raises(TypeError, match="batch 0 of X: y holds names of classes, which the network does not know"):
        model.fit(pieces(X, names))
    model.fit(X, names, epochs=1)
    model.fit(pieces(X, names), epochs=1)
    assert model.classes == ("ant", "bee", "cat", "dog")
    with pytest.raises(ValueError, match="not the names that the network knows"):
        model.fit(pieces(X, y))


def test_every_epoch_iterates_anew():
    X, y = samples()
    source = Again(pieces(X, y))
    network().fit(source, epochs=3)
    assert source.times == 3


def test_a_function_and_a_generator_with_steps():
    X, y = samples()
    one, other, third = network(), network(), network()
    one.fit(lambda: iter(pieces(X, y)), steps_per_epoch=5, epochs=2)
    other.fit(pieces(X, y), epochs=2)
    assert_same_weights(one, other)
    third.fit((batch for _ in range(2) for batch in pieces(X, y)), steps_per_epoch=5, epochs=2)
    assert_same_weights(third, other)
    third.fit(repeat(pieces(X, y)[0]), steps_per_epoch=3, epochs=2)
    history = network().fit(Again(pieces(X, y)), steps_per_epoch=2, epochs=2)
    assert len(history) == 2


def test_what_it_iterates_over_is_let_go():
    X, y = samples()
    ended = []

    class Source:
        def __len__(self):
            return 5

        def __iter__(self):
            generator = iter(pieces(X, y))
            ended.append(weakref.ref(own := Held(generator)))
            return own

    class Held:
        def __init__(self, generator):
            self._generator = generator

        def __iter__(self):
            return self

        def __next__(self):
            return next(self._generator)

    network().fit(Source(), epochs=2)
    gc.collect()
    assert len(ended) == 2
    assert all(each() is None for each in ended)


# ---- checkpoints


class Killed(Exception):
    """What ends a run."""


@pytest.mark.parametrize("step", [3, 5, 8])
def test_a_resumed_run_passes_over_the_batches_that_were_done(step, tmp_path):
    X, y = samples()
    counted, whole, model = count(1), network(), network()
    expected = whole.fit(pieces(X, y), epochs=2)

    class Kills:
        def on_batch_end(self, run, result):
            if next(counted) == step:
                raise Killed

    folder = {"checkpoint": tmp_path / "run", "checkpoint_every": 2}
    with pytest.raises(Killed):
        model.fit(pieces(X, y), epochs=2, callbacks=[Kills()], **folder)
    model = network()
    assert model.fit(pieces(X, y), epochs=2, resume=True, **folder)["loss"] == expected["loss"]
    assert_same_weights(model, whole)


# ---- what is refused, before anything has changed


def wrong(case):
    X, y = samples()
    batches = pieces(X, y)
    return {
        "an array": (X, {}, TypeError, "y is None, and X is ndarray; without y it must give batches, each a pair"),
        "a number": (5, {}, TypeError, "y is None, and X is int; without y it must give batches"),
        "a function": (lambda: 5, {"steps_per_epoch": 2}, TypeError, "X is a function that returns int; it must"),
        "arrays": ([X, X], {}, TypeError, r"batch 0 of X is of type ndarray; it must be a pair \(X, y\), or \(X, "),
        "four": ([(X, y, y, y)], {}, TypeError, "batch 0 of X is 4 parts; it must be a pair"),
        "none": ([], {}, ValueError, r"len\(X\) is 0; it must be at least 1"),
        "none left": (iter([]), {"steps_per_epoch": 2}, ValueError, "X has no batches"),
        "a generator": (iter(batches), {}, ValueError, "X, of type list_iterator, has no length, and is used up"),
        "no length": (Again(batches, False), {}, ValueError, "steps_per_epoch is None, and X, of type Again, has no l"),
        "no steps": (batches, {"steps_per_epoch": 0}, ValueError, "steps_per_epoch is 0; it must be at least 1"),
        "features": ([(X[:, :9], y)], {}, ValueError, r"batch 0 of X: X has shape \(90, 9\); it must be \(samples"),
        "one sample": ([(X[0], y[0])], {}, ValueError, r"batch 0 of X: X has shape \(12,\); it must be \(samples"),
        "labels": ([(X, y[:3])], {}, ValueError, r"batch 0 of X: y has shape \(3,\); there must be one label for each"),
        "weights": (batches, {"sample_weight": y}, ValueError, "sample_weight is given, but y is None: of batches"),
        "classes": (batches, {"class_weight": "balanced"}, ValueError, "class_weight is given, but y is None"),
        "split": (batches, {"validation_split": 0.2}, ValueError, "validation_split is given, but y is None"),
        "validation": (batches, {"validation": 5}, TypeError, r"validation is int; it must be a pair \(X, y\), or"),
        "once": (batches, {"validation": iter(batches)}, TypeError, "validation is a list_iterator, which is used up"),
        "validation X": (batches, {"validation": [(X[:, :9], y)] * 3}, ValueError, r"batch 0 of validation X: X has"),
        "sparse": (pieces(sparse.csr_matrix(X), y), {"augment": nerva.Augment((3, 2, 2), padding=1)}, ValueError,
                   "augment is given, but batch 0 of X is sparse; it is for images"),
    }[case]  # fmt: skip


@pytest.mark.parametrize(
    "case", ["an array", "a number", "a function", "arrays", "four", "none", "none left", "a generator", "no length",
             "no steps", "features", "one sample", "labels", "weights", "classes", "split", "validation", "once",
             "validation X", "sparse"],
)  # fmt: skip
def test_what_gives_no_batches_is_refused(case):
    source, settings, kind, message = wrong(case)
    model = network()
    before = state(model)
    with pytest.raises(kind, match=message):
        model.fit(source, **settings)
    assert state(model) == before


def test_steps_are_for_batches_and_weights_for_samples():
    X, y = samples()
    with pytest.raises(ValueError, match="steps_per_epoch is 3, but y is given: it is for X that gives batches"):
        network().fit(X, y, steps_per_epoch=3)
    with pytest.raises(ValueError, match="sample_weight is given, but y is None"):
        network().evaluate(pieces(X, y), sample_weight=np.ones(N))


def test_a_later_batch_that_is_wrong_is_named():
    X, y = samples()
    batches, broken = pieces(X, y), X[:SIZE].copy()
    broken[5, 3] = np.nan
    for bad, kind, message in (
        ((X[:5, :9], y[:5]), ValueError, r"batch 2 of X: X has shape \(5, 9\)"),
        ((broken, y[:SIZE]), ValueError, r"batch 2 of X: X\[5, 3\] is nan"),
        ((X[:5], y[:5] + 9), ValueError, "batch 2 of X: y holds labels from"),
        (None, TypeError, "batch 2 of X is of type NoneType; it must be a pair"),
    ):
        with pytest.raises(kind, match=message):
            network().fit([*batches[:2], bad, *batches[2:]], epochs=1)
        with pytest.raises(kind, match=message):
            network().evaluate([*batches[:2], bad, *batches[2:]])
    with pytest.raises(ValueError, match="batch 1 of X has 1 samples; batch normalization needs at least 2"):
        network(batch_norm=True).fit([batches[0], (X[:1], y[:1])], epochs=1)


def test_a_source_that_ends_too_early():
    X, y = samples()
    with pytest.raises(ValueError, match="X ended after 0 of the 5 batches of an epoch: a generator is used up by one"):
        network().fit(iter(pieces(X, y)), epochs=2, steps_per_epoch=5)
    with pytest.raises(ValueError, match="X ended after 5 of the 7 batches of an epoch"):
        network().fit(pieces(X, y), epochs=2, steps_per_epoch=7)
