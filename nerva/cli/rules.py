"""Rules between options: which go together, and defaults that depend on other options.

Most follow from the tables of nerva.cli.choices; the functions here add those between options of different tables.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from nerva._kernels.activations import ACTIVATIONS
from nerva.cli.choices import CRITERIA, DATA, LOSSES, LOSSES_OF, OPTIMIZERS, SCHEDULES, TOPOLOGIES, Choices
from nerva.cli.explain import explain
from nerva.cli.tables import is_table
from nerva.datasets.tasks import Task
from nerva.models.precision import check_precision

Error = Callable[[str], NoReturn]
TEST_FRACTION = 0.2  # of the rows of a table
# What tables, which have few rows and columns, take instead of the defaults for images.
TABLE: dict[str, Any] = {"hidden": [128, 64], "density": 0.2, "batch_size": 32}
IMAGES: dict[str, Any] = {"hidden": [1024, 512], "density": 0.01, "batch_size": 100}


def apply_rules(options: Namespace, error: Error) -> None:
    """Fill in the defaults that depend on other options; call `error`, which exits, if two contradict each other."""
    apply_data_rules(options, error)
    for name in ("hidden", "batch_size"):
        if getattr(options, name) is None:
            setattr(options, name, _defaults(options)[name])
    _densities(options, error)
    _choice(OPTIMIZERS, options, error)
    if options.betas is not None and len(options.betas) != 2:
        error(f"--betas: {len(options.betas)} given; there are two")
    _loss(options, error)
    _pruning(options, error)
    _schedule(options, error)
    _topology(options, error)
    _precision(options, error)
    for name in ("save_weights", "metrics", "checkpoint"):
        if options.check_gradients and getattr(options, name) is not None:
            error(f"{flag(name)}: does not go with --check-gradients, which trains nothing")
    for name in ("checkpoint_every", "resume"):
        if getattr(options, name) and options.checkpoint is None:
            error(f"{flag(name)}: goes with --checkpoint")
    if options.overwrite and options.resume:
        error("--overwrite: does not go with --resume, which adds to what --metrics holds")
    if options.overwrite and options.metrics is None:
        error("--overwrite: goes with --metrics")


def _defaults(options: Namespace) -> dict[str, Any]:
    return TABLE if is_table(options.data or "") else IMAGES


def _loss(options: Namespace, error: Error) -> None:
    """Refuse options that do not go with the loss; without one, it is that of the task, known with the data."""
    task: Task = options.task or "classification"
    named = options.loss
    if named is None:
        options.loss = LOSSES_OF[task][0]
    elif options.task is not None and named not in LOSSES_OF[options.task]:
        error(f"--loss {named}: does not go with --task {task}, but {' or '.join(LOSSES_OF[options.task])}")
    _choice(LOSSES, options, error)
    options.loss = named


def _precision(options: Namespace, error: Error) -> None:
    try:
        check_precision(options.precision, np.dtype(options.dtype))
    except ValueError as problem:
        error(explain(problem, options))


def flag(option: str) -> str:
    """Return an option as it is written on the command line.

    >>> flag("batch_size")
    '--batch-size'
    """
    return f"--{option.replace('_', '-')}"


def _choice(choices: Choices[Any], options: Namespace, error: Error) -> None:
    """Refuse options that do not go with the chosen name, or that it lacks, and fill in its defaults."""
    chosen = getattr(options, choices.option)
    row = choices.rows.get(chosen)
    for option in choices.options():
        if _given(options, option) and (row is None or option not in row.options):
            error(f"{flag(option)}: {_goes_with(choices, option, chosen)}")
    if row is None:
        return
    for option in row.required:
        if getattr(options, option) is None:
            error(f"{flag(choices.option)} {chosen}: needs {flag(option)}")
    for option, value in {**choices.defaults, **row.defaults}.items():
        if getattr(options, option) is None:
            setattr(options, option, value)


def _given(options: Namespace, option: str) -> bool:
    """Whether an option has a value: 0 is one, an empty list is not."""
    value = getattr(options, option)
    return value is not None and value != []


def _goes_with(choices: Choices[Any], option: str, chosen: str | None) -> str:
    names = choices.taking(option)
    if len(names) == len(choices.rows):
        return f"goes with {flag(choices.option)}"
    if not choices.contrast:
        return f"goes with {flag(choices.option)} {' or '.join(names)}"
    return f"goes with {flag(choices.option)} {', '.join(names[:-1])} or {names[-1]}, not with {chosen}"


def apply_data_rules(options: Namespace, error: Error) -> None:
    """Call `error`, which exits, if an option does not go with the data; some commands have not all of them."""
    downloaded = DATA.taking("data_dir")
    images = [*downloaded, *(name for name in DATA.taking("preprocess") if name not in downloaded)]
    if options.data_dir is not None and options.data not in downloaded:
        error(f"--data-dir: goes with --data {', '.join(downloaded)} only")
    for name in ("augment", "preprocess"):
        if getattr(options, name, None) and (options.data or "shapes") not in images:
            error(f"{flag(name)}: goes with images only, --data {', '.join(images)}")
    for name in ("target", "drop", "test_fraction"):
        if getattr(options, name) is not None and not is_table(options.data or ""):
            error(f"{flag(name)}: goes with --data FILE.csv or FILE.parquet only")
    if options.test_fraction is None:
        options.test_fraction = TEST_FRACTION
    if getattr(options, "task", None) and (options.data or "shapes") in DATA.rows:
        error(f"--task: goes with --data FILE only; {options.data or 'shapes'} is classification")


def _densities(options: Namespace, error: Error) -> None:
    if options.power_scale is not None and (options.densities or options.distribution not in (None, "erdos-renyi")):
        error("--power-scale: goes with erdos-renyi only")
    if options.densities is None:
        default = _defaults(options)["density"]
        options.density = default if options.density is None else options.density
        options.distribution = options.distribution or "erdos-renyi"
    elif options.distribution is not None:
        error("--distribution: goes with --density, not with --densities")
    elif len(options.densities) != len(options.hidden) + 1:
        error(f"--densities: {len(options.densities)} given for {len(options.hidden) + 1} layers")


def _pruning(options: Namespace, error: Error) -> None:
    criterion = options.prune_at_start
    if criterion is None:
        if options.prune_samples is not None:
            error("--prune-samples: goes with --prune-at-start")
        return
    # What holds without these options: a value other than that was asked for.
    without = {
        "densities": None,
        "distribution": "erdos-renyi",
        "power_scale": None,
        "batch_norm": False,
        "dropout": 0.0,
        "drop_connect": 0.0,
        "load_weights": None,
        "support": "random",
        "fan": "dense",
    }
    for name, value in without.items():
        if getattr(options, name) != value:
            error(f"{flag(name)}: does not go with --prune-at-start")
    if options.loss not in (None, "softmax-cross-entropy") or options.task not in (None, "classification"):
        error("--prune-at-start: goes with --loss softmax-cross-entropy")
    if options.activation not in ACTIVATIONS:
        error(f"--prune-at-start: knows the activations {', '.join(ACTIVATIONS)}, not {options.activation}")
    if options.init == "zeros":
        error("--prune-at-start: has nothing to choose from with --init zeros")
    if options.prune_samples is not None and criterion not in CRITERIA.taking("prune_samples"):
        error(f"--prune-samples: {criterion} looks at none")
    _choice(CRITERIA, options, error)


def _schedule(options: Namespace, error: Error) -> None:
    constant = options.schedule == "milestones" and options.milestones == []
    if options.gamma is not None and (constant or options.schedule not in SCHEDULES.taking("gamma")):
        error("--gamma: goes with milestones or --schedule step")
    _choice(SCHEDULES, options, error)
    if constant:
        options.gamma = None
    if options.milestones is None:
        options.milestones = []


def _topology(options: Namespace, error: Error) -> None:
    _choice(TOPOLOGIES, options, error)
    if options.topology == "top-kast" and (options.densities or options.final_density > options.density):
        error("--topology top-kast: --density is that of the backward set, and --final-density is at most that")
