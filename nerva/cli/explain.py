"""What the library says of its arguments, in the words of the command line: by the options that they come from."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from typing import TextIO

# What the library says, and how the command says it: groups of the pattern, and options by their names in braces.
WORDS = [
    (r"batch_size is (\d+): (.*)", r"--batch-size \1: \2"),
    (r"density is .*; (a network of .* would have no weight at all)", r"--{density}: \1"),
    (r"density is .*; (linear layer .* has no weight at all then: .*)", r"--{density}: \1"),
    (r"count is (\d+); (a layer holds at most .*)", r"--{density}: is \1 weights in a layer; \2"),
    (r"topology is never due .*; (no weight moves)", r"--topology {topology}: never due in so short a run; \1"),
    (r"topology is .*, which (needs an optimizer with \w+); .*", r"--topology {topology}: \1, not {optimizer}"),
    (r"topology is given, but the network has no sparse layer.*", r"--topology {topology}: needs a density below 1"),
    (r"topology is given, but (the sparse layers have no weights).*", r"--topology {topology}: \1 to move"),
    (r"density ends at (.*); (the sparse layers start at .*)", r"--final-density \1: \2"),
    (r"precision is '(\w+)', which needs weights of float32; dtype is (\w+)", r"--precision \1: not with --dtype \2"),
    (r"precision is '(\w+)', but dtype is (\w+)", r"--precision \1: not with --dtype \2"),
    (r"precision is '(\w+)', but layers\[(\d+)\].*, (whose .*); set .*", r"--precision \1: not with layer \2, \3"),
    (r"precision is '(\w+)', but (.*); set .*", r"--precision \1: \2"),
    (r"precision is '(\w+)', which (needs .*)", r"--precision \1: \2"),
    (r"validation_split is (.*): of (\d+) samples it holds out (\d+)", r"--test-fraction \1: of \2 samples that is \3"),
    (r"(.*)give the task, classification or regression", r"\1give --task classification or --task regression"),
    (r"X\[(\d+), (\d+)\] is (.*)", r"--data {data}: feature \2 of training sample \1 is \3"),
    (r"validation X\[(\d+), (\d+)\] is (.*)", r"--data {data}: feature \2 of test sample \1 is \3"),
    (r"X or y are not those of the (run that is continued)", r"--data {data}: not the samples of the \1"),
    (r"(.*): the state has .*: batch_size is (another one than in the run .*)", r"--batch-size: \2 (\1)"),
    (r"(.*): the state is of .*'Metrics'\]; .*\['Report'\]", r"--metrics: the run in \1 has it; name its file"),
    (r"(.*): the state is of .*\['Report'\]; .*'Metrics'\]", r"--metrics: the run in \1 has none; leave it out"),
    (
        r"(optimizer|schedule|loss|topology|epochs|instruction set) is .*, and was .* in the (run that is continued)",
        r"{\1}: not as in the \2",
    ),
]  # fmt: skip
SETTINGS = {
    "optimizer": "--optimizer or its options",
    "schedule": "--schedule, --learning-rate or their options",
    "loss": "--loss or its options",
    "topology": "--topology or its options",
    "epochs": "--epochs",
    "instruction set": "the instruction set",
}


def explain(message: object, options: Namespace) -> str:
    """Return what the library says in the words of the command line; what it says of no argument, as it is.

    >>> explain("batch_size is 249: 250 samples leave a batch of 1", Namespace())
    '--batch-size 249: 250 samples leave a batch of 1'
    """
    text = str(message)
    for pattern, words in WORDS:
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return re.sub(r"\{([\w ]+)\}", lambda name: _value(name[1], options, found), found.expand(words))
    return text


def _value(name: str, options: Namespace, found: re.Match[str]) -> str:
    """Return what stands for a name in braces: an option's value, or what settings come from."""
    if found[0].endswith("in the run that is continued") and name in SETTINGS:
        return SETTINGS[name]
    if name == "density" and getattr(options, "densities", None):
        return f"densities {','.join(f'{density:g}' for density in options.densities)}"
    value = getattr(options, name, None)
    return f"density {value:g}" if name == "density" and value is not None else str(value or "shapes")


@contextlib.contextmanager
def told(options: Namespace) -> Iterator[None]:
    """Show warnings as lines of the command on standard error."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print("nerva:", *explain(message, options).split(), file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
