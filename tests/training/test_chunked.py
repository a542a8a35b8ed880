"""Samples read by chunks: the same bits as in memory in the same order, whatever ends the reading."""

import threading
from contextlib import nullcontext
from itertools import count

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva.datasets import Chunked, Standardized

from ..training_reference import assert_same_weights, network

N, D = 530, 12


class Stored:
    """An object with a length and slices, as a data set of h5py."""

    def __init__(self, array, chunks=None, fails_at=None):
        self.array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, chunks
        self.read, self.threads, self.fails_at = [], set(), fails_at

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        self.read.append((rows.start, rows.stop))
        self.threads.add(threading.current_thread().name)
        if self.fails_at is not None and rows.start <= self.fails_at < rows.stop:
            raise RuntimeError("the cable is out")
        return self.array[rows]


def numbers(kind=np.float32, n=N):
    X = np.random.default_rng(0).standard_normal((n, D))
    return (X * 40 + 100).clip(0, 255).astype(kind) if np.dtype(kind).kind in "iub" else X.astype(kind)


def labels(n=N):
    return np.random.default_rng(1).integers(4, size=n)


def on_disk(X, path, kind):
    if kind == "parquet":
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        frame = pandas.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])])
        frame.to_parquet(path / "X.parquet", row_group_size=61)
        return Chunked(path / "X.parquet", chunk=61, window=3)
    if kind == "object":
        return Chunked(Stored(X), chunk=37, window=3)
    np.save(path / "X.npy", X)
    if kind == "memory map":
        return Chunked(np.load(path / "X.npy", mmap_mode="r")[10:], chunk=37, window=3)
    return Chunked(path / "X.npy", chunk=37, window=3)


def compared(X, held, y, batch_size=20, epochs=3, sizes=(D, 8, 4), **settings):
    """Train on X by chunks, and on the same samples in memory in the order of its epochs."""
    one, other = network(sizes=sizes), network(sizes=sizes)
    history = one.fit(X, y, epochs=epochs, rng=3, batch_size=batch_size, schedule=1e-3, **settings)
    optimizer, rng, losses = nerva.Nesterov(), np.random.default_rng(3), []
    for epoch in range(epochs):
        order = X.order(rng)
        losses += other.fit(held[order], y[order], epochs=1, initial_epoch=epoch, shuffle=False, optimizer=optimizer,
                            batch_size=batch_size, schedule=1e-3, **settings)["loss"]  # fmt: skip
    assert history["loss"] == losses
    assert_same_weights(one, other)
    assert one.evaluate(X, y) == other.evaluate(held, y)
    if one.loss.has_accuracy:
        assert one.predict_proba(X).tobytes() == other.predict_proba(held).tobytes()
    assert one.predict(X).tobytes() == other.predict(held).tobytes()
    return history


@pytest.mark.parametrize("kind", [".npy", "memory map", "object", "parquet"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16])
def test_training_has_the_bits_of_data_in_memory(kind, dtype, tmp_path):
    held = numbers(dtype)
    X = on_disk(held, tmp_path, kind)
    held = held[10:] if kind == "memory map" else held
    assert X.shape == held.shape
    assert len(X.starts) > 2 * X.window
    compared(X, held, labels(len(held)))


@pytest.mark.parametrize("dtype", [np.float16, np.bool_, ">f4", np.int64])
def test_other_dtypes_become_what_they_do_in_memory(dtype, tmp_path):
    held = numbers(dtype) if dtype is not np.bool_ else numbers() > 0
    compared(on_disk(held, tmp_path, ".npy"), held, labels())


@pytest.mark.parametrize(("chunk", "window", "batch_size"), [(1, 1, 7), (50, 1, 530), (100, 9, 33), (600, 1, 20)])
def test_whatever_chunks_and_batches_are(chunk, window, batch_size):
    held = numbers()
    compared(Chunked(Stored(held), chunk=chunk, window=window), held, labels(), batch_size)


def test_rows_of_more_axes_are_flattened(tmp_path):
    np.save(tmp_path / "X.npy", numbers(np.uint8).reshape(N, 3, 2, 2))
    compared(Chunked(tmp_path / "X.npy", chunk=37), numbers(np.uint8), labels())


def test_bytes_are_standardized():
    pixels = numbers(np.uint8)
    X = Chunked(Stored(pixels), chunk=37, window=2, mean=np.linspace(0.3, 0.5, D), std=0.2)
    compared(X, Standardized(pixels, np.linspace(0.3, 0.5, D), 0.2), labels())


def sparse_rows(n=N):
    X = sparse.random(n, D, 0.3, random_state=0, dtype=np.float32).toarray()
    X[100:150] = 0
    return sparse.csr_matrix(X)


@pytest.mark.parametrize("kind", [".npz", "three objects", "matrix"])
def test_sparse_samples(kind, tmp_path):
    held = sparse_rows()
    if kind == ".npz":
        sparse.save_npz(tmp_path / "X.npz", held, compressed=False)
        X = Chunked(tmp_path / "X.npz", chunk=37, window=3)
    elif kind == "matrix":
        X = Chunked(held.tocsc(), chunk=37, window=3)
    else:
        parts = Stored(held.data), Stored(held.indices.astype(np.int64)), held.indptr
        X = Chunked(parts, shape=held.shape, chunk=37, window=3)
    compared(X, held, labels())


def test_weights_of_samples_and_classes_and_targets_of_numbers():
    held, y = numbers(), labels()
    weights = np.random.default_rng(2).random(N)
    X = Chunked(Stored(held), chunk=37, window=3)
    one, other = network(), network()
    order = X.order(3)
    one.fit(X, y, epochs=1, rng=3, sample_weight=weights, class_weight="balanced")
    other.fit(held[order], y[order], epochs=1, shuffle=False, sample_weight=weights[order], class_weight="balanced")
    assert_same_weights(one, other)
    rows = np.random.default_rng(3).standard_normal((N, 4))
    compared(X, held, rows, loss=nerva.MeanSquaredError())


def test_samples_held_out_are_not_trained_on():
    held, y = numbers(), np.sort(labels())
    one, other = network(), network()
    ours = one.fit(Chunked(Stored(held), chunk=37), y, epochs=1, validation_split=0.2, shuffle=False)
    theirs = other.fit(held, y, epochs=1, validation_split=0.2, shuffle=False)
    assert ours["test_loss"] == theirs["test_loss"]
    assert_same_weights(one, other)
    X = Chunked(Stored(held), chunk=37, window=2)
    rows = np.flatnonzero(np.arange(N) % 3)
    order = X.order(0, rows)
    assert np.array_equal(np.sort(order), rows)
    assert (order != rows).any()


def test_validation_and_a_topology():
    held, y = numbers(), labels()
    X = Chunked(Stored(held), chunk=37, window=3)
    one, other = network(), network()
    settings = {"epochs": 3, "shuffle": False, "topology": nerva.RigL(every=4), "rng": 1}
    ours = one.fit(X, y, validation=(X, y), **settings)
    theirs = other.fit(held, y, validation=(held, y), **settings)
    assert ours["test_loss"] == theirs["test_loss"]
    assert ours.topology == theirs.topology != []
    assert_same_weights(one, other)


def test_images_are_moved_as_in_memory():
    held, y = numbers(np.uint8), labels()
    X, augment = Chunked(Stored(held), chunk=37, window=3), nerva.Augment((3, 2, 2), padding=1)
    one, other = network(), network()
    one.fit(X, y, epochs=2, rng=3, augment=augment, shuffle=False)
    other.fit(held, y, epochs=2, rng=3, augment=augment, shuffle=False)
    assert_same_weights(one, other)


def test_a_step_and_a_generator_of_the_model():
    held, y = numbers(), labels()
    X, one, other = Chunked(Stored(held), chunk=100, window=1), network(), network()
    assert one.train_step(X, y, nerva.SGD(), 0.1) == other.train_step(held, y, nerva.SGD(), 0.1)
    again = network(), network()
    for model in again:
        model.fit(X, y, epochs=2)
    assert_same_weights(*again)


# ---- a run that ends and goes on


class Killed(Exception):
    """What ends a run."""


def killer(step):
    counted = count(1)

    class Callback:
        def on_batch_end(self, run, result):
            if next(counted) == step:
                raise Killed

    return Callback()


@pytest.mark.parametrize("step", [1, 13, 27, 40])
def test_a_resumed_run_has_the_same_bits(step, tmp_path):
    X, y = Chunked(Stored(numbers()), chunk=37, window=3), labels()
    whole, model, settings = network(), network(), {"epochs": 2, "batch_size": 20, "topology": nerva.RigL(every=9)}
    expected = whole.fit(X, y, **settings)
    folder = {"checkpoint": tmp_path / "run", "checkpoint_every": 4}
    with pytest.raises(Killed):
        model.fit(X, y, callbacks=[killer(step)], **settings, **folder)
    model = network()
    history = model.fit(X, y, resume=True, **settings, **folder)
    assert history["loss"] == expected["loss"]
    assert_same_weights(model, whole)


def test_other_data_are_warned_of(tmp_path):
    held, y, folder = numbers(), labels(), tmp_path / "run"
    network().fit(Chunked(Stored(held), chunk=37), y, epochs=1, checkpoint=folder)
    with pytest.warns(RuntimeWarning, match="X or y are not those"):
        network().fit(Chunked(Stored(held + 1), chunk=37), y, epochs=2, checkpoint=folder, resume=True)
    with pytest.warns(RuntimeWarning, match="X or y are not those"):
        network().fit(Chunked(Stored(held), chunk=50), y, epochs=2, checkpoint=folder, resume=True)


# ---- the thread, and what it meets


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "nerva-reader"]


def stopping(run, result):
    raise nerva.StopTraining


@pytest.mark.parametrize("error", [None, nerva.StopTraining, KeyboardInterrupt, Killed])
def test_no_thread_is_left(error):
    class Ends:
        def on_batch_end(self, run, result):
            assert len(readers()) <= 1
            if error is not None and run.global_step == 3:
                raise error

    X, model = Chunked(Stored(numbers()), chunk=10, window=2), network()
    with nullcontext() if error in (None, nerva.StopTraining) else pytest.raises(error):
        model.fit(X, labels(), epochs=1, batch_size=20, callbacks=[Ends()])
    assert not readers()
    assert X.source.threads == {"nerva-reader"}
    model.evaluate(X, labels())
    assert not readers()


def test_no_more_is_read_than_two_windows():
    class Watches:
        def on_batch_end(self, run, result):
            ends.append(len(X.source.read))

    ends, X = [], Chunked(Stored(numbers(n=600)), chunk=10, window=3)
    network().fit(X, labels(600), epochs=1, batch_size=10, callbacks=[Watches()])
    assert len(X.source.read) == 60
    assert max(seen - 3 * (i // 3) for i, seen in enumerate(ends)) <= 2 * X.window
    assert X.nbytes == 2 * 3 * 10 * D * 4


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_an_error_of_reading_names_file_and_rows(call, tmp_path):
    X, model = Chunked(Stored(numbers(), fails_at=200), chunk=50), network()
    arguments = (X,) if call == "predict" else (X, labels())
    with pytest.raises(RuntimeError, match="X, samples 200 to 249 of Stored: the cable is out"):
        getattr(model, call)(*arguments)
    assert not readers()
    np.save(tmp_path / "X.npy", numbers())
    X = Chunked(tmp_path / "X.npy", chunk=100)
    with open(tmp_path / "X.npy", "r+b") as file:
        file.truncate(128 + 450 * D * 4)
    with pytest.raises(EOFError, match=r"X, samples 400 to 499 of .*X.npy: the file ends at byte .* was cut short"):
        getattr(model, call)(X, *arguments[1:])


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda X: X[:220], ValueError, "samples 200 to 249 of Stored: there are 20 rows, not 50: the source has b"),
        (lambda X: X[:, :9], ValueError, r"they have shape \(9,\); the source had 12 features"),
        (lambda X: X.astype(np.float64), TypeError, "they have dtype float64; the source had float32"),
    ],
)  # fmt: skip
def test_a_source_that_changes_is_refused(change, kind, message):
    source, model = Stored(numbers()), network()
    X = Chunked(source, chunk=50)
    source.array = change(source.array)
    with pytest.raises(kind, match=message):
        model.fit(X, labels(), shuffle=False)


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_a_value_that_is_not_finite_is_named(call):
    held, stored = numbers(), sparse_rows()
    held[317, 5] = np.nan
    stored.data[700] = np.inf
    row = int(np.searchsorted(stored.indptr, 700, side="right")) - 1
    for X, name in (
        (Chunked(Stored(held), chunk=10, window=2), "317, 5"),
        (Chunked(stored, chunk=10, window=2), f"{row}, {stored.indices[700]}"),
    ):
        arguments = (X,) if call == "predict" else (X, labels())
        with pytest.raises(ValueError, match=rf"X\[{name}\] is (nan|inf); every number must be finite in float32"):
            getattr(network(), call)(*arguments)


def test_an_index_out_of_range_is_named():
    held = sparse_rows()
    held.indices[700] = 50
    X = Chunked((held.data, held.indices, held.indptr), shape=held.shape, chunk=10)
    with pytest.raises(ValueError, match=r"samples \d+ to \d+ of .*indices\[\d+\] is 50; it must be within 0 to 11"):
        network().fit(X, labels())


def test_wrong_sizes_are_refused_before_anything_is_read():
    X = Chunked(Stored(numbers()), chunk=50)
    with pytest.raises(ValueError, match=r"X has shape \(530, 12\); it must be \(samples, 9\)"):
        network(sizes=[9, 4]).fit(X, labels())
    with pytest.raises(ValueError, match=r"y has shape \(90,\); there must be one label for each of 530 samples"):
        network().fit(X, labels(90))
    with pytest.raises(ValueError, match="augment is given, but X is sparse"):
        network().fit(Chunked(sparse_rows()), labels(), augment=nerva.Augment((3, 2, 2), padding=1))
    assert not X.source.read
