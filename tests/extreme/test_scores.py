"""Precision at k, and that by propensities, beside loops over samples."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from nerva.extreme import precision_at_k, propensities


@given(n=st.integers(1, 8), labels=st.integers(1, 12), k=st.integers(1, 5), seed=st.integers(0, 200))
def test_both_are_those_of_a_loop(n, labels, k, seed):
    k, rng = min(k, labels), np.random.default_rng(seed)
    Y = rng.random((n, labels)) < 0.3
    top = np.array([rng.permutation(labels)[:k] for _ in range(n)])
    p = rng.uniform(0.1, 1, labels)
    hits = [[Y[i, label] for label in top[i]] for i in range(n)]
    assert precision_at_k(scipy.sparse.csr_array(Y), top, k) == pytest.approx(np.mean(hits))
    gained = sum(Y[i, label] / p[label] for i in range(n) for label in top[i])
    largest = sum(sum(sorted((1 / p[Y[i]]).tolist(), reverse=True)[:k]) for i in range(n))
    assert precision_at_k(scipy.sparse.csr_array(Y), top, k, p) == pytest.approx(gained / largest if largest else 0.0)


def test_propensities_are_those_of_the_formula():
    Y = scipy.sparse.csr_array(np.array([[1, 0], [1, 0], [0, 0]] * 10))
    C = (np.log(30) - 1) * 2.5**0.55
    np.testing.assert_allclose(propensities(Y), 1 / (1 + C * (np.array([20, 0]) + 1.5) ** -0.55))


def test_what_is_wrong_is_named():
    Y = scipy.sparse.csr_array((2, 3))
    for top, k, p, error, message in (
        ([[0.5]], 1, None, TypeError, "top is float64"),
        ([[0], [1]], 2, None, ValueError, "top has 1 predictions a sample; k is 2"),
        ([[0]], 1, None, ValueError, r"Y has shape \(2, 3\); it must be \(1, 3\)"),
        ([[0], [1]], 1, [1, 1, 0], ValueError, "propensities have shape"),
        ([[0], [1]], 0, None, ValueError, "k is 0"),
    ):
        with pytest.raises(error, match=message):
            precision_at_k(Y, top, k, p)
    assert precision_at_k(Y, [[-1], [7]], 1) == 0.0


def test_scores_of_a_vector_of_labels_are_refused():
    with pytest.raises((TypeError, ValueError), match=r"^Y "):
        precision_at_k(np.array([1, 2]), [[1], [2]], k=1)
    with pytest.raises(ValueError, match=r"^Y has shape"):
        precision_at_k(scipy.sparse.csr_array([1, 0, 2]), [[1], [2]], k=1)
