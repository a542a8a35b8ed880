"""From options to objects: data, network, loss, schedule and topology."""

import csv
import zipfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nerva.cli.choices import CRITERIA, DATA, LOSSES, LOSSES_OF, OPTIMIZERS, SCHEDULES, TOPOLOGIES
from nerva.cli.explain import explain
from nerva.cli.tables import is_table, load_table
from nerva.datasets import Augment, Dataset, npz
from nerva.datasets.tasks import Task
from nerva.losses import Loss
from nerva.models.mlp import MLP
from nerva.models.sequential import Sequential
from nerva.saving.model_file import load, save
from nerva.saving.weights import load_weights, save_weights, take_weights
from nerva.schedules import Schedule, WarmUp
from nerva.system.tensors import is_tensors
from nerva.topology import Topology
from nerva.topology.distributions import erdos_renyi

WORDS = {"classification": "labels of classes", "regression": "numbers", "multi-label": "several labels a sample"}


class Failure(Exception):
    """What went wrong, for the user to read, and the exit code that goes with it."""

    def __init__(self, problem: object, code: int = 1) -> None:
        super().__init__(problem)
        self.code = code


@contextmanager
def printing() -> Iterator[None]:
    """Raise Failure where standard output cannot be written, but BrokenPipeError where nobody reads it any more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"cannot write to standard output: {error.strerror}") from error


def load_data(options: Namespace, task: Task | None) -> Dataset:
    """Return the data set, of a task, where a file may be of several; raise Failure or OSError if it cannot be read."""
    name = options.data or "shapes"
    try:
        if is_table(name):
            return load_table(name, options.target, task, options.test_fraction, options.drop or ())
        return DATA.build(name, options) if name in DATA.rows else npz(name, task=task)
    except ImportError as error:
        raise Failure(error, 2) from error
    except (ValueError, csv.Error) as error:
        problem = explain(error, options)
        raise Failure(f"{name}: {problem}" if is_table(name) else problem) from error


def settle_task(options: Namespace, data: Dataset) -> None:
    """Set the task to that of the data, and the loss; raise Failure where options do not go with the task."""
    task, possible = data.task, LOSSES_OF[data.task]
    if options.loss is not None and options.loss not in possible:
        raise Failure(f"--loss {options.loss}: the targets are {WORDS[task]}; it can be {' or '.join(possible)}", 2)
    for name in ("label_smoothing", "class_weights", "prune_at_start"):
        if task != "classification" and getattr(options, name) is not None:
            raise Failure(f"--{name.replace('_', '-')}: goes with classes; the targets are {WORDS[task]}", 2)
    options.task, options.loss = task, options.loss or possible[0]


def gaps(data: Dataset) -> str | None:
    """Return a word about labels that no training sample has; None where each class has one."""
    missing = np.flatnonzero(np.bincount(data.train.y) == 0) if data.task == "classification" else np.empty(0, int)
    if not len(missing):
        return None
    shown = ", ".join(str(k) for k in missing[:5]) + (", ..." if len(missing) > 5 else "")
    labels = f"the label {shown}" if len(missing) == 1 else f"the labels {shown}"
    return f"no training sample has {labels}; the network has {len(data.classes):,} classes, from 0 on, all the same"


def load_model(path: str) -> Sequential:
    """Return the model in a file of `save` or `save_weights`; raise Failure or OSError if it cannot be read."""
    try:
        return load_weights(path) if zipfile.is_zipfile(path) else load(path)
    except (ValueError, TypeError) as error:
        raise Failure(error) from error


def save_model(model: Sequential, path: str) -> None:
    """Write a model as `save` does where the name ends in .safetensors, else as `save_weights`; raise what they do."""
    write = save if Path(path).suffix.lower() == ".safetensors" else save_weights
    write(model, path)


def build_network(options: Namespace, data: Dataset) -> Sequential:
    """Return the network, with the weights of a file if one is named; raise Failure if it is impossible."""
    sizes = [data.train.X.shape[1], *options.hidden, len(data.classes)]
    try:
        model = _prune(options, sizes, data) if options.prune_at_start else _initialize(options, sizes)
        model.precision = options.precision
    except ValueError as error:
        raise Failure(explain(error, options), 2) from error
    if options.load_weights is not None:
        try:
            if is_tensors(Path(options.load_weights)):
                take_weights(model, load(options.load_weights))
            else:
                load_weights(options.load_weights, model)
        except (ValueError, TypeError) as error:
            raise Failure(f"--load-weights: {error}") from error
        model.classes = None  # the data have their own
    return model


def _common(options: Namespace) -> dict[str, Any]:
    """Return the keywords of every network."""
    return {name: getattr(options, name) for name in ("activation", "init", "dtype", "seed", "backend")}


def _initialize(options: Namespace, sizes: list[int]) -> Sequential:
    """Return a network with random weights."""
    distribution = options.distribution or "erdos-renyi"
    if options.power_scale is not None:
        distribution = partial(erdos_renyi, power_scale=options.power_scale)
    chosen = [LOSSES.rows[options.loss]] + ([TOPOLOGIES.rows[options.topology]] if options.topology else [])
    asked = {name: value for row in chosen for name, value in row.network.items()}
    return MLP(
        sizes,
        density=options.densities or options.density,
        batch_norm=options.batch_norm,
        dropout=options.dropout,
        drop_connect=options.drop_connect,
        distribution=distribution,
        support=options.support,
        fan=options.fan,
        **_common(options),
        **asked,
    )


def _prune(options: Namespace, sizes: list[int], data: Dataset) -> Sequential:
    """Return a network pruned at the start, by a criterion that may look at training samples."""
    chosen = np.random.default_rng(options.seed).permutation(len(data.train.y))[: options.prune_samples or 0]
    chosen.sort()
    return CRITERIA.build(
        options.prune_at_start,
        options,
        sizes=sizes,
        X=np.asarray(data.train.X[chosen]),
        y=data.train.y[chosen],
        density=options.density,
        **_common(options),
    )


def build_loss(options: Namespace, data: Dataset) -> Loss:
    """Return the loss; raise Failure if its class weights do not fit the data."""
    weights = options.class_weights
    if weights is not None and len(weights) != len(data.classes):
        raise Failure(f"--class-weights: {len(weights)} given for {len(data.classes)} classes", 2)
    if weights is not None and not any(weights):
        raise Failure("--class-weights: all are 0", 2)
    return LOSSES.build(options.loss, options, **({} if data.task == "classification" else {"classes": False}))


def build_schedule(options: Namespace) -> Schedule:
    """Return the schedule of the learning rate."""
    schedule = SCHEDULES.build(options.schedule, options)
    return schedule if options.warm_up is None else WarmUp(schedule, options.warm_up)


def fit_topology(options: Namespace, data: Dataset) -> str | None:
    """Set --update-every to what the run is long enough for, and return a word about it; None where it is already."""
    method, steps = build_topology(options), -(-len(data.train.y) // options.batch_size)
    found = None if method is None else method.when.fitted(options.epochs * steps, steps)
    if found is None or found.every == options.update_every:
        return None
    never = f"an update every {options.update_every:,} steps is never due in {options.epochs * steps:,} steps"
    options.update_every = found.every
    return f"--topology {options.topology}: {never}; --update-every {found.every} is taken"


def build_topology(options: Namespace) -> Topology | None:
    """Return the method of dynamic sparse training; None if the topology is static."""
    return None if options.topology is None else TOPOLOGIES.build(options.topology, options, unit="step")


def fit_settings(options: Namespace, data: Dataset) -> dict[str, Any]:
    """Return the settings of `fit` that say what is computed."""
    return {
        "validation": data.test,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "optimizer": OPTIMIZERS.build(options.optimizer, options),
        "schedule": build_schedule(options),
        "topology": build_topology(options),
        "shuffle": not options.no_shuffle,
        "augment": Augment(data.image_shape) if options.augment and data.image_shape else None,
        "verbose": False,
    }
