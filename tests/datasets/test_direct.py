"""Reads past the system's cache: what they read, to the byte, and where they are left alone."""

import os
import pickle

import numpy as np
import pytest

import nerva
from nerva.datasets import Chunked, direct
from nerva.datasets.direct import BLOCK, DirectFile, open_direct
from nerva.datasets.sources import FileArray


@pytest.fixture
def path(tmp_path):
    """A file of random bytes, of no whole number of blocks, where the file system has such reads."""
    path = tmp_path / "bytes"
    path.write_bytes(np.random.default_rng(0).bytes(5 * BLOCK + 1234))
    try:
        DirectFile(path)
    except OSError:  # pragma: no cover - depends on where temporary files lie
        pytest.skip("the file system of temporary files has no direct reads")
    return path


@pytest.mark.parametrize(
    "offset", [0, 1, 128, BLOCK - 1, BLOCK, 3 * BLOCK + 7, 5 * BLOCK + 1233, 5 * BLOCK + 1234, 7 * BLOCK]
)
@pytest.mark.parametrize("size", [0, 1, 512, BLOCK, 2 * BLOCK + 3, 7 * BLOCK])
def test_bytes_are_those_of_the_file(path, offset, size):
    whole = path.read_bytes()
    out = bytearray(b"x" * size)
    count = DirectFile(path).read_into(memoryview(out), offset)
    wanted = whole[offset : offset + size]
    assert count == len(wanted)
    assert bytes(out[:count]) == wanted
    assert out[count:] == b"x" * (size - count)


def test_an_array_is_read_in_either_way(path, monkeypatch):
    shape = (5 * BLOCK // 24, 8)
    usual = FileArray(path, 100, shape, np.dtype("u2"))
    monkeypatch.setattr(direct, "LEAST", 0)
    past = FileArray(path, 100, shape, np.dtype("u2"))
    assert usual._direct is None
    assert past._direct is not None
    past.will_need(0, 3)
    for rows in (slice(0, 1), slice(3, 90), slice(700, None), slice(5, 5)):
        np.testing.assert_array_equal(past[rows], usual[rows])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(past))[:], usual[:])


def test_a_file_that_is_cut_short_is_told(path, monkeypatch):
    monkeypatch.setattr(direct, "LEAST", 0)
    rows = FileArray(path, 0, (5, BLOCK), np.dtype("u1"))
    for size in (4 * BLOCK, 4 * BLOCK + 10):
        os.truncate(path, size)
        with pytest.raises(EOFError, match=rf"the file ends at byte {size:,}: it was cut short"):
            rows[2:]


def test_training_has_the_same_bits(tmp_path, path, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (3000, 33), np.uint8), rng.integers(0, 4, 3000)
    np.save(tmp_path / "X.npy", X)
    found = []
    for least in (1 << 40, 0):
        monkeypatch.setattr(direct, "LEAST", least)
        model = nerva.MLP([33, 20, 4], density=0.5, seed=1)
        model.fit(Chunked(tmp_path / "X.npy", chunk=100, window=3, mean=0.5, std=0.2), y, epochs=2, rng=1)
        found.append(model.predict_proba(X))
    np.testing.assert_array_equal(*found)


def test_where_it_cannot_be_the_usual_reads_are_taken(path, monkeypatch):
    monkeypatch.setattr(direct, "LEAST", 0)

    def refused(*arguments):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "preadv", refused)
    assert open_direct(path, 10) is None
    monkeypatch.undo()
    assert open_direct(path, 10) is None
