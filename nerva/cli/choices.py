"""Options whose value is a name: data set, loss, optimizer, schedule, topology, criterion of pruning at the start.

Each name is one row of a table: the class or function it stands for, and the options that go with it. To add a name,
add its row: the choices of the option, which options go together (nerva.cli.rules), their defaults and the object that
is built all follow from it.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from nerva.datasets import Dataset, checkerboard, cifar10, cifar100, fashion_mnist, mini, mnist, shapes
from nerva.datasets.tasks import Task
from nerva.losses import (
    CrossEntropy,
    LogisticCrossEntropy,
    Loss,
    MeanSquaredError,
    NegativeLogLikelihood,
    SoftmaxCrossEntropy,
    SquaredError,
)
from nerva.models.pruning import pruned
from nerva.models.sequential import Sequential
from nerva.optimizers import SGD, Adam, AdamW, Lion, Momentum, Nesterov, Optimizer, RMSprop
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
)
from nerva.topology import (
    CHT,
    GMP,
    SET,
    SNFS,
    CHTs,
    DeepR,
    GraNet,
    Magnitude,
    RigL,
    SRigL,
    Threshold,
    TopKAST,
    Topology,
)

T_co = TypeVar("T_co", covariant=True)

# Options by their names in a Namespace, with the keyword that takes the value of each. Several keywords take the items
# of a list; None is for an option that is used elsewhere.
Keywords = Mapping[str, str | tuple[str, ...] | None]


@dataclass(frozen=True)
class Choice(Generic[T_co]):
    """A row: the object that a name stands for, and the options that go with it.

    Parameters
    ----------
    make : the class or function that is called
    options : the options that go with this name, but not with every other, and the keywords of `make`
    shared : of the options that go with every name, those that `make` needs, and its keywords
    defaults : the values of `options` that are not given; without one, the default of `make` holds
    required : the `options` that must be given
    network : keywords of the network (nerva.MLP) that it needs
    """

    make: Callable[..., T_co]
    options: Keywords = field(default_factory=dict)
    _: KW_ONLY
    shared: Keywords = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    network: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choices(Generic[T_co]):
    """A table: a row for each name that an option may have.

    Parameters
    ----------
    option : by which a name is chosen
    rows : the choices by name
    shared, defaults : as of each row, whose own come first
    contrast : whether a complaint about an option names the choice that it does not go with
    """

    option: str
    rows: Mapping[str, Choice[T_co]]
    _: KW_ONLY
    shared: Keywords = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    contrast: bool = False

    def options(self) -> list[str]:
        """Return the options that go with one name or more."""
        return list(dict.fromkeys(option for row in self.rows.values() for option in row.options))

    def taking(self, option: str) -> list[str]:
        """Return the names with which an option goes."""
        return [name for name, row in self.rows.items() if option in row.options]

    def build(self, name: str, options: Namespace, **keywords: Any) -> T_co:
        """Call `make` of this row with the options that are given, and with further keywords."""
        row = self.rows[name]
        for option, names in {**self.shared, **row.shared, **row.options}.items():
            if names is None or (value := getattr(options, option)) is None:
                continue
            keywords |= {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))
        return row.make(**keywords)


# ---- data sets

IMAGES: Keywords = {"preprocess": "preprocess", "augment": None}
DOWNLOADED: Keywords = {"data_dir": "dir", **IMAGES}

DATA: Choices[Dataset] = Choices(
    "data",
    {
        "shapes": Choice(shapes, IMAGES),
        "cifar10": Choice(cifar10, DOWNLOADED),
        "cifar100": Choice(cifar100, DOWNLOADED),
        "mnist": Choice(mnist, DOWNLOADED),
        "fashion-mnist": Choice(fashion_mnist, DOWNLOADED),
        "checkerboard": Choice(checkerboard, shared={"seed": "seed"}),
        "mini": Choice(mini, shared={"seed": "seed"}),
    },
)

# ---- pruning at the start

SAMPLES: Keywords = {"prune_samples": None}

CRITERIA: Choices[Sequential] = Choices(
    "prune_at_start",
    {
        "snip": Choice(partial(pruned, criterion="snip"), SAMPLES, defaults={"prune_samples": 1000}),
        "grasp": Choice(partial(pruned, criterion="grasp"), SAMPLES, defaults={"prune_samples": 1000}),
        "synflow": Choice(partial(pruned, criterion="synflow")),
    },
)

# ---- losses

LOSSES: Choices[Loss] = Choices(
    "loss",
    {
        "softmax-cross-entropy": Choice(
            SoftmaxCrossEntropy, {"label_smoothing": "label_smoothing", "class_weights": "class_weights"}
        ),
        "cross-entropy": Choice(CrossEntropy, network={"output": "softmax"}),
        "negative-log-likelihood": Choice(NegativeLogLikelihood, network={"output": "log_softmax"}),
        "logistic-cross-entropy": Choice(partial(LogisticCrossEntropy, classes=True)),
        "squared-error": Choice(partial(SquaredError, classes=True)),
        "mean-squared-error": Choice(partial(MeanSquaredError, classes=True)),
    },
)

LOSSES_OF: Mapping[Task, tuple[str, ...]] = {  # the first one is the default
    "classification": ("softmax-cross-entropy", *(name for name in LOSSES.rows if name != "softmax-cross-entropy")),
    "regression": ("mean-squared-error", "squared-error"),
    "multi-label": ("logistic-cross-entropy",),
}

# ---- optimizers

MOMENTUM: Keywords = {"momentum": "momentum"}
BETAS: Keywords = {"betas": ("beta1", "beta2")}

OPTIMIZERS = Choices(
    "optimizer",
    {
        "sgd": Choice(SGD),
        "momentum": Choice(Momentum, MOMENTUM, defaults={"momentum": 0.9}),
        "nesterov": Choice(Nesterov, MOMENTUM, defaults={"momentum": 0.9}),
        "rmsprop": Choice(RMSprop, MOMENTUM, defaults={"learning_rate": RMSprop.default_rate}),
        "adam": Choice(Adam, BETAS, defaults={"learning_rate": Adam.default_rate}),
        "adamw": Choice(AdamW, BETAS, defaults={"learning_rate": AdamW.default_rate}),
        "lion": Choice(Lion, BETAS, defaults={"learning_rate": Lion.default_rate}),
    },
    shared={"weight_decay": "weight_decay", "clip_norm": "clip_norm", "clip_value": "clip_value"},
    defaults={"learning_rate": Optimizer.default_rate},
    contrast=True,
)

# ---- schedules of the learning rate


def cosine(rate: float, epochs: int, period: float | None = None) -> Cosine:
    """Return one cosine over all epochs, or restarts with this period where it is shorter."""
    if period is None or period >= epochs:
        return Cosine(rate, float(epochs) if period is None else period)
    return Cosine(rate, period, growth=1.0)


SCHEDULES: Choices[Schedule] = Choices(
    "schedule",
    {
        "milestones": Choice(
            MultiStep,
            {"milestones": "milestones", "gamma": "gamma"},
            defaults={"milestones": [50, 75], "gamma": 0.1},
        ),
        "constant": Choice(Constant),
        "time-based": Choice(TimeBased, {"decay": "decay"}, defaults={"decay": 0.01}),
        "step": Choice(StepDecay, {"gamma": "drop", "period": "every"}, defaults={"gamma": 0.1, "period": 10.0}),
        "exponential": Choice(Exponential, {"decay": "decay"}, defaults={"decay": 0.01}),
        "cosine": Choice(cosine, {"period": "period"}, shared={"epochs": "epochs"}),
        "one-cycle": Choice(OneCycle, shared={"epochs": "epochs"}),
        "plateau": Choice(ReduceOnPlateau),
    },
    shared={"learning_rate": "rate"},
)

# ---- methods of dynamic sparse training


def top_kast(final_density: float, density: float, **settings: Any) -> TopKAST:
    """Return Top-KAST with a forward set of `final_density` and a backward set of `density`."""
    return TopKAST(final_density / density, **settings)


EVERY: Keywords = {"update_every": "every"}
FRACTION: Keywords = {"drop_fraction": "fraction"}
ACCUMULATE: Keywords = {"accumulate": "accumulate"}
INIT: Keywords = {"grow_init": "init"}
DENSITY: Keywords = {"final_density": "density"}

TOPOLOGIES: Choices[Topology] = Choices(
    "topology",
    {
        "set": Choice(SET, {**EVERY, **FRACTION, **INIT}),
        "magnitude": Choice(Magnitude, {**EVERY, **FRACTION, **INIT}),
        "threshold": Choice(Threshold, {**EVERY, "drop_threshold": "threshold", **INIT}, required=("drop_threshold",)),
        "rigl": Choice(RigL, {**EVERY, **FRACTION, **ACCUMULATE, **INIT}),
        "srigl": Choice(SRigL, {**EVERY, **FRACTION, **INIT}),
        "snfs": Choice(SNFS, {**EVERY, **FRACTION}),
        "deepr": Choice(DeepR, EVERY, defaults={"update_every": 1}),
        "cht": Choice(CHT, {**EVERY, **FRACTION, **INIT}),
        "chts": Choice(CHTs, {**EVERY, **FRACTION, **INIT}),
        "gmp": Choice(GMP, {**EVERY, **DENSITY}, required=("final_density",), network={"sparse": True}),
        "granet": Choice(
            GraNet,
            {**EVERY, **FRACTION, **ACCUMULATE, **DENSITY},
            required=("final_density",),
            network={"sparse": True},
        ),
        "top-kast": Choice(
            top_kast,
            {**EVERY, **FRACTION, **INIT, "final_density": "final_density"},
            shared={"density": "density"},
            required=("final_density",),
            network={"sparse": True},
        ),
    },
    defaults={"update_every": 100},
)
