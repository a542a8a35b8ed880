"""Sparse samples in svmlight's format, in memory and parsed in every epoch."""

import pickle
from importlib import import_module

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva.datasets import Chunked, svmlight

from ..training_reference import assert_same_weights, network

pytest.importorskip("sklearn")
from sklearn.datasets import dump_svmlight_file

MODULE = import_module("nerva.datasets.svmlight")  # the name is that of the function, too


def written(path, n=200, zero_based=True, comment="three\nlines"):
    X = sparse.random(n, 12, 0.3, format="csr", random_state=0, dtype=np.float32)
    y = np.random.default_rng(1).integers(4, size=n)
    dump_svmlight_file(X, y, str(path), zero_based=zero_based, comment=comment)
    return X, y


@pytest.mark.parametrize("zero_based", [True, False])
def test_samples_and_labels(zero_based, tmp_path, monkeypatch):
    X, y = written(tmp_path / "a.svm", zero_based=zero_based)
    monkeypatch.setattr(MODULE, "PIECE", 777)
    for given in (None, zero_based):
        found, labels = svmlight(tmp_path / "a.svm", zero_based=given)
        assert (found != X).nnz == 0
        assert found.dtype == np.float32
        assert np.array_equal(labels, y)
        assert labels.dtype == np.int64
    assert svmlight(tmp_path / "a.svm", features=20)[0].shape == (200, 20)


def test_it_is_trained_on_by_chunks_as_in_memory(tmp_path, monkeypatch):
    held, y = written(tmp_path / "a.svm")
    monkeypatch.setattr(MODULE, "PIECE", 1000)
    X, labels = svmlight(tmp_path / "a.svm", in_memory=False, chunk=30, window=2)
    assert isinstance(X, Chunked)
    one, other = network(), network()
    order = X.order(3)
    one.fit(X, labels, epochs=1, rng=3)
    other.fit(held[order], y[order], epochs=1, shuffle=False)
    assert_same_weights(one, other)
    assert np.array_equal(pickle.loads(pickle.dumps(X)).source.entries(7, 9)[1], held[7:9].data)


def test_labels(tmp_path):
    path = tmp_path / "a.svm"
    for text, wanted, kind in (
        ("-1 1:2\n+1 1:1\n", [0, 1], np.int64),
        ("1 1:2\n3 2:1", [1, 3], np.int64),
        ("0.5 1:2\n-1 1:1 # a comment\n\n# another\n2 1:7\n", [0.5, -1, 2], np.float64),
    ):
        path.write_text(text)
        X, y = svmlight(path)
        assert (y.tolist(), y.dtype, X.shape[0]) == (wanted, kind, len(wanted))


@pytest.mark.parametrize(
    ("text", "settings", "kind", "message"),
    [
        ("", {}, ValueError, "a.svm: holds no samples"),
        ("# nothing\n", {}, ValueError, "a.svm: holds no samples"),
        ("1 a:2\n", {}, ValueError, "a.svm: is not in svmlight's format"),
        ("1 0:2\n", {"zero_based": False}, ValueError, "a.svm: has a feature 0; zero_based is False"),
        ("1 5:2\n", {"features": 4}, ValueError, "a.svm: has 5 features; features is 4"),
        ("1 5:2\n", {"features": 0}, ValueError, "features is 0; it must be at least 1"),
        ("1 5:2\n", {"zero_based": 1}, TypeError, "zero_based is 1"),
        ("1 5:2\n", {"chunk": 4}, ValueError, "chunk is 4, but in_memory is True: the samples are read at once"),
    ],
)
def test_what_cannot_be_read_is_refused(text, settings, kind, message, tmp_path):
    (tmp_path / "a.svm").write_text(text)
    with pytest.raises(kind, match=message):
        svmlight(tmp_path / "a.svm", **settings)


def test_a_file_that_changes_is_named(tmp_path):
    path = tmp_path / "a.svm"
    _, y = written(path, comment=None)
    X, _ = svmlight(path, in_memory=False, chunk=30)
    text = path.read_bytes()
    path.write_bytes(text[: len(text) // 2])
    with pytest.raises(EOFError, match=r"X, samples \d+ to \d+ of .*a.svm: the file ends at byte"):
        nerva.MLP([12, 4]).evaluate(X, y)
    path.write_bytes(b"1 3:4\n" * (len(text) // 6 + 1))
    with pytest.raises(ValueError, match=r"X, samples 0 to 29 of .*a.svm: .*"):
        nerva.MLP([12, 4]).evaluate(X, y)
    with pytest.raises(FileNotFoundError):
        svmlight(tmp_path / "b.svm")
