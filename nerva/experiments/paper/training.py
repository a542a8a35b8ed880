"""Units of work that train one network on one core, truly sparse or masked, and go on where they were stopped.

Parts that need the same run share it: a run of the same settings has the same name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nerva._kernels.mkl import set_num_threads
from nerva.datasets import Dataset
from nerva.experiments.paper.batches import augmentation, batches, order_rng
from nerva.experiments.paper.masked import Masked, require_torch
from nerva.experiments.paper.networks import network
from nerva.experiments.paper.protocol import Protocol, milestones
from nerva.experiments.paper.units import Record, Unit
from nerva.models.sequential import Sequential
from nerva.optimizers import Nesterov
from nerva.schedules import MultiStep
from nerva.system.tensors import read_tensors, write_tensors
from nerva.topology.distributions import weight_count

SIDES = ("nerva", "masked")
TRAINING_SAMPLES, TEST_SAMPLES = 50_000, 10_000

# Measured seconds of a step on one core: of each step, and of each weight and sample of it.
STEP, PER_WEIGHT, PER_DENSE_WEIGHT = 4e-4, 9e-11, 6.3e-11


def settings_of(
    protocol: Protocol,
    side: str,
    sparsity: float,
    seeds: int | tuple[int, int, int],
    epochs: int,
    way: str = "erdos-renyi",
) -> Record:
    """Return the settings of a run: side "nerva" or "masked", seeds of the support, the weights and the order."""
    support, weights, order = (seeds,) * 3 if isinstance(seeds, int) else seeds
    settings = {
        "side": side,
        "way": way,
        "sizes": list(protocol.sizes),
        "sparsity": sparsity,
        "seeds": [support, weights, order],
        "epochs": epochs,
        "rate": protocol.rate(sparsity),
        "batch_size": protocol.batch_size,
        "momentum": protocol.momentum,
        "augment": protocol.augment,
        "data": protocol.data,
        "label": protocol.label,
        "samples": protocol.samples,
    }
    # What `fit` is given: it asks for the rate before every batch, masked PyTorch before every epoch.
    return settings | ({"milestones": milestones(epochs)} if side == "nerva" else {})


def run(
    protocol: Protocol,
    side: str,
    sparsity: float,
    seeds: int | tuple[int, int, int],
    epochs: int,
    way: str = "erdos-renyi",
) -> Unit:
    """Return the unit of work that trains one network; two of one name are the same."""
    settings = settings_of(protocol, side, sparsity, seeds, epochs, way)
    of_seeds = ".".join(map(str, settings["seeds"] if len(set(settings["seeds"])) > 1 else settings["seeds"][:1]))
    kind = side if way == "erdos-renyi" else f"{side}-{way}"
    name = f"{kind}-{sparsity:g}-{of_seeds}-{epochs}"
    return Unit(name, train, settings, cost=seconds(settings))


def seconds(settings: Record) -> float:
    """Return the estimated seconds of a run on one core."""
    shapes = list(pairwise(settings["sizes"]))
    dense = sum(D * K for D, K in shapes)
    weights = weight_count(1.0 - settings["sparsity"], 1, dense)
    samples, batch = settings["samples"] or TRAINING_SAMPLES, settings["batch_size"]
    per_sample = PER_WEIGHT * weights if settings["side"] == "nerva" else PER_DENSE_WEIGHT * dense
    return float(settings["epochs"] * (samples / batch * STEP + (samples + TEST_SAMPLES / 3) * per_sample))


def train(settings: Record, folder: Path) -> Record:
    """Train one network; return its loss, test accuracy and seconds by epoch.

    After each epoch the state of the run is written to `folder`: a run that is killed goes on there, to the same bits.
    """
    set_num_threads(1)
    data = Protocol(data=settings["data"], samples=settings["samples"]).load()
    model = network_of(settings)
    weights = {"weights": model.nnz, "nonzeros": nonzeros(model)}
    side = {"nerva": _train_nerva, "masked": _train_masked}[settings["side"]]
    return {**weights, **side(settings, folder, model, data)}


def network_of(settings: Record, dtype: Any = np.float32) -> Sequential:
    """Return the network of a run before its first step."""
    support, weights, _ = settings["seeds"]
    sizes, sparsity, way = settings["sizes"], settings["sparsity"], settings["way"]
    return network(sizes, sparsity, support_seed=support, weight_seed=weights, way=way, dtype=dtype)


def nonzeros(model: Sequential) -> list[int]:
    """Return how many weights of each layer are not zero."""
    return [int(np.count_nonzero(layer.dense_weight())) for layer in model.layers]  # type: ignore[attr-defined]


def schedule_of(settings: Record) -> MultiStep:
    """Return the learning rate of a run by epoch."""
    return MultiStep(settings["rate"], milestones(settings["epochs"]), gamma=0.1)


def _train_nerva(settings: Record, folder: Path, model: Sequential, data: Dataset) -> Record:
    """Train as users do: by `fit`, with its own checkpoints."""
    history = model.fit(
        *data.train,
        validation=data.test,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        optimizer=Nesterov(settings["momentum"]),
        schedule=schedule_of(settings),
        rng=order_rng(settings["seeds"][2]),
        augment=augmentation(settings["augment"]),
        checkpoint=folder,
        resume=True,
        verbose=False,
        diverged="warn",
    )
    rows = [(epoch.loss, epoch.test_accuracy, epoch.seconds) for epoch in history.epochs]
    return _by_epoch(rows)


def _train_masked(settings: Record, folder: Path, model: Sequential, data: Dataset) -> Record:
    """Train masked PyTorch on the batches that `fit` takes."""
    require_torch().set_num_threads(1)
    twin, rng = Masked(model, settings["momentum"], settings["batch_size"]), order_rng(settings["seeds"][2])
    rows: list[tuple[float, float, float]] = []
    if (path := folder / "masked.safetensors").exists():
        arrays, about = read_tensors(path)
        twin.restore(dict(arrays))
        rng.bit_generator.state = about["rng"]
        rows = [(row[0], row[1], row[2]) for row in about["rows"]]
    epochs, schedule = batches(data.train, settings["batch_size"], rng, settings["augment"]), schedule_of(settings)
    while len(rows) < settings["epochs"]:
        started, total, rate = time.perf_counter(), 0.0, schedule(float(len(rows)))
        for X, y in epochs:
            assert y is not None
            total += twin.step(X, y, rate) * len(y)
        took = time.perf_counter() - started
        twin.check_support()
        rows.append((total / len(data.train.y), twin.accuracy(*data.test), took))
        write_tensors(path, twin.state(), {"rng": _plain(rng.bit_generator.state), "rows": rows})
    return _by_epoch(rows)


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a generator as JSON takes it."""
    return {key: _plain(value) if isinstance(value, Mapping) else value for key, value in state.items()}


def _by_epoch(rows: list[Any]) -> Record:
    loss, accuracy, took = zip(*rows, strict=True)
    return {"loss": list(loss), "accuracy": list(accuracy), "seconds": [round(value, 3) for value in took]}
