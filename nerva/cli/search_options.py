"""The options of `nerva search`: its own, those of `nerva train` that hold for every trial, and what is varied."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from nerva.cli.rules import apply_rules, flag
from nerva.cli.search_space import dashed, find_settings, read_words
from nerva.cli.types import existing_file, new_folder, positive, proper_fraction, whole
from nerva.experiments.search import PRUNERS, SAMPLERS

EXAMPLES = """Every option of nerva train that says what is trained, and how, holds for all trials. LOW..HIGH is a range
of numbers, whole where both are; :log draws from it by the logarithm. A,B is a choice (of lists: A,B/C). none leaves an
option out, and yes and no are for options without a value. An option that goes with some methods only is left out of
trials with others.

examples:
  nerva search --data cifar10 --epochs 10 --trials 30 --out search
  nerva search --over learning-rate=0.01..0.3:log --over topology=none,rigl,set --over drop-fraction=0.05..0.5
  nerva search --density 0.05 --over hidden=512,256/1024 --over batch-norm=yes,no --pruner halving --jobs 2
"""
# Options of `nerva train` that a search has no use for.
REFUSED = (
    "metrics", "overwrite", "checkpoint", "checkpoint_every", "resume", "save_weights", "timer", "check_gradients",
    "distributed", "quiet", "threads", "seed",
)  # fmt: skip


def add_search(commands: Any) -> Any:
    """Add the command to the subparsers, and return its parser."""
    parser = commands.add_parser(
        "search",
        help="search for the best options of train",
        usage="nerva search [options] [options of nerva train]",
        description="Try options of nerva train, and print the command of the best trial: by its accuracy (or loss,\n"
        "of numbers) on training samples held out. The same command goes on, and several may at the same time.",
        epilog=EXAMPLES,
    )
    add = parser.add_argument
    add("--over", metavar="NAME=VALUES", action="append", default=[], help="an option to vary (see below)")
    add("--space", metavar="FILE", type=existing_file, help="a TOML file of options to vary: NAME = VALUES, or a list")
    add("--trials", metavar="N", type=whole(1), default=20, help="how many are done in the end (%(default)s)")
    add("--out", metavar="DIR", type=new_folder, default="search", help="the folder of the search (%(default)s)")
    held_out = "part of the training samples to judge by (%(default)s)"
    add("--validation-split", metavar="F", type=proper_fraction, default="0.2", help=held_out)
    add("--sampler", choices=SAMPLERS, metavar="NAME", default="tpe", help="%(choices)s (%(default)s)")
    ends = "what ends bad trials early: %(choices)s (%(default)s)"
    add("--pruner", choices=PRUNERS, metavar="NAME", default="median", help=ends)
    add("--seed", metavar="N", type=whole(0), default=0, help="of what is tried, and of every trial (%(default)s)")
    add("--jobs", metavar="N", type=whole(1, 1024), default=1, help="processes (%(default)s)")
    threads = "of each process ($OMP_NUM_THREADS, or all processors, divided by --jobs)"
    add("--threads", metavar="N", type=whole(1, 1024), help=threads)
    lost = "without a sign, after which a trial of another machine is lost (%(default)s)"
    add("--lost-after", metavar="MINUTES", type=positive, default="60", help=lost)
    add("--test", action="store_true", help="then train the best with all training samples, and test it, once")
    add("--parquet", action="store_true", help="write the table of trials as trials.parquet, too")
    add("--quiet", action="store_true", help="print nothing but the command of the best trial")
    return parser


def check_search(options: Namespace, words: list[str], search: Any, train: Any) -> None:
    """Set `options.settings` to what holds for all trials, and what is varied; exit with code 2 where that is wrong.

    Parameters
    ----------
    options : those of `nerva search`
    words : what else is on the command line: options of `nerva train`
    search, train : the parsers of both commands
    """
    train.prog = search.prog  # whose options these are, in errors
    fixed = read_words(words, train, search.error)
    for name in fixed:
        if name in REFUSED:
            search.error(f"{flag(name)}: does not go with nerva search")
    settings = find_settings(options.over, options.space, fixed, train, search.error)
    for name in REFUSED:
        if dashed(name) in settings.space.values:
            search.error(f"--over {dashed(name)}: does not go with nerva search")
    settings.check(search.error)
    first = ["--seed", str(options.seed), *settings.words(settings.first())]
    apply_rules(train.parse_args(first), search.error)
    options.settings = settings
