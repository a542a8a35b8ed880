"""A truly sparse multi-layer perceptron that classifies, as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from nerva._kernels.memory import Array
from nerva.losses import LogisticCrossEntropy, Loss, SoftmaxCrossEntropy
from nerva.sklearn.estimator import SparseMLP, Targets


class SparseMLPClassifier(ClassifierMixin, SparseMLP):
    """A truly sparse multi-layer perceptron for classification, of one label for each sample or of several.

    The parameters that scikit-learn's MLPClassifier has mean here what they mean there, but for `solver`.

    Parameters
    ----------
    hidden_layer_sizes : the neurons of each hidden layer, or of the only one
    density : fraction of the weights that exist, of the whole network; or a sequence of one for each layer
    distribution, support, init, fan, batch_norm, dropout : as of nerva.MLP
    activation : of the hidden layers, a name or an object of nerva.activations; "logistic" is "sigmoid"
    solver : "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lion", or a nerva.Optimizer. MLPClassifier's
        "sgd" is "nesterov" here
    alpha : strength of the L2 penalty of weights, divided by the samples in a mini-batch; an Optimizer has its own
    batch_size : samples in a mini-batch; "auto" is all of them, 200 at most
    learning_rate_init : the learning rate; MLPClassifier's default is a tenth of it
    schedule : a callable epoch -> learning rate in its place (see nerva.schedules)
    topology : "set", "rigl" or a nerva.Topology, which moves weights while `fit` trains; None leaves them in place
    max_iter : the most epochs that `fit` trains for
    shuffle : whether every epoch has a new random order of the samples
    random_state : of positions and values of weights, order of samples, dropout, samples held out
    tol, n_iter_no_change : the training ends after so many epochs in a row in which the loss, or the score of the
        samples held out, got better than the best by no more than `tol`; math.inf never ends it
    verbose : whether to show the progress; "auto" does in terminals and notebooks
    warm_start : whether `fit` goes on with the network that is there
    early_stopping : whether to hold out samples, shared out by class, and keep the weights with which they score best
    validation_fraction : of the samples, held out for that
    dtype : float32 or float64, of the network; "auto" is that of the samples: float32 of float32 and of bytes (uint8),
        which stay bytes, else float64
    precision : "bfloat16" stores activations in half the memory (see nerva.Sequential)

    Attributes
    ----------
    model_ : the network, a nerva.MLP, whose `classes` are the labels where these are text
    classes_ : (n_classes,) the labels, sorted; of several labels their numbers
    n_iter_ : epochs of the last `fit`, or of all calls of `partial_fit`
    loss_, loss_curve_, best_loss_ : mean loss of the last epoch, of each, and the least, without the penalty
    validation_scores_, best_validation_score_ : accuracy of the samples held out after each epoch; None without any
    n_features_in_, feature_names_in_, n_outputs_ : of samples, and of the network
    coefs_, intercepts_ : weights, (inputs, outputs) and sparse, and biases of each linear layer

    y may be labels of any kind, (n_samples,), or rows of 0 and 1 for several labels of a sample, (n_samples, n_labels).

    >>> from nerva.sklearn import SparseMLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> network = SparseMLPClassifier((64, 32), max_iter=1000, random_state=0).fit(X, y)
    >>> network.score(X, y) > 0.95, network.model_.nnz
    (True, 480)
    """

    _y_numeric = False

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on samples X with labels y, from where the last call ended.

        Parameters
        ----------
        X, y, sample_weight : as of `fit`
        classes : (n_classes,) all labels there will be, at the first call

        Raises TypeError or ValueError, which names the argument or the parameter that is wrong.
        """
        return self._fit_further(X, y, sample_weight, classes)

    def predict(self, X: Any) -> Array:
        """Return the labels (n_samples,) of samples X, or 0 or 1 for each label, int64 (n_samples, n_labels)."""
        X = self._samples(X)
        found: Array = self.model_.predict(X)
        if self._several:
            return found
        return self.classes_[found] if found.dtype.kind == "i" else found.astype(self.classes_.dtype)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability (n_samples, n_classes) of each class, in the order of `classes_`, or of each label."""
        X = self._samples(X)
        return self.model_.predict_proba(X)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    # ---- what training asks for

    def _train(self, epochs: int, X: Any, targets: Array, weights: Array | None, callbacks: list[Any]) -> int:
        self.model_.classes = None  # the targets are numbers
        try:
            return super()._train(epochs, X, targets, weights, callbacks)
        finally:
            self.model_.classes = self._names()

    def _names(self) -> tuple[str, ...] | None:
        """Return the labels as a network knows them, which saves them; None where they are no text."""
        if self._several or not all(isinstance(label, str) for label in self.classes_):
            return None
        return tuple(map(str, self.classes_))

    def _targets(self, y: Any, known: bool, classes: Any, all_of_them: bool) -> Targets:
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(f"y has shape {y.shape}, and other numbers than 0 and 1: each sample may have one class")
        several = kind == "multilabel-indicator"
        if known and several != self._several:
            raise ValueError(f"y is {kind}, and was not before: {self.n_outputs_} outputs cannot be trained on both")
        if several:
            return self._rows(y.toarray() if hasattr(y, "toarray") else y, known, classes)
        y = column_or_1d(y, warn=True)
        if not known and classes is None and not all_of_them:
            raise ValueError("classes is None; the first call of partial_fit needs all labels that there will be")
        found = np.unique(y)
        given = found if classes is None else np.unique(classes)
        labels = self.classes_ if known else given
        if classes is not None and not np.array_equal(given, labels):
            raise ValueError(f"classes is {classes!r}; the network has the classes {labels}")
        if len(unknown := np.setdiff1d(found, labels)):
            raise ValueError(f"y has the classes {unknown}; those of the network are {labels}")
        if all_of_them and len(found) != len(labels):
            raise ValueError(f"y has the classes {found}; with warm_start it must have all of {labels}")
        return Targets(np.searchsorted(labels, y), len(labels), {"classes_": labels, "_several": False})

    def _rows(self, y: Array, known: bool, classes: Any) -> Targets:
        """Return the rows of several labels."""
        labels = y.shape[1]
        if known and labels != self.n_outputs_:
            raise ValueError(f"y has {labels} columns; the network has {self.n_outputs_} outputs")
        if classes is not None and len(classes) != labels:
            raise ValueError(f"classes has {len(classes)} labels; y has {labels} columns")
        return Targets(np.asarray(y, np.int64), labels, {"classes_": np.arange(labels), "_several": True})

    def _loss(self) -> Loss:
        return LogisticCrossEntropy() if self._several else SoftmaxCrossEntropy()

    def _score(self, targets: Array, predicted: Array, sample_weight: Array | None) -> float:
        return float(accuracy_score(targets, predicted, sample_weight=sample_weight))

    def _strata(self, targets: Array) -> Array | None:
        return targets if targets.ndim == 1 else None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
