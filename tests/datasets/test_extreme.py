"""Data of extreme classification: files read as they were written, lines that are refused, and generated data."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import nerva
import nerva.extreme
from nerva.datasets import generated_extreme, read_extreme, write_extreme


@given(n=st.integers(1, 6), features=st.integers(1, 9), labels=st.integers(1, 9), seed=st.integers(0, 99))
def test_what_is_written_is_read_again(tmp_path_factory, n, features, labels, seed):
    rng = np.random.default_rng(seed)
    X = scipy.sparse.random_array((n, features), density=0.4, dtype=np.float32, format="csr", rng=rng)
    Y = scipy.sparse.random_array((n, labels), density=0.3, format="csr", rng=rng) > 0
    path = tmp_path_factory.mktemp("extreme") / "a.txt"
    write_extreme(path, X, Y)
    read, told = read_extreme(path)
    np.testing.assert_array_equal(read.toarray(), X.toarray())
    np.testing.assert_array_equal(told.toarray(), Y.toarray())
    assert (read.dtype, told.dtype) == (np.float32, bool)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: it must hold the numbers"),
        ("1 2\n0 0:1\n", "line 1: it must hold the numbers"),
        ("1 2 3\n0 5:1\n", "line 2: feature 5 is out of range: there are 2"),
        ("1 2 3\n3 0:1\n", "line 2: label 3 is out of range: there are 3"),
        ("1 2 3\n0 0:1 0:2\n", "line 2: a feature stands there twice"),
        ("1 2 3\n1,1 0:1\n", "line 2: a label stands there twice"),
        ("1 2 3\n0 0:nan\n", "line 2: the value of a feature is not finite"),
        ("1 2 3\n0 0\n", "line 2: features must be feature:value"),
        ("1 2 3\n0:1\n", "line 2: labels and features must be apart by a space"),
        ("1 2 3\nx 0:1\n", "line 2: invalid literal"),
        ("2 2 3\n0 0:1\n", "its first line tells of 2 samples; there are 1"),
        ("1 2 3\n0 0:1\n0 0:1\n", "line 3: there are more than 1 samples"),
    ],
)
def test_what_is_not_of_the_format_is_refused_by_its_line(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=r"a\.txt") as caught:
        read_extreme(tmp_path / "a.txt")
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_extreme(tmp_path / "nothing")
    with pytest.raises(ValueError, match="X has 1 samples, and Y 2"):
        write_extreme(tmp_path / "a", scipy.sparse.csr_array((1, 2)), scipy.sparse.csr_array((2, 2)))


def test_generated_labels_follow_a_power_law_and_can_be_learned():
    X, Y = generated_extreme(3000, 2000, 100, per_sample=2.0)
    again, _ = generated_extreme(3000, 2000, 100, per_sample=2.0)
    assert (again != X).nnz == 0
    counts = Y.sum(axis=0)
    assert counts[:10].sum() > 3 * counts[-10:].sum()
    assert 1.8 < Y.sum() / 3000 < 2.05
    np.testing.assert_allclose(X.multiply(X).sum(axis=1), 1, rtol=1e-5)
    hidden = nerva.Sequential([nerva.Linear(2000, 64, activation="relu", rng=0)], rng=0)
    model = nerva.extreme.ExtremeClassifier(hidden, 100, fan_in=32, tile=40, rng=0)
    model.fit(X, Y, epochs=5, optimizer=nerva.Adam(), schedule=0.01, rng=0, verbose=False)
    other = generated_extreme(500, 2000, 100, per_sample=2.0, draw=7)
    assert model.evaluate(*other)["P@1"] > 0.5


@pytest.mark.parametrize("name", ["n", "features", "labels", "words"])
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        generated_extreme(**{"n": 5, "features": 5, "labels": 5, name: 0})
