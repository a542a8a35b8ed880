"""Samples on disk: what they say of themselves, their order, and sources that are refused."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva.datasets import Chunked


class Rows:
    """A length and slices, and no more."""

    def __init__(self, array):
        self._array = array

    def __len__(self):
        return len(self._array)

    def __getitem__(self, rows):
        return self._array[rows]


class Stored(Rows):
    """Rows that know what is stored together, as data sets of HDF5 and arrays of Zarr do."""

    def __init__(self, shape, **stored):
        super().__init__(np.zeros(shape, np.uint8))
        self.shape, self.dtype = shape, np.dtype(np.uint8)
        vars(self).update(stored)


def sizes(X):
    return np.diff(X.starts).tolist()


def test_chunks_and_windows():
    X = Chunked(Rows(np.zeros((10, 2))), chunk=4, window=2)
    assert (len(X), X.shape, X.dtype, sizes(X), X.window) == (10, (10, 2), np.float64, [4, 4, 2], 2)
    assert (X.chunk_bytes, X.nbytes, X.sparse) == (64, 192, False)
    assert Chunked(Rows(np.zeros((10, 2))), chunk=4, window=50).window == 3
    assert repr(X) == "Chunked(Rows: 10 samples of 2 features, float64, in 3 chunks, 2 to a window)"
    assert sizes(Chunked(Stored((3000, 1 << 10)))) == [2048, 952]
    assert sizes(Chunked(Stored((3, 1 << 22)))) == [1, 1, 1]
    assert Chunked(Stored((3000, 1 << 10)), chunk=1).window == 3000
    assert Chunked(Stored((600, 1 << 20)), chunk=1).window == 256


def test_what_the_source_stores_together_is_read_together():
    assert sizes(Chunked(Stored((3000, 1 << 10), chunks=(700, 64)))) == [1400, 1400, 200]
    assert sizes(Chunked(Stored((3000, 1 << 10), chunks=(2900, 64)))) == [2900, 100]
    assert sizes(Chunked(Stored((3000, 1 << 10), chunks=(10, 64), shards=(1000, 64)))) == [2000, 1000]
    for none in (None, ((10, 10), (2,)), "auto"):
        assert sizes(Chunked(Stored((3000, 1 << 10), chunks=none))) == [2048, 952]


def test_an_order_is_that_of_chunks_and_of_rows_in_a_window():
    X = Chunked(Rows(np.zeros((1000, 2))), chunk=10, window=5)
    order = X.order(7)
    assert np.array_equal(np.sort(order), np.arange(1000))
    windows = order.reshape(20, 50)
    assert all(len(set((window // 10).tolist())) == 5 for window in windows)
    assert all((np.diff(window // 10) != 0).sum() > 20 for window in windows)
    assert np.array_equal(order, X.order(7))
    rng = np.random.default_rng(7)
    assert np.array_equal(order, X.order(rng))
    assert not np.array_equal(order, X.order(rng))
    whole = Chunked(Rows(np.zeros((1000, 2))), chunk=10, window=100).order(7)
    assert len({tuple(np.unique(piece // 10)) for piece in whole.reshape(20, 50)}) == 20


def test_chunks_of_samples():
    rows = np.random.default_rng(0).permutation(103)
    X = Chunked(Rows(np.zeros((103, 2))), chunk=10)
    assert np.array_equal(X.chunk_of(rows), rows // 10)
    X.starts = np.array([0, 7, 50, 103])
    assert np.array_equal(X.chunk_of(rows), np.digitize(rows, [7, 50]))


def test_a_part_of_a_mapped_array_is_read_from_its_file(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.save(tmp_path / "X.npy", array)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r+")
    out = np.empty((4, 3), np.float32)
    for part, first in ((mapped, 0), (mapped[5:], 5), (mapped[3:][2:15], 5)):
        X = Chunked(part)
        assert type(X.source).__name__ == "FileArray"
        X.read(4, 8, out)
        assert np.array_equal(out, array[first + 4 : first + 8])
    X = Chunked(mapped[::2])
    assert isinstance(X.source, np.memmap)
    X.read(4, 8, out)
    assert np.array_equal(out, array[8:16:2])
    mapped[9] = -1
    Chunked(mapped).read(8, 12, out)
    assert out[1].tolist() == [-1] * 3
    copied = np.load(tmp_path / "X.npy", mmap_mode="c")
    copied[9] = -2
    Chunked(copied).read(8, 12, out)
    assert out[1].tolist() == [-2] * 3


def test_it_is_pickled_and_copied_by_its_path(tmp_path):
    np.save(tmp_path / "X.npy", np.arange(12.0).reshape(6, 2))
    X = Chunked(tmp_path / "X.npy", chunk=4)
    for other in (pickle.loads(pickle.dumps(X)), copy.deepcopy(X)):
        out = np.empty((2, 2))
        other.read(1, 3, out)
        assert out.tolist() == [[2, 3], [4, 5]]
        assert np.array_equal(other.order(0), X.order(0))


def test_sparse_rows(tmp_path):
    matrix = sparse.random(50, 9, 0.2, format="csr", random_state=0)
    sparse.save_npz(tmp_path / "X.npz", matrix, compressed=False)
    X = Chunked(tmp_path / "X.npz", chunk=20)
    assert (X.shape, X.dtype, X.sparse, sizes(X)) == ((50, 9), np.float64, True, [20, 20, 10])
    indices, data = X.source.entries(3, 9)
    assert np.array_equal(indices, matrix[3:9].indices)
    assert np.array_equal(data, matrix[3:9].data)
    other = pickle.loads(pickle.dumps(X))
    assert np.array_equal(other.source.entries(3, 9)[1], data)
    assert "50 sparse samples of 9 features" in repr(X)


# ---- what is refused


@pytest.mark.parametrize(
    ("source", "settings", "kind", "message"),
    [
        (Rows(np.zeros((4, 2))), {"chunk": 0}, ValueError, "chunk is 0; it must be at least 1"),
        (Rows(np.zeros((4, 2))), {"window": 1.5}, TypeError, "window is 1.5; it must be an integer"),
        (Rows(np.zeros(4)), {}, ValueError, r"source \(Rows\) has shape \(4,\); it must be \(samples, features\)"),
        (np.zeros((0, 2)), {}, ValueError, r"source \(ndarray\) has shape \(0, 2\); .*, and not empty"),
        (Rows(np.zeros((4, 2), complex)), {}, TypeError, "source has dtype complex128; it must be real numbers"),
        (Rows(np.array([["a", "b"]])), {}, TypeError, "source has dtype <U1; it must be real numbers"),
        (5, {}, TypeError, "source is int; it must have a length and slices, or be a path"),
        ({"a": [1, 2]}, {}, TypeError, "source is dict; it must have a length and slices, or be a path"),
        ("X.h5", {}, ValueError, "source is 'X.h5'; a file must be .npy, .npz, .parquet, .arrow or"),
        ("X.npy", {}, FileNotFoundError, "X.npy"),
        ("X.npz", {}, FileNotFoundError, "X.npz"),
        ("X.parquet", {}, FileNotFoundError, "X.parquet"),
        ("X.arrow", {}, FileNotFoundError, "X.arrow"),
        (np.zeros((4, 2)), {"mean": 0.5}, ValueError, "std is None, but the other is not; give both or neither"),
        (np.zeros((4, 2)), {"mean": 0.5, "std": 1}, TypeError, "source is of float64; they are for bytes"),
        (np.zeros((4, 2), "u1"), {"mean": 0.5, "std": 0}, ValueError, "std must be positive, found 0.0"),
        (np.zeros((4, 2)), {"shape": (4, 2)}, ValueError, r"shape is \(4, 2\), but source is not \(data, ind"),
        (np.zeros((4, 2)), {"columns": ["a"]}, ValueError, "columns is given, but source is not the path of"),
        ((np.ones(2), np.zeros(2, int), [0, 2]), {}, ValueError, r"shape is None; of \(data, indices, indptr\) it"),
        ((np.ones(2), np.zeros(2, int), [0, 2]), {"shape": ("a", 2)}, TypeError, r"shape\[0\] is 'a'; it must be an"),
        ((np.ones(2), np.zeros(2, int), [0, 2]), {"shape": (1, -2)}, ValueError, r"shape\[1\] is -2; it must be at"),
        ((np.ones(2), np.zeros(3, int), [0, 2]), {"shape": (1, 2)}, ValueError, "data has length 2, indices 3"),
        ((np.ones(2), np.zeros(2, int), [0, 2]), {"shape": (2, 2)}, ValueError, "indptr has length 2; it must be"),
        ((np.ones(2), np.zeros(2, int), [0, 3]), {"shape": (1, 2)}, ValueError, r"indptr\[1\] is 3; it must ascend"),
        ((np.ones(2), np.zeros(2, int), [0, 2, 1]), {"shape": (2, 2)}, ValueError, r"indptr\[2\] is 1; it must ascend"),
        ((np.ones(2), np.zeros(2, int), [0.5, 2]), {"shape": (1, 2)}, TypeError, r"indptr is float64 of shape \(2,\)"),
    ],
)  # fmt: skip
def test_what_is_no_source_is_refused(source, settings, kind, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        Chunked(source, **settings)


def test_broken_files_are_refused(tmp_path):
    path, matrix = tmp_path / "X.npy", sparse.random(50, 9, 0.2, format="csr", random_state=0)
    np.save(path, np.zeros((20, 3)))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"X.npy: is no .npy file, or a truncated one"):
        Chunked(path)
    path.write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"X.npy: is no .npy file"):
        Chunked(path)
    np.save(path, np.asfortranarray(np.zeros((20, 3))))
    with pytest.raises(ValueError, match=r"X.npy: is in Fortran order, .* write it in C order"):
        Chunked(path)
    path = tmp_path / "X.npz"
    sparse.save_npz(path, matrix)
    with pytest.raises(ValueError, match=r"X.npz: it is compressed, .* write it with compressed=False"):
        Chunked(path)
    sparse.save_npz(path, matrix.tocsc(), compressed=False)
    with pytest.raises(ValueError, match=r"X.npz: holds a csc matrix; it must be csr"):
        Chunked(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match=r"X.npz: it must hold a matrix as scipy.sparse.save_npz writes it"):
        Chunked(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"X.npz: File is not a zip file"):
        Chunked(path)
    sparse.save_npz(path, matrix, compressed=False)
    X = Chunked(path, chunk=20)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(EOFError, match=r"X, samples 0 to 19 of .*X.npz: the file ends at byte"):
        nerva.MLP([9, 2]).evaluate(X, np.zeros(50, int))
