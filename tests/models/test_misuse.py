"""What a hurried user does: models shared by threads, attributes replaced, broken matrices, numbers out of range."""

import threading

import numpy as np
import pytest
from scipy.sparse import csr_array

import nerva


@pytest.fixture
def data(rng=None):
    rng = np.random.default_rng(0)
    return rng.standard_normal((300, 20)).astype(np.float32), rng.integers(0, 3, 300)


def network(**settings):
    return nerva.MLP([20, 30, 3], density=[0.5, 0.9], **settings)


def test_threads_may_share_a_network(data):
    model, wrong = network(), []
    wanted = model.predict_proba(data[0])

    def predict():
        wrong.extend(1 for _ in range(30) if not np.array_equal(model.predict_proba(data[0]), wanted))

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("make", [lambda: nerva.Linear(20, 3), lambda: nerva.SparseLinear(20, 3, density=0.5)])
def test_weights_and_bias_put_in_place_are_those_that_train(make, data):
    layer, other = make(), make()
    layer.weight = other.weight
    layer.bias = np.ones(3)
    model = nerva.Sequential([layer])
    X = np.ascontiguousarray(data[0].T)
    np.testing.assert_allclose(layer.forward(X), other.forward(X) + 1, rtol=1e-5, atol=1e-5)
    before = layer.forward(X).copy()
    model.train_step(*data, nerva.SGD(), 0.5)
    own_loop = nerva.SoftmaxCrossEntropy()(model.forward(X), data[1])
    model.backward(own_loop.gradient)
    nerva.Nesterov().step(model.parameters(), 0.5)
    assert (layer.forward(X) != before).any()
    assert (layer.bias != 1).all()


def test_a_weight_that_does_not_fit_is_refused():
    dense, sparse = nerva.Linear(4, 3), nerva.SparseLinear(4, 3, density=0.5)
    before = dense.weight.copy()
    with pytest.raises(ValueError, match="weight has shape"):
        dense.weight = np.ones((4, 3))
    with pytest.raises(TypeError, match="weight has dtype complex"):
        dense.weight = np.ones((3, 4), complex)
    np.testing.assert_array_equal(dense.weight, before)
    with pytest.raises(TypeError, match="weight is ndarray"):
        sparse.weight = np.ones((3, 4))
    with pytest.raises(ValueError, match="weight is <CSR 3 x 5"):
        sparse.weight = nerva.CSR.from_dense(np.ones((3, 5), np.float32))
    with pytest.raises(AttributeError, match="without a bias"):
        nerva.Linear(4, 3, bias=False).bias = np.ones(3)


def test_two_layers_do_not_share_a_weight():
    W = nerva.CSR.from_dense(np.ones((4, 4), np.float32))
    with pytest.raises(ValueError, match=r"layers\[1\] shares its weight"):
        nerva.Sequential([nerva.SparseLinear(4, 4, weight=W), nerva.SparseLinear(4, 4, weight=W)])


@pytest.mark.parametrize(("n", "error"), [(1025, ValueError), (10**6, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_number_of_threads_that_cannot_be(n, error):
    before = nerva.get_num_threads()
    with pytest.raises(error, match="n is"):
        nerva.set_num_threads(n)
    assert nerva.get_num_threads() == before


def test_a_broken_scipy_matrix_is_refused():
    matrix = csr_array(np.eye(4))
    matrix.indptr = np.array([0, 1, 9**8, 3, 4], np.int32)
    with pytest.raises(ValueError, match=r"ndex|indices|indptr"):
        nerva.CSR.from_scipy(matrix)
    with pytest.raises(TypeError, match="matrix is ndarray"):
        nerva.CSR.from_scipy(np.eye(3))


@pytest.mark.parametrize("values", [np.ones(4, complex), [None] * 4, ["1", "2", "3", "x"]])
def test_values_that_are_no_real_numbers_change_nothing(values):
    W = nerva.CSR.from_dense(np.eye(4))
    with pytest.raises(TypeError, match="values has dtype"):
        W.values = values
    np.testing.assert_array_equal(W.values, np.ones(4))


def test_numbers_too_large_for_the_network_are_named(data):
    X = data[0].astype(np.float64)
    X[7, 3] = 1e39
    for use in (network().predict, lambda X: network().fit(X, data[1], epochs=1)):
        with pytest.raises(ValueError, match=r"X\[7, 3\] is 1e\+39; every number must be finite in float32"):
            use(X)
    assert network(dtype="float64").predict(X).shape == (300,)


@pytest.mark.parametrize(
    ("method", "keyword", "message"),
    [
        (
            "fit",
            "learning_rate",
            "fit.. got an unexpected keyword argument 'learning_rate'; the learning rate is schedule=",
        ),
        ("fit", "lr", "fit.. got an unexpected keyword argument 'lr'; the learning rate is schedule="),
        ("train_step", "lr", "train_step.. got an unexpected keyword argument 'lr'; the learning rate is rate="),
        ("fit", "optimiser", "fit.. got an unexpected keyword argument 'optimiser'; did you mean optimizer="),
        (
            "evaluate",
            "batchsize",
            "evaluate.. got an unexpected keyword argument 'batchsize'; did you mean batch_size=",
        ),
        ("fit", "zzz", "fit.. got an unexpected keyword argument 'zzz'$"),
    ],
)
def test_a_keyword_that_a_method_lacks(method, keyword, message):
    with pytest.raises(TypeError, match=message):
        getattr(nerva.MLP([4, 3]), method)(np.ones((4, 4)), [0, 1, 2, 0], **{keyword: 0.1})
