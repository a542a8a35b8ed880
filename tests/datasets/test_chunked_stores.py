"""Samples in HDF5 and Zarr, dense and sparse: trained on as those in memory."""

import numpy as np
import pytest
from scipy import sparse

from nerva.datasets import Chunked

from ..training_reference import assert_same_weights, network


def compared(X, held, y):
    one, other = network(), network()
    one.fit(X, y, epochs=1, rng=3)
    order = X.order(3)
    other.fit(held[order], y[order], epochs=1, shuffle=False)
    assert_same_weights(one, other)


def data(n=300):
    rng = np.random.default_rng(0)
    held = rng.standard_normal((n, 12)).astype(np.float32)
    return held, sparse.csr_matrix(held * (held > 0.5)), rng.integers(4, size=n)


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    held, csr, y = data()
    with h5py.File(tmp_path / "X.h5", "w") as file:
        file.create_dataset("X", data=held, chunks=(50, 6), compression="gzip")
        file.create_dataset("images", data=(held > 0).reshape(-1, 3, 2, 2).astype(np.uint8))
        for name in ("data", "indices", "indptr"):
            file.create_dataset(f"csr/{name}", data=getattr(csr, name))
    with h5py.File(tmp_path / "X.h5") as file:
        X = Chunked(file["X"])
        assert (X.shape, X.starts.tolist(), X.name) == ((300, 12), [0, 300], f"{tmp_path / 'X.h5'}:/X")
        compared(Chunked(file["X"], chunk=40, window=2), held, y)
        compared(Chunked(file["images"], chunk=40, window=2), (held > 0).astype(np.uint8), y)
        parts = tuple(file[f"csr/{name}"] for name in ("data", "indices", "indptr"))
        compared(Chunked(parts, shape=csr.shape, chunk=40, window=2), csr, y)
        X = Chunked(file["X"], chunk=40)
    with pytest.raises(Exception, match=r"X, samples \d+ to \d+ of .*X.h5:/X: "):  # the file is closed
        network().fit(X, y)


def test_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    held, _, y = data()
    stored = zarr.create_array(str(tmp_path / "X.zarr"), shape=held.shape, chunks=(50, 6), dtype="float32")
    stored[:] = held
    X = zarr.open(str(tmp_path / "X.zarr"), mode="r")
    assert Chunked(X).starts.tolist() == [0, 300]
    compared(Chunked(X, chunk=40, window=2), held, y)
