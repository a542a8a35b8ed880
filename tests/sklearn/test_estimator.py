"""What the estimators share: parameters and what they do, samples of every kind, copies, files, searches."""

import inspect
import math
import pickle
import sys

import joblib
import numpy as np
import pandas
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nerva
import nerva.sklearn
from nerva.sklearn import SparseMLPClassifier, SparseMLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(200, 20, n_informative=6, n_classes=3, random_state=0)


def make(**settings):
    return SparseMLPClassifier(**{"hidden_layer_sizes": (32, 16), "random_state": 0, "max_iter": 20, **settings})


def same(a, b):
    """Whether two estimators have the same weights, in the same places."""
    pairs = zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True)
    return all(
        np.array_equal(x.toarray(), y.toarray()) if sparse.issparse(x) else np.array_equal(x, y) for x, y in pairs
    )


def test_both_have_the_same_parameters():
    assert list(SparseMLPClassifier().get_params()) == list(SparseMLPRegressor().get_params())
    described = inspect.getdoc(SparseMLPClassifier).split("Attributes")[0]
    assert not [name for name in SparseMLPClassifier().get_params() if name not in described]


def test_what_is_known_after_fit():
    network = make(density=[0.5, 0.25, 1.0]).fit(X, Y)
    assert [layer.density for layer in network.model_.layers] == [0.5, 0.25, 1.0]
    assert [w.shape for w in network.coefs_] == [(20, 32), (32, 16), (16, 3)]
    assert [sparse.issparse(w) for w in network.coefs_] == [True, True, False]
    assert [b.shape for b in network.intercepts_] == [(32,), (16,), (3,)]
    hidden = np.maximum(X @ network.coefs_[0] + network.intercepts_[0], 0)
    hidden = np.maximum(hidden @ network.coefs_[1] + network.intercepts_[1], 0)
    logits = hidden @ network.coefs_[2] + network.intercepts_[2]
    np.testing.assert_array_equal(network.predict(X), logits.argmax(axis=1))
    assert len(network.loss_curve_) == network.n_iter_ == 20
    assert network.loss_ == network.loss_curve_[-1]
    assert network.best_loss_ == min(network.loss_curve_)
    assert network.validation_scores_ is None
    assert make(batch_norm=True).fit(X, Y).intercepts_[0] is None


def test_before_fit():
    with pytest.raises(NotFittedError):
        make().predict(X)
    assert not hasattr(make(), "coefs_")


def test_the_random_state_decides():
    assert same(make().fit(X, Y), make().fit(X, Y))
    assert not same(make().fit(X, Y), make(random_state=1).fit(X, Y))
    state = np.random.RandomState(0)
    assert not same(make(random_state=state).fit(X, Y), make(random_state=state).fit(X, Y))


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_samples(kind):
    entries = np.where(np.random.default_rng(0).random(X.shape) < 0.2, X, 0)
    dense, network = make().fit(entries, Y), make().fit(kind(entries), Y)
    assert network.loss_curve_ == pytest.approx(dense.loss_curve_, rel=1e-9)
    np.testing.assert_allclose(network.predict_proba(kind(entries)), dense.predict_proba(entries), rtol=1e-9)
    early = [make(early_stopping=True).fit(each, Y) for each in (entries, kind(entries))]
    assert early[0].validation_scores_ == early[1].validation_scores_


@pytest.mark.parametrize(
    ("dtype", "samples", "found"),
    [
        ("auto", "float32", "float32"),
        ("auto", "float64", "float64"),
        ("auto", "int64", "float64"),
        ("auto", "uint8", "float32"),
        ("float32", "float64", "float32"),
        (np.float64, "float32", "float64"),
    ],
)
def test_the_dtype_of_the_network(dtype, samples, found):
    given = (10 * np.abs(X)).astype(samples)
    network = make(dtype=dtype).fit(given, Y)
    assert network.model_.dtype == network.predict_proba(given).dtype == found
    assert network.predict(given.astype("float64")).tolist() == network.predict(given).tolist()


def test_a_data_frame_has_names():
    frame = pandas.DataFrame(X, columns=[f"gene {i}" for i in range(20)])
    network = make().fit(frame, pandas.Series(Y))
    assert network.feature_names_in_[3] == "gene 3"
    assert same(network, make().fit(X, Y))
    with pytest.raises(ValueError, match="feature names"):
        network.predict(frame[frame.columns[::-1]])


def test_the_penalty_is_that_of_scikit_learn():
    """Without a gradient of the loss by the weights, a step of gradient descent is the penalty's alone."""
    settings = {"solver": "sgd", "learning_rate_init": 0.5, "alpha": 8.0, "max_iter": 1}
    zeros = np.zeros((40, 20))
    before, after = (make(**{**settings, "alpha": alpha}).fit(zeros, np.arange(40) % 3) for alpha in (0, 8.0))
    factor = 1 - 0.5 * 8.0 / 40  # rate, alpha and the samples of the batch
    np.testing.assert_allclose(after.coefs_[0].toarray(), factor * before.coefs_[0].toarray())
    np.testing.assert_allclose(after.intercepts_[2], before.intercepts_[2])
    weights = np.full(40, 2.0)
    weighted = make(**settings).fit(zeros, np.arange(40) % 3, sample_weight=weights)
    np.testing.assert_allclose(weighted.coefs_[0].toarray(), (1 - 0.5 * 8.0 / 80) * before.coefs_[0].toarray())


def test_an_optimizer_of_ones_own():
    own = nerva.Groups([("bias", nerva.SGD())], rest=nerva.Adam(weight_decay=0.1))
    named = make(alpha=0.1 * 200, shuffle=False)
    grouped = make(solver=nerva.Groups([("bias", nerva.Adam())], rest=nerva.Adam(weight_decay=0.1)), shuffle=False)
    assert same(named.fit(X, Y), grouped.fit(X, Y))
    assert not same(make(solver=own).fit(X, Y), grouped)


def test_parameters_are_left_as_they_were():
    schedule, solver = nerva.ReduceOnPlateau(0.01, patience=0, threshold=0.5), nerva.Adam()
    network = make(schedule=schedule, solver=solver, max_iter=60).fit(X, Y)
    assert schedule(0) == 0.01
    assert network.schedule is schedule
    assert network.solver is solver
    network.set_params(solver="sgd").partial_fit(X, Y)  # the optimizer stays that of the call before


def test_a_schedule_sets_the_rate():
    constant = make(learning_rate_init=0.003).fit(X, Y)
    assert same(make(schedule=nerva.Constant(0.003)).fit(X, Y), constant)
    assert not same(make(schedule=nerva.Cosine(0.003, period=20)).fit(X, Y), constant)


@pytest.mark.parametrize("topology", ["set", "rigl", nerva.RigL(every=3)])
def test_weights_move(topology):
    fixed, moved = (make(topology=each, max_iter=150, n_iter_no_change=math.inf).fit(X, Y) for each in (None, topology))
    assert moved.model_.nnz == fixed.model_.nnz
    assert moved.coefs_[0].tocsr().multiply(fixed.coefs_[0].tocsr() != 0).nnz < fixed.coefs_[0].nnz


def test_a_warm_start_goes_on():
    cold, warm = make(), make(warm_start=True)
    for _ in range(2):
        cold.fit(X, Y)
        warm.fit(X, Y)
    assert warm.loss_ < cold.loss_
    assert (len(warm.loss_curve_), len(cold.loss_curve_), warm.n_iter_) == (40, 20, 20)
    assert warm.loss_curve_[:20] == cold.loss_curve_


def test_a_warm_start_begins_with_new_state_of_the_optimizer():
    named, given = (make(warm_start=True, alpha=0, solver=solver) for solver in ("adam", nerva.Adam()))
    for _ in range(2):
        assert same(named.fit(X, Y), given.fit(X, Y))


def test_training_ends_when_nothing_gets_better():
    with pytest.warns(ConvergenceWarning, match=r"all 3 epochs \(max_iter\) are done"):
        make(max_iter=3).fit(X, Y)
    assert make(max_iter=10_000, tol=1e-3).fit(X, Y).n_iter_ < 1000
    assert make(max_iter=500, tol=1.0, n_iter_no_change=2).fit(X, Y).n_iter_ == 3


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_training_may_have_no_end_of_its_own():
    assert make(max_iter=30, tol=1.0, n_iter_no_change=math.inf).fit(X, Y).n_iter_ == 30


def test_verbose(capsys):
    make(max_iter=2, verbose=True).fit(X, Y)
    assert len(capsys.readouterr().out.splitlines()) >= 2
    make(max_iter=2).fit(X, Y)
    assert capsys.readouterr().out == ""


def test_copies_and_files(tmp_path):
    network = make(batch_norm=True).partial_fit(X, Y, classes=[0, 1, 2])
    joblib.dump(network, tmp_path / "network")
    others = [pickle.loads(pickle.dumps(network)), joblib.load(tmp_path / "network", mmap_mode="r")]
    network.partial_fit(X, Y)
    for other in others:
        assert same(other.partial_fit(X, Y), network)  # with the optimizer's state
        np.testing.assert_array_equal(other.predict_proba(X), network.predict_proba(X))
    fresh = clone(network)
    assert fresh.get_params() == network.get_params()
    assert not hasattr(fresh, "model_")


def test_a_search_over_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), make())
    grid = {
        f"sparsemlpclassifier__{name}": values for name, values in {"density": [0.01, 0.5], "alpha": [0, 1]}.items()
    }
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, Y)
    assert search.best_params_["sparsemlpclassifier__density"] == 0.5
    assert search.best_score_ > search.cv_results_["mean_test_score"].min() + 0.1
    assert search.best_estimator_[-1].model_.density == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": (10, 0)}, r"hidden_layer_sizes\[1\] is 0; it must be at least 1"),
        ({"hidden_layer_sizes": "10"}, "hidden_layer_sizes is '10'"),
        ({"density": 1.5}, "density is 1.5; it must be within 0 to 1"),
        ({"activation": "reloo"}, "activation is 'reloo'; it must be one of"),
        ({"solver": "lbfgs"}, "solver is 'lbfgs'; it must be one of sgd, "),
        ({"solver": nerva.Adam}, "solver is <class"),
        ({"alpha": -1}, "alpha is -1; it must be finite and not negative"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"batch_size": "all"}, "batch_size is 'all'; it must be an integer, at least 1, or 'auto'"),
        ({"learning_rate_init": 0}, "learning_rate_init is 0; it must be finite and above 0"),
        ({"topology": "rig"}, "topology is 'rig'; it must be one of set, rigl"),
        ({"topology": nerva.SET}, "topology is <class"),
        ({"max_iter": 0}, "max_iter is 0; it must be at least 1"),
        ({"tol": -1}, "tol is -1; it must be finite and not negative"),
        ({"n_iter_no_change": 0}, "n_iter_no_change is 0; it must be at least 1"),
        ({"warm_start": "yes"}, "warm_start is 'yes'; it must be True or False"),
        ({"early_stopping": 1}, "early_stopping is 1; it must be True or False"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0; it must be above 0 and below 1"),
        ({"dtype": "float16"}, "dtype is 'float16'; it must be float32 or float64"),
        ({"precision": "float8"}, "precision is 'float8'"),
    ],
)
def test_wrong_parameters_are_refused(settings, message):
    network = make().fit(X, Y).set_params(**settings)
    before = network.model_
    with pytest.raises((TypeError, ValueError), match=message):
        network.fit(X, Y)
    assert network.model_ is before


def test_wrong_data_are_refused_before_anything_is_changed():
    network = make().fit(X, Y)
    expected = network.predict(X).tolist()
    network.set_params(early_stopping=True, validation_fraction=0.5)
    for wrong in (np.where(np.arange(200), "a", "b"), Y[:-1], np.linspace(0, 1, 200)):
        with pytest.raises(ValueError, match=r"least populated|inconsistent|continuous"):
            network.fit(X, wrong)
        assert network.predict(X).tolist() == expected


@pytest.mark.parametrize("settings", [{"topology": "set"}, {"early_stopping": True}])
def test_parts_have_no_use_for_some_parameters(settings):
    with pytest.raises(ValueError, match=r"which needs the epochs of a fit: not partial_fit"):
        make(**settings).partial_fit(X, Y, classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(200), "sample_weight is zero for every sample"),
        (np.ones(3), r"sample_weight has shape \(3,\); it must be \(200,\)"),
        (np.full(200, -1.0), "sample_weight holds a number that is negative or not finite"),
        (np.full(200, np.nan), "sample_weight holds a number that is negative or not finite"),
        (["1"] * 200, "sample_weight has dtype"),
        (np.ma.masked_array(np.ones(200)), "sample_weight is a masked array"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make().fit(X, Y, sample_weight=weights)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        ImportError, match=r"SparseMLPClassifier needs scikit-learn: pip install 'nerva-sparse\[sklearn"
    ):
        _ = nerva.sklearn.SparseMLPClassifier
    with pytest.raises(AttributeError, match="no attribute 'MLP'"):
        _ = nerva.sklearn.MLP


@pytest.mark.parametrize("kind", [SparseMLPClassifier, SparseMLPRegressor])
def test_a_parameter_that_there_is_not_names_the_class(kind):
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__\(\) got an unexpected .*'densty'"):
        kind(densty=0.1)
    assert kind().get_params()["density"] == kind(density=0.2).density
