"""The arguments of the command `nerva`: what there is, what each may be, and what goes with what."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from nerva._kernels.activations import ACTIVATIONS
from nerva.activations import NAMES
from nerva.cli.types import (
    ascending,
    below_one,
    density,
    existing_file,
    existing_path,
    list_of,
    new_file,
    not_negative,
    positive,
    whole,
    widths,
)
from nerva.datasets.preprocess import PREPROCESS
from nerva.initializers import FANS, INITIALIZERS
from nerva.layers import BACKENDS
from nerva.losses import LOSSES
from nerva.models.pruning import CRITERIA
from nerva.optimizers import OPTIMIZERS
from nerva.topology.distributions import DISTRIBUTIONS
from nerva.topology.supports import SUPPORTS

# What --data takes beside a file, and whether it is downloaded.
DATA = {
    "shapes": False,
    "cifar10": True,
    "cifar100": True,
    "mnist": True,
    "fashion-mnist": True,
    "checkerboard": False,
    "mini": False,
}
SCHEDULES = ("milestones", "constant", "time-based", "step", "exponential", "cosine", "one-cycle", "plateau")
TOPOLOGIES = ("set", "magnitude", "threshold", "rigl", "srigl", "snfs", "deepr", "top-kast", "gmp", "granet")
# Those of a drop fraction, of a final density, and those that grow by gradient.
FRACTIONS = ("set", "magnitude", "rigl", "srigl", "snfs", "top-kast", "granet")
DENSITIES = ("gmp", "granet", "top-kast")
ACCUMULATING = ("rigl", "granet")
GROWING = ("set", "magnitude", "threshold", "rigl", "srigl", "top-kast")

T = TypeVar("T")

EXAMPLES = """examples:
  nerva train
  nerva train --data cifar10 --density 0.05 --epochs 100 --metrics run.jsonl
  nerva train --data mine.npz --hidden 512,256 --densities 0.02,0.05,1 --milestones 10,15
"""


class Parser(ArgumentParser):
    """A parser that takes options by their whole names only, and complains in one line."""

    def __init__(self, **settings: Any) -> None:
        layout = partial(RawDescriptionHelpFormatter, max_help_position=32)
        super().__init__(allow_abbrev=False, formatter_class=layout, **settings)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -1e-3 and -1,5 are values too, to be complained about

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.removeprefix('argument ').split())}\n")

    def refuse(self, argument: str) -> NoReturn:
        """Exit with code 2 over an argument nobody knows."""
        name = argument.split("=")[0]
        alike = difflib.get_close_matches(name, self._option_string_actions, n=1)
        if not name.startswith("-"):
            self.error(f"unexpected argument {argument!r}")
        self.error(f"unknown option {name}" + (f"; did you mean {alike[0]}?" if alike else ""))


def parse(argv: Sequence[str]) -> Namespace:
    """Return the options of a command line; exit with code 2 where it asks for what cannot be."""
    parser = Parser(prog="nerva", description="Truly sparse neural networks for the CPU.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    train = commands.add_parser(
        "train",
        help="train a network",
        usage="nerva train [options]",
        description="Train a sparse network. Values in parentheses are what holds without the option.",
        epilog=EXAMPLES,
    )
    about = "print versions, libraries, instruction set and threads"
    info = commands.add_parser("info", help=about, description=f"{about.capitalize()}, and the speed of the backends.")
    info.add_argument("--calibrate", action="store_true", help="measure the backends anew, in a few seconds")
    _add_options(train)
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        {"train": train, "info": info}.get(options.command, parser).refuse(unknown[0])
    if options.command is None and not options.version:
        parser.error("name a command, train or info (nerva --help tells more)")
    if options.command == "train":
        _settle(options, train.error)
    return options


def _add_options(parser: Parser) -> None:
    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--data", metavar="NAME", type=_data, help=f"{', '.join(DATA)} (shapes, which nerva draws), or a FILE.npz")
    add(
        "--data-dir", metavar="DIR", type=existing_path, help="where a downloaded data set is, or goes to ($NERVA_DATA)"
    )
    add("--preprocess", **_one_of(PREPROCESS), help="of images: %(choices)s (standardize)")
    add("--augment", action="store_true", help="shift the training images by up to 4 pixels and flip them, at random")

    group = parser.add_argument_group("network")
    add, either = group.add_argument, group.add_mutually_exclusive_group().add_argument
    add("--hidden", metavar="N,N", type=widths, default="1024,512", help="hidden layers, or none (%(default)s)")
    either("--density", metavar="D", type=density, help="fraction of all weights that exist (0.01)")
    either("--densities", metavar="D,D,D", type=list_of(density), help="the same, layer by layer")
    add("--distribution", **_one_of(DISTRIBUTIONS), help="how --density is shared out: %(choices)s (erdos-renyi)")
    add("--power-scale", metavar="P", type=not_negative, help="exponent of erdos-renyi, 0 for uniform (1)")
    add("--support", **_one_of(SUPPORTS, "random"), help="where weights are: %(choices)s (%(default)s)")
    add("--activation", **_one_of(NAMES, "relu"), help="of hidden layers: %(choices)s (%(default)s)")
    add("--batch-norm", action="store_true", help="normalise before the activation of hidden layers")
    add("--dropout", metavar="R", type=below_one, default="0", help="rate of hidden neurons dropped (%(default)s)")
    add("--drop-connect", metavar="R", type=below_one, default="0", help="rate of weights dropped (%(default)s)")
    add("--init", **_one_of(INITIALIZERS, "xavier"), help="first weights: %(choices)s (%(default)s)")
    add(
        "--fan", **_one_of(FANS, "dense"), help="how --init counts the fans of sparse layers: %(choices)s (%(default)s)"
    )
    add(
        "--load-weights",
        metavar="FILE",
        type=existing_file,
        help="start from these, of the same shape, or of the original Nerva",
    )

    add("--prune-at-start", **_one_of(CRITERIA), help="choose the weights of a dense network that stay: %(choices)s")
    add("--prune-samples", metavar="N", type=whole(1), help="that snip and grasp look at (1000)")

    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--loss", **_one_of(LOSSES, "softmax-cross-entropy"), help="%(choices)s (%(default)s)")
    add("--label-smoothing", metavar="S", type=below_one, help="of softmax-cross-entropy (0)")
    add(
        "--class-weights",
        metavar="W,W",
        type=list_of(not_negative),
        help="of softmax-cross-entropy, class by class (1)",
    )
    add("--epochs", metavar="N", type=whole(1), default=20, help="passes over the training data (%(default)s)")
    add("--batch-size", metavar="N", type=whole(1), default=100, help="samples in a step (%(default)s)")
    add("--optimizer", **_one_of(OPTIMIZERS, "nesterov"), help="%(choices)s (%(default)s)")
    add("--momentum", metavar="M", type=below_one, help="of momentum and nesterov (0.9), and of rmsprop (0)")
    add(
        "--betas",
        metavar="B,B",
        type=list_of(below_one),
        help="decay rates of adam, adamw and lion (as they have them)",
    )
    add("--weight-decay", metavar="W", type=not_negative, default="0", help="pull of the weights to zero (%(default)s)")
    add("--learning-rate", metavar="R", type=positive, default="0.01", help="size of the steps (%(default)s)")
    add("--milestones", metavar="N,N", type=ascending, help="epochs (50,75), or none, after which")
    add("--gamma", metavar="G", type=positive, help="multiplies the learning rate, with step too (0.1)")
    add("--schedule", **_one_of(SCHEDULES, "milestones"), help="of the learning rate: %(choices)s (%(default)s)")
    add(
        "--period",
        metavar="E",
        type=positive,
        help="epochs of step (10), and of cosine between restarts",
    )
    add("--decay", metavar="D", type=not_negative, help="of time-based and exponential, an epoch (0.01)")
    add("--warm-up", metavar="E", type=positive, help="epochs in which the learning rate rises from 0")
    add("--clip-norm", metavar="C", type=positive, help="scale gradients down to this norm, all together")
    add("--clip-value", metavar="C", type=positive, help="bring every number of the gradients within this")
    add("--no-shuffle", action="store_true", help="take the samples in the order of the file, every epoch")
    add("--seed", metavar="N", type=whole(0), default=0, help="of weights and order of samples (%(default)s)")

    group = parser.add_argument_group("dynamic sparse training")
    add = group.add_argument
    add("--topology", **_one_of(TOPOLOGIES), help="move weights while training: %(choices)s")
    add("--update-every", metavar="N", type=whole(1), help="steps from one update to the next (100)")
    add("--drop-fraction", metavar="F", type=below_one, help="of the weights, in an update (the method's own)")
    add("--drop-threshold", metavar="T", type=not_negative, help="of threshold, which drops what is not above it")
    add("--accumulate", metavar="N", type=whole(1), help="batches that rigl and granet take the gradient of (1)")
    add("--grow-init", **_one_of(INITIALIZERS), help="first values of weights that grow (the method's own)")
    add("--final-density", metavar="D", type=density, help=f"what {', '.join(DENSITIES)} go to, from --density")

    group = parser.add_argument_group("computation")
    add = group.add_argument
    add("--threads", metavar="N", type=whole(1, 1024), help="how many ($OMP_NUM_THREADS, or all processors)")
    add("--dtype", **_one_of(("float32", "float64"), "float32"), help="%(choices)s (%(default)s)")
    add("--backend", **_one_of(BACKENDS, "auto"), help="of the sparse products: %(choices)s (%(default)s)")

    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--metrics", metavar="FILE", help="write settings and each epoch's figures to a new FILE of JSON lines")
    add("--overwrite", action="store_true", help="let --metrics replace what FILE holds")
    add("--save-weights", metavar="FILE", type=new_file, help="write the trained weights to a FILE.npz")
    add("--timer", action="store_true", help="show where the time went, layer by layer")
    add("--check-gradients", action="store_true", help="compare gradients with differences on some samples, and end")
    add("--quiet", action="store_true", help="print nothing but the result")


def _one_of(choices: Iterable[str], default: str | None = None) -> dict[str, Any]:
    return {"choices": tuple(choices), "default": default, "metavar": "NAME"}


def _settle(options: Namespace, error: Callable[[str], NoReturn]) -> None:
    """Complete the options that depend on others, and end with `error` where they contradict each other."""
    downloaded = [name for name, fetched in DATA.items() if fetched]
    if options.data_dir is not None and options.data not in downloaded:
        error(f"--data-dir: goes with --data {', '.join(downloaded)} only")
    images = [*downloaded, "shapes"]
    for name, value in (("--augment", options.augment), ("--preprocess", options.preprocess)):
        if value and (options.data or "shapes") not in images:
            error(f"{name}: goes with images only, --data {', '.join(images)}")
    if options.power_scale is not None and (options.densities or options.distribution not in (None, "erdos-renyi")):
        error("--power-scale: goes with erdos-renyi only")
    if options.densities is None:
        options.density = 0.01 if options.density is None else options.density
        options.distribution = options.distribution or "erdos-renyi"
    elif options.distribution is not None:
        error("--distribution: goes with --density, not with --densities")
    elif len(options.densities) != len(options.hidden) + 1:
        error(f"--densities: {len(options.densities)} given for {len(options.hidden) + 1} layers")
    if options.optimizer in ("momentum", "nesterov"):
        options.momentum = 0.9 if options.momentum is None else options.momentum
    elif options.momentum is not None and options.optimizer != "rmsprop":
        error(f"--momentum: goes with --optimizer momentum, nesterov or rmsprop, not with {options.optimizer}")
    for name, value in (("--label-smoothing", options.label_smoothing), ("--class-weights", options.class_weights)):
        if value is not None and options.loss != "softmax-cross-entropy":
            error(f"{name}: goes with --loss softmax-cross-entropy")
    if options.betas is not None and options.optimizer not in ("adam", "adamw", "lion"):
        error(f"--betas: goes with --optimizer adam, adamw or lion, not with {options.optimizer}")
    if options.betas is not None and len(options.betas) != 2:
        error(f"--betas: {len(options.betas)} given; there are two")
    if options.prune_at_start is not None:
        _settle_pruning(options, error)
    elif options.prune_samples is not None:
        error("--prune-samples: goes with --prune-at-start")
    if options.schedule == "step":
        options.period = 10.0 if options.period is None else options.period
    elif options.period is not None and options.schedule != "cosine":
        error("--period: goes with --schedule step or cosine")
    if options.schedule in ("time-based", "exponential"):
        options.decay = 0.01 if options.decay is None else options.decay
    elif options.decay is not None:
        error("--decay: goes with --schedule time-based or exponential")
    if options.schedule != "milestones" and options.milestones:
        error("--milestones: goes with --schedule milestones")
    if options.milestones is None:
        options.milestones = [50, 75] if options.schedule == "milestones" else []
    _settle_topology(options, error)
    if options.milestones or options.schedule == "step":
        options.gamma = 0.1 if options.gamma is None else options.gamma
    elif options.gamma is not None:
        error("--gamma: goes with milestones or --schedule step")
    for name, value in (("--save-weights", options.save_weights), ("--metrics", options.metrics)):
        if options.check_gradients and value is not None:
            error(f"{name}: does not go with --check-gradients, which trains nothing")
    if options.overwrite and options.metrics is None:
        error("--overwrite: goes with --metrics")


def _settle_pruning(options: Namespace, error: Callable[[str], NoReturn]) -> None:
    others = {
        "--densities": options.densities,
        "--distribution": options.distribution if options.distribution != "erdos-renyi" else None,
        "--power-scale": options.power_scale,
        "--batch-norm": options.batch_norm,
        "--dropout": options.dropout,
        "--drop-connect": options.drop_connect,
        "--load-weights": options.load_weights,
    }
    for name, value in others.items():
        if value:
            error(f"{name}: does not go with --prune-at-start")
    for name, value, only in (("--support", options.support, "random"), ("--fan", options.fan, "dense")):
        if value != only:
            error(f"{name}: does not go with --prune-at-start")
    if options.loss != "softmax-cross-entropy":
        error("--prune-at-start: goes with --loss softmax-cross-entropy")
    if options.activation not in ACTIVATIONS:
        error(f"--prune-at-start: knows the activations {', '.join(ACTIVATIONS)}, not {options.activation}")
    if options.init == "zeros":
        error("--prune-at-start: has nothing to choose from with --init zeros")
    if options.prune_at_start == "synflow" and options.prune_samples is not None:
        error("--prune-samples: synflow looks at none")
    options.prune_samples = 1000 if options.prune_samples is None else options.prune_samples


def _settle_topology(options: Namespace, error: Callable[[str], NoReturn]) -> None:
    method = options.topology
    given = {
        "--update-every": (options.update_every, TOPOLOGIES),
        "--drop-fraction": (options.drop_fraction, FRACTIONS),
        "--drop-threshold": (options.drop_threshold, ("threshold",)),
        "--accumulate": (options.accumulate, ACCUMULATING),
        "--grow-init": (options.grow_init, GROWING),
        "--final-density": (options.final_density, DENSITIES),
    }
    for name, (value, methods) in given.items():
        if value is not None and method not in methods:
            error(f"{name}: goes with --topology" + ("" if methods is TOPOLOGIES else f" {' or '.join(methods)}"))
    if method is None:
        return
    if method in DENSITIES and options.final_density is None:
        error(f"--topology {method}: needs --final-density")
    if method == "threshold" and options.drop_threshold is None:
        error("--topology threshold: needs --drop-threshold")
    if method == "top-kast" and (options.densities or options.final_density > options.density):
        error("--topology top-kast: --density is that of the backward set, and --final-density is at most that")
    if options.update_every is None:
        options.update_every = 1 if method == "deepr" else 100


def _data(text: str) -> str:
    if text in DATA:
        return text
    if not text.lower().endswith(".npz"):
        raise ArgumentTypeError(f"{text!r} is neither one of {', '.join(DATA)} nor a file.npz")
    if not Path(text).is_file():
        raise ArgumentTypeError(f"there is no file {text}")
    return text
