"""What the options of the command line stand for: data, network, loss, optimizer, schedule, topology."""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nerva.datasets import Dataset, checkerboard, cifar10, cifar100, fashion_mnist, mini, mnist, npz, shapes
from nerva.losses import (
    CrossEntropy,
    LogisticCrossEntropy,
    Loss,
    MeanSquaredError,
    NegativeLogLikelihood,
    SoftmaxCrossEntropy,
    SquaredError,
)
from nerva.models.mlp import MLP
from nerva.models.pruning import pruned
from nerva.models.sequential import Sequential
from nerva.optimizers import OPTIMIZERS, Optimizer
from nerva.saving.weights import load_weights
from nerva.schedules import (
    Constant,
    Cosine,
    Exponential,
    MultiStep,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    TimeBased,
    WarmUp,
)
from nerva.topology import GMP, SET, SNFS, DeepR, GraNet, Magnitude, RigL, SRigL, Threshold, TopKAST, Topology
from nerva.topology.distributions import erdos_renyi

# The activation of the last layer that a loss asks for; logits else.
OUTPUTS = {"cross-entropy": "softmax", "negative-log-likelihood": "log_softmax"}


class Failure(Exception):
    """What went wrong, for the user to read, and the exit code that goes with it."""

    def __init__(self, problem: object, code: int = 1) -> None:
        super().__init__(problem)
        self.code = code


def load(options: Namespace) -> Dataset:
    """Return the data; raise Failure or OSError where they cannot be had."""
    try:
        preprocess = options.preprocess or "standardize"
        if options.data in (None, "shapes"):
            return shapes(preprocess=preprocess)
        if options.data in ("checkerboard", "mini"):
            return {"checkerboard": checkerboard, "mini": mini}[options.data](seed=options.seed)
        downloaded = {"cifar10": cifar10, "cifar100": cifar100, "mnist": mnist, "fashion-mnist": fashion_mnist}
        if options.data in downloaded:
            return downloaded[options.data](options.data_dir, preprocess=preprocess)
        return npz(options.data)
    except ValueError as error:
        raise Failure(error) from error


def build(options: Namespace, data: Dataset) -> Sequential:
    """Return the network, with the weights of a file where one is named; raise Failure where that cannot be."""
    sizes = [data.train.X.shape[1], *options.hidden, len(data.classes)]
    try:
        model = _pruned(options, sizes, data) if options.prune_at_start else _drawn(options, sizes)
    except ValueError as error:
        raise Failure(error, 2) from error
    if options.load_weights is not None:
        try:
            load_weights(options.load_weights, model)
        except (ValueError, TypeError) as error:
            raise Failure(f"--load-weights: {error}") from error
    return model


def _drawn(options: Namespace, sizes: list[int]) -> Sequential:
    distribution = options.distribution or "erdos-renyi"
    if options.power_scale is not None:
        distribution = partial(erdos_renyi, power_scale=options.power_scale)
    return MLP(
        sizes,
        density=options.densities or options.density,
        activation=options.activation,
        output=OUTPUTS.get(options.loss, "identity"),
        batch_norm=options.batch_norm,
        dropout=options.dropout,
        drop_connect=options.drop_connect,
        distribution=distribution,
        support=options.support,
        init=options.init,
        fan=options.fan,
        dtype=options.dtype,
        seed=options.seed,
        backend=options.backend,
        sparse=options.final_density is not None,
    )


def _pruned(options: Namespace, sizes: list[int], data: Dataset) -> Sequential:
    chosen = np.random.default_rng(options.seed).permutation(len(data.train.y))[: options.prune_samples]
    chosen.sort()
    return pruned(
        sizes,
        np.asarray(data.train.X[chosen]),
        data.train.y[chosen],
        density=options.density,
        criterion=options.prune_at_start,
        activation=options.activation,
        init=options.init,
        dtype=options.dtype,
        seed=options.seed,
        backend=options.backend,
    )


def loss(options: Namespace, data: Dataset) -> Loss:
    """Return the loss; raise Failure where it is not for these data."""
    if options.class_weights is not None and len(options.class_weights) != len(data.classes):
        raise Failure(f"--class-weights: {len(options.class_weights)} given for {len(data.classes)} classes", 2)
    if options.class_weights is not None and not any(options.class_weights):
        raise Failure("--class-weights: all are 0", 2)
    losses: dict[str, Callable[[], Loss]] = {
        "softmax-cross-entropy": lambda: SoftmaxCrossEntropy(
            label_smoothing=options.label_smoothing or 0.0, class_weights=options.class_weights
        ),
        "cross-entropy": CrossEntropy,
        "negative-log-likelihood": NegativeLogLikelihood,
        "logistic-cross-entropy": partial(LogisticCrossEntropy, classes=True),
        "squared-error": partial(SquaredError, classes=True),
        "mean-squared-error": partial(MeanSquaredError, classes=True),
    }
    return losses[options.loss]()


def optimizer(options: Namespace) -> Optimizer:
    """Return the optimizer."""
    settings: dict[str, Any] = {} if options.momentum is None else {"momentum": options.momentum}
    settings |= dict(zip(("beta1", "beta2"), options.betas or (), strict=False))
    settings |= {"clip_norm": options.clip_norm, "clip_value": options.clip_value}
    return OPTIMIZERS[options.optimizer](weight_decay=options.weight_decay, **settings)


def schedule(options: Namespace) -> Schedule:
    """Return the schedule of the learning rate."""
    rate, epochs = options.learning_rate, float(options.epochs)
    period = epochs if options.period is None else options.period
    schedules: dict[str, Callable[[], Schedule]] = {
        "milestones": lambda: MultiStep(rate, options.milestones, options.gamma or 1.0),
        "constant": lambda: Constant(rate),
        "time-based": lambda: TimeBased(rate, options.decay),
        "step": lambda: StepDecay(rate, options.gamma, period),
        "exponential": lambda: Exponential(rate, options.decay),
        "cosine": lambda: Cosine(rate, period, growth=1.0 if period < epochs else None),
        "one-cycle": lambda: OneCycle(rate, epochs),
        "plateau": lambda: ReduceOnPlateau(rate),
    }
    wanted = schedules[options.schedule]()
    return wanted if options.warm_up is None else WarmUp(wanted, options.warm_up)


def topology(options: Namespace) -> Topology | None:
    """Return how the weights move, None where they do not."""
    if options.topology is None:
        return None
    when: dict[str, Any] = {"every": options.update_every, "unit": "step"}
    fraction: dict[str, Any] = {} if options.drop_fraction is None else {"fraction": options.drop_fraction}
    init: dict[str, Any] = {} if options.grow_init is None else {"init": options.grow_init}
    methods: dict[str, Callable[[], Topology]] = {
        "set": lambda: SET(**fraction, **when, **init),
        "magnitude": lambda: Magnitude(**fraction, **when, **init),
        "threshold": lambda: Threshold(options.drop_threshold, **when, **init),
        "rigl": lambda: RigL(**fraction, **when, **init, accumulate=options.accumulate or 1),
        "srigl": lambda: SRigL(**fraction, **when, **init),
        "snfs": lambda: SNFS(**fraction, **when),
        "gmp": lambda: GMP(options.final_density, **when),
        "granet": lambda: GraNet(options.final_density, **fraction, **when, accumulate=options.accumulate or 1),
        "deepr": lambda: DeepR(**when),
        "top-kast": lambda: TopKAST(options.final_density / options.density, **fraction, **when, **init),
    }
    return methods[options.topology]()
