"""What the classifier and the regressor share: parameters, training, and what is known after it."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from nerva._kernels.memory import Array
from nerva.callbacks import EarlyStopping
from nerva.layers import Affine, SparseLinear
from nerva.losses import Loss
from nerva.models.mlp import MLP
from nerva.optimizers import Optimizer
from nerva.schedules import Schedule
from nerva.sklearn import settings
from nerva.sklearn.callbacks import CallbackSupport, FitTask, ScoreStopping, with_callbacks

READ = (np.float64, np.float32, np.uint8)  # dtypes of X that are not converted


class Targets(NamedTuple):
    """What a network is trained on.

    Parameters
    ----------
    values : as the loss takes them
    outputs : of the network
    attributes : of the estimator, by name: what predictions need to know
    """

    values: Array
    outputs: int
    attributes: dict[str, Any]


class SparseMLP(CallbackSupport, BaseEstimator, ABC):
    """The base of SparseMLPClassifier, which describes the parameters, and SparseMLPRegressor."""

    _y_numeric: ClassVar[bool]

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        settings.name_after_class(cls)

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        *,
        density: Any = 0.2,
        distribution: Any = "erdos-renyi",
        support: Any = "random",
        activation: Any = "relu",
        init: Any = "xavier",
        fan: Any = "dense",
        batch_norm: bool = False,
        dropout: float = 0.0,
        solver: str | Optimizer = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.01,
        schedule: Schedule | None = None,
        topology: Any = None,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        dtype: Any = "auto",
        precision: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.density = density
        self.distribution = distribution
        self.support = support
        self.activation = activation
        self.init = init
        self.fan = fan
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.schedule = schedule
        self.topology = topology
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.dtype = dtype
        self.precision = precision

    # ---- what a subclass defines

    @abstractmethod
    def _targets(self, y: Array, known: bool, classes: npt.ArrayLike | None, all_of_them: bool) -> Targets:
        """Return the targets, checked; nothing is changed yet.

        Parameters
        ----------
        y : as scikit-learn has validated it
        known : whether the network is trained further, which knows its outputs already
        classes : of `partial_fit`; None for those of y
        all_of_them : whether y must have all classes that are known, as with warm_start
        """

    @abstractmethod
    def _loss(self) -> Loss:
        """Return the loss."""

    @abstractmethod
    def _score(self, targets: Array, predicted: Array, sample_weight: Array | None) -> float:
        """Return the score of what the network predicts for samples held out."""

    def _strata(self, targets: Array) -> Array | None:
        """Return the labels that samples held out are to be shared out by; None for none."""
        return None

    # ---- training

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples X with targets y, anew unless `warm_start` is set.

        Parameters
        ----------
        X : (n_samples, n_features), numbers, a data frame or a SciPy sparse matrix
        y : (n_samples,) or (n_samples, n_outputs)
        sample_weight : (n_samples,) weights of the samples in the loss; a sample of weight 0 is left out

        Warns (ConvergenceWarning) where `max_iter` ended the training. Raises TypeError or ValueError, which names the
        argument or the parameter that is wrong.
        """
        task, how = FitTask(self, X, y, sample_weight), settings.training_of(self)
        again = how.warm_start and hasattr(self, "model_")
        X, targets, weights = self._prepare(X, y, sample_weight, again, all_of_them=True)
        stopping, X, values, weights = self._stopping(how, X, targets.values, weights)
        self._begin(how, X, targets, again)
        task.begin(how.epochs)
        callbacks = [*([task] if task.wanted else []), *([] if stopping is None else [stopping])]
        self.n_iter_ = self._train(how.epochs, X, values, weights, callbacks)
        self.best_loss_, self.validation_scores_, self.best_validation_score_ = min(self.loss_curve_), None, None
        if isinstance(stopping, ScoreStopping):
            self.validation_scores_, self.best_validation_score_ = stopping.scores, stopping.best
        task.end()
        if stopping is not None and stopping.stopped_epoch is None and self.n_iter_ == how.epochs:
            message = f"all {how.epochs} epochs (max_iter) are done, and the training has not converged"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)  # with_callbacks is between
        return self

    def _fit_further(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Train for one epoch, from where the last call ended; see `partial_fit`."""
        how, again = settings.training_of(self), hasattr(self, "model_")
        for name, given in (("early_stopping", self.early_stopping), ("topology", self.topology is not None)):
            if given:
                raise ValueError(f"{name} is {getattr(self, name)!r}, which needs the epochs of a fit: not partial_fit")
        X, targets, weights = self._prepare(X, y, sample_weight, again, classes)
        if not again:
            self._begin(how, X, targets, again)
        self.n_iter_ += self._train(1, X, targets.values, weights, [])
        return self

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, again: bool, classes: Any = None, all_of_them: bool = False
    ) -> tuple[Any, Targets, Array | None]:
        """Return samples, targets and weights, without samples of weight 0; `again` is for the network there is."""
        how: dict[str, Any] = {"multi_output": True, "y_numeric": self._y_numeric, "reset": not again}
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=READ, **how)
        weights = settings.sample_weights(sample_weight, X.shape[0])
        targets = self._targets(y, again, classes, all_of_them)
        if weights is not None and not weights.all():
            kept = np.flatnonzero(weights)
            X, targets, weights = X[kept], targets._replace(values=targets.values[kept]), weights[kept]
        return X, targets, weights

    def _begin(self, how: settings.Training, X: Any, targets: Targets, again: bool) -> None:
        """Begin a training: with another network unless `again`, and with new state of the optimizer."""
        if not again:
            self.model_, self.n_outputs_ = self._network(X, targets.outputs), targets.outputs
            self.loss_curve_: list[float] = []
            for name, value in targets.attributes.items():
                setattr(self, name, value)
        self._optimizer, self._schedule, self.n_iter_ = how.optimizer, how.schedule, 0

    def _network(self, X: Any, outputs: int) -> MLP:
        random = check_random_state(self.random_state)
        return MLP(
            [X.shape[1], *settings.hidden_sizes(self.hidden_layer_sizes), outputs],
            density=self.density,
            distribution=self.distribution,
            support=self.support,
            activation=settings.activations(self.activation),
            init=self.init,
            fan=self.fan,
            batch_norm=self.batch_norm,
            dropout=self.dropout,
            dtype=settings.network_dtype(self.dtype, X.dtype, self.precision),
            precision=self.precision,
            seed=np.random.default_rng(random.randint(0, 2**32, size=4, dtype=np.uint32)),
        )

    def _stopping(
        self, how: settings.Training, X: Any, targets: Array, weights: Array | None
    ) -> tuple[EarlyStopping | None, Any, Array, Array | None]:
        """Return the callback that ends the training, if one may, and the samples that are left to train on."""
        if how.validation_fraction is None:
            if how.patience is None:
                return None, X, targets, weights
            ending = EarlyStopping("loss", patience=how.patience, min_delta=how.tol, restore_best_weights=False)
            return ending, X, targets, weights
        rows, held_out = train_test_split(
            np.arange(X.shape[0]),
            test_size=how.validation_fraction,
            random_state=check_random_state(self.random_state),
            stratify=self._strata(targets),
        )
        if len(held_out) < 2:
            found = f"of {X.shape[0]} samples it holds out {len(held_out)}, and a score needs 2"
            raise ValueError(f"validation_fraction is {self.validation_fraction}: {found}")
        rows, held_out = np.sort(rows), np.sort(held_out)
        others, wanted = X[held_out], targets[held_out]
        own, left = (None, None) if weights is None else (weights[held_out], weights[rows])

        def score() -> float:
            return self._score(wanted, self.model_.predict(others), own)

        patience = how.epochs if how.patience is None else how.patience
        return ScoreStopping(score, patience=patience, min_delta=how.tol), X[rows], targets[rows], left

    def _train(self, epochs: int, X: Any, targets: Array, weights: Array | None, callbacks: list[Any]) -> int:
        """Train for some epochs, after `n_iter_` others, and return how many they were."""
        batch = settings.samples_in_batch(self.batch_size, X.shape[0])
        mean = 1.0 if weights is None else float(weights.mean())
        if isinstance(self._optimizer, settings.Penalized):
            self._optimizer.penalize(self.alpha / (batch * mean))
        history = self.model_.fit(
            X,
            targets,
            epochs=epochs,
            initial_epoch=self.n_iter_,
            batch_size=batch,
            optimizer=self._optimizer,
            schedule=self._schedule,
            loss=self._loss(),
            sample_weight=weights,
            shuffle=self.shuffle,
            topology=settings.topology_of(self.topology),
            callbacks=callbacks,
            verbose="auto" if self.verbose == "auto" else bool(self.verbose),
        )
        self.loss_curve_ += history["loss"]
        self.loss_ = self.loss_curve_[-1]
        return len(history)

    # ---- after training

    def _samples(self, X: Any) -> Any:
        """Return samples to predict, validated; raise NotFittedError before `fit`."""
        check_is_fitted(self)
        return validate_data(self, X, accept_sparse="csr", dtype=READ, reset=False)

    @property
    def coefs_(self) -> list[Any]:
        """The weights of each linear layer, (inputs, outputs): a SciPy sparse array, or an array of a dense layer."""
        return [
            layer.weight.to_scipy().T if isinstance(layer, SparseLinear) else layer.dense_weight().T
            for layer in self._linear_layers()
        ]

    @property
    def intercepts_(self) -> list[Any]:
        """The bias of each linear layer, (outputs,); None where it has none, below batch normalization."""
        return [layer.bias for layer in self._linear_layers()]

    def _linear_layers(self) -> list[Any]:
        return [layer for layer in self.model_.layers if isinstance(layer, Affine)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
