"""The options of the command `nerva`, with their types and help."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NoReturn

from nerva.activations import NAMES
from nerva.cli.choices import CRITERIA, LOSSES, LOSSES_OF, OPTIMIZERS, SCHEDULES, TOPOLOGIES
from nerva.cli.export_options import add_export_options, check_export
from nerva.cli.options import add_source, add_target, add_threads, default_rates
from nerva.cli.reproduce_options import add_reproduce
from nerva.cli.rules import apply_data_rules, apply_rules
from nerva.cli.samples import READ, WRITTEN
from nerva.cli.search_options import add_search, check_search
from nerva.cli.sweep_options import add_sweep, settle
from nerva.cli.types import (
    ascending,
    below_one,
    density,
    ending_in,
    existing_file,
    fraction,
    list_of,
    model_file,
    new_file,
    not_negative,
    positive,
    proper_fraction,
    whole,
    widths,
)
from nerva.datasets.tasks import TASKS
from nerva.initializers import FANS, INITIALIZERS
from nerva.layers import BACKENDS
from nerva.topology.distributions import DISTRIBUTIONS
from nerva.topology.supports import SUPPORTS

EXAMPLES = """examples:
  nerva train
  nerva train --data cifar10 --density 0.05 --epochs 100 --metrics run.jsonl
  nerva train --data mine.npz --hidden 512,256 --densities 0.02,0.05,1 --milestones 10,15
"""
ALIASES = {"--lr": "--learning-rate", "--wd": "--weight-decay", "--batch": "--batch-size", "--opt": "--optimizer"}


class Parser(ArgumentParser):
    """A parser that takes options by their full names only, and whose errors are one line."""

    def __init__(self, **settings: Any) -> None:
        layout = partial(RawDescriptionHelpFormatter, max_help_position=32)
        super().__init__(allow_abbrev=False, formatter_class=layout, **settings)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -1e-3 and -1,5 are (wrong) values, not options

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.removeprefix('argument ').split())}\n")

    def refuse(self, argument: str) -> NoReturn:
        """Exit with code 2 over an unknown argument."""
        name = argument.split("=")[0]
        known = self._option_string_actions
        alike = [ALIASES[name]] if ALIASES.get(name) in known else difflib.get_close_matches(name, known, n=1)
        if not name.startswith("-"):
            self.error(f"unexpected argument {argument!r}")
        self.error(f"unknown option {name}" + (f"; did you mean {alike[0]}?" if alike else ""))


def parse(argv: Sequence[str]) -> Namespace:
    """Return the options of a command line; exit with code 2 if one is wrong, or two contradict each other."""
    parser, commands = _parsers()
    options, unknown = parser.parse_known_args(argv)
    own = commands.get(options.command, parser)
    if options.command == "search":
        check_search(options, unknown, own, commands["train"])
    elif unknown:
        own.refuse(unknown[0])
    if options.command is None and not options.version:
        *names, last = commands
        parser.error(f"name a command, {', '.join(names)} or {last} (nerva --help tells more)")
    if options.command == "sweep":
        settle(options, commands["train"], own.error)
    elif options.command in (checks := {"train": apply_rules, "evaluate": apply_data_rules, "export": check_export}):
        checks[options.command](options, own.error)
    return options


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of the command line, and those of the commands by name."""
    parser = Parser(prog="nerva", description="Truly sparse neural networks for the CPU.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    train = commands.add_parser(
        "train",
        help="train a network",
        usage="nerva train [options]",
        description="Train a sparse network. In parentheses: what holds without the option. Tables: .csv and .parquet.",
        epilog=EXAMPLES,
    )
    for add in (_add_data, _add_network, _add_training, _add_topology, _add_computation, _add_output):
        add(train)
    add_sweep(commands, train)
    add_search(commands)
    add_reproduce(commands)
    evaluate = commands.add_parser(
        "evaluate",
        help="evaluate a model in a file",
        description="Print loss, accuracy and scores of a model in a file on the test samples of data.",
    )
    _add_file(evaluate)
    _add_test_samples(evaluate)
    _add_evaluation(evaluate)
    predict = commands.add_parser(
        "predict",
        help="predict for samples in a file",
        description="Write what a model in a file predicts: classes (by name where it knows names), labels or numbers.",
    )
    _add_prediction(predict)
    about = "write a model in a file in other formats"
    export = commands.add_parser(
        "export", help=about, description=f"{about.capitalize()}: C, ONNX, safetensors, or a folder for the Hub."
    )
    _add_file(export)
    add_export_options(export)
    about = "print the layers of a model in a file"
    summary = commands.add_parser(
        "summary", help=about, description=f"{about.capitalize()}: shapes, weights, bytes, loss and classes."
    )
    _add_file(summary)
    summary.add_argument("--batch-size", metavar="N", type=whole(1), default=100, help="of steps (%(default)s)")
    about = "print versions, libraries, instruction set and threads"
    info = commands.add_parser("info", help=about, description=f"{about.capitalize()}, and the speed of the backends.")
    info.add_argument("--calibrate", action="store_true", help="measure the backends anew, in a few seconds")
    return parser, commands.choices


def _add_file(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", type=model_file, help="a model, or a folder of nerva.save_pretrained")


def _add_prediction(parser: Parser) -> None:
    add = parser.add_argument
    _add_file(parser)
    add(
        "samples",
        metavar="X",
        type=ending_in(READ, existing_file),
        help="samples as rows: .npy, .npz (Xtest, or its only array), .csv or .parquet",
    )
    add(
        "--output",
        "-o",
        metavar="OUT",
        type=ending_in(WRITTEN, new_file),
        help="a file, .csv, .npy or .parquet (CSV on standard output)",
    )
    add("--proba", action="store_true", help="probabilities of the classes or labels instead")
    add_target(parser, "of a .csv or .parquet that are no features")
    _add_evaluation(parser)


def _add_test_samples(parser: Parser) -> None:
    add_source(parser)
    held_out = "part of the rows of a .csv or .parquet that train held out, or 1 for all rows (0.2)"
    parser.add_argument("--test-fraction", metavar="F", type=density, help=held_out)
    parser.add_argument("--seed", metavar="N", type=whole(0), default=0, help="of data that nerva draws (%(default)s)")


def _add_evaluation(parser: Parser) -> None:
    add = parser.add_argument
    add("--batch-size", metavar="N", type=whole(1), default=128, help="samples computed at a time (%(default)s)")
    add_threads(parser)


def _add_data(parser: Parser) -> None:
    group = parser.add_argument_group("data")
    add_source(group)
    held_out = "part of the rows of a .csv or .parquet to test on (0.2)"
    group.add_argument("--test-fraction", metavar="F", type=proper_fraction, help=held_out)
    group.add_argument("--task", **_one_of(TASKS), help="of a file: %(choices)s (by what its targets look like)")
    group.add_argument(
        "--augment", action="store_true", help="shift the training images by up to 4 pixels and flip them, at random"
    )


def _add_network(parser: Parser) -> None:
    group = parser.add_argument_group("network")
    add, either = group.add_argument, group.add_mutually_exclusive_group().add_argument
    add("--hidden", metavar="N,N", type=widths, help="hidden layers, or none (1024,512; of tables 128,64)")
    either("--density", metavar="D", type=density, help="fraction of all weights that exist (0.01; of tables 0.2)")
    either("--densities", metavar="D,D,D", type=list_of(fraction), help="the same, layer by layer; 0 is the bias alone")
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
        type=model_file,
        help="start from these, of the same shape, or of the original Nerva",
    )
    add(
        "--prune-at-start",
        **_one_of(CRITERIA.rows),
        help="choose the weights of a dense network that stay: %(choices)s",
    )
    add("--prune-samples", metavar="N", type=whole(1), help="that snip and grasp look at (1000)")


def _add_training(parser: Parser) -> None:
    group = parser.add_argument_group("training")
    add = group.add_argument
    defaults = ", ".join(f"{losses[0]} in {task}" for task, losses in LOSSES_OF.items())
    add("--loss", **_one_of(LOSSES.rows), help=f"%(choices)s ({defaults})")
    add("--label-smoothing", metavar="S", type=below_one, help="of softmax-cross-entropy (0)")
    add(
        "--class-weights",
        metavar="W,W",
        type=list_of(not_negative),
        help="of softmax-cross-entropy, class by class (1)",
    )
    add("--epochs", metavar="N", type=whole(1), default=20, help="passes over the training data (%(default)s)")
    add("--batch-size", metavar="N", type=whole(1), help="samples in a step (100; of tables 32)")
    add("--optimizer", **_one_of(OPTIMIZERS.rows, "nesterov"), help="%(choices)s (%(default)s)")
    add("--momentum", metavar="M", type=below_one, help="of momentum and nesterov (0.9), and of rmsprop (0)")
    rates = "decay rates of adam, adamw and lion (as they have them)"
    add("--betas", metavar="B,B", type=list_of(below_one), help=rates)
    add("--weight-decay", metavar="W", type=not_negative, default="0", help="pull of the weights to zero (%(default)s)")
    add("--learning-rate", metavar="R", type=positive, help=f"size of the steps ({default_rates()})")
    add("--milestones", metavar="N,N", type=ascending, help="epochs (50,75), or none, after which")
    add("--gamma", metavar="G", type=positive, help="multiplies the learning rate, with step too (0.1)")
    add("--schedule", **_one_of(SCHEDULES.rows, "milestones"), help="of the learning rate: %(choices)s (%(default)s)")
    add("--period", metavar="E", type=positive, help="epochs of step (10), and of cosine between restarts")
    add("--decay", metavar="D", type=not_negative, help="of time-based and exponential, an epoch (0.01)")
    add("--warm-up", metavar="E", type=positive, help="epochs in which the learning rate rises from 0")
    add("--clip-norm", metavar="C", type=positive, help="scale gradients down to this norm, all together")
    add("--clip-value", metavar="C", type=positive, help="bring every number of the gradients within this")
    add("--no-shuffle", action="store_true", help="take the samples in the order of the file, every epoch")
    add("--seed", metavar="N", type=whole(0), default=0, help="of weights and order of samples (%(default)s)")


def _add_topology(parser: Parser) -> None:
    group = parser.add_argument_group("dynamic sparse training")
    add = group.add_argument
    add("--topology", **_one_of(TOPOLOGIES.rows), help="move weights while training: %(choices)s")
    add("--update-every", metavar="N", type=whole(1), help="steps from one update to the next (100; deepr 1)")
    add("--drop-fraction", metavar="F", type=below_one, help="of the weights, in an update (the method's own)")
    add("--drop-threshold", metavar="T", type=not_negative, help="of threshold, which drops what is not above it")
    add("--accumulate", metavar="N", type=whole(1), help="batches that rigl and granet take the gradient of (1)")
    add("--grow-init", **_one_of(INITIALIZERS), help="first values of weights that grow (the method's own)")
    add(
        "--final-density",
        metavar="D",
        type=density,
        help=f"what {', '.join(TOPOLOGIES.taking('final_density'))} go to, from --density",
    )


def _add_computation(parser: Parser) -> None:
    group = parser.add_argument_group("computation")
    add = group.add_argument
    add_threads(group)
    add("--distributed", action="store_true", help="be one of the ranks that mpiexec starts (extra mpi)")
    add("--dtype", **_one_of(("float32", "float64"), "float32"), help="%(choices)s (%(default)s)")
    add("--precision", **_one_of(("float32", "bfloat16")), help="of activations: %(choices)s (that of --dtype)")
    add("--backend", **_one_of(BACKENDS, "auto"), help="of the sparse products: %(choices)s (%(default)s)")


def _add_output(parser: Parser) -> None:
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--metrics", metavar="FILE", help="write settings and each epoch's figures to a new FILE of JSON lines")
    add("--overwrite", action="store_true", help="let --metrics replace what FILE holds")
    add("--checkpoint", metavar="DIR", help="keep the last two states of the run in a folder")
    add("--checkpoint-every", metavar="N", type=whole(1), help="steps from one state to the next (after every epoch)")
    add("--resume", action="store_true", help="go on from the last state in --checkpoint; --metrics goes on too")
    add("--save-weights", metavar="FILE", type=new_file, help="write the network to FILE.npz or FILE.safetensors")
    add("--timer", action="store_true", help="show where the time went, layer by layer")
    add("--check-gradients", action="store_true", help="compare gradients with differences on some samples, and end")
    add("--quiet", action="store_true", help="print nothing but the result")


def _one_of(choices: Iterable[str], default: str | None = None) -> dict[str, Any]:
    """Return the settings of an option that takes one of these words."""
    return {"choices": tuple(choices), "default": default, "metavar": "NAME"}
