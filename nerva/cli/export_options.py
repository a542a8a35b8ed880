"""The options of the command `nerva export`, and their rules."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from nerva.cli.types import new_file, new_folder
from nerva.interop.to_c import NAME

FORMATS = ("c", "onnx", "safetensors", "hub")
# Options that go with some formats only.
GO_WITH = {"name": ("c",), "proba": ("c", "onnx"), "dense": ("onnx", "safetensors")}


def add_export_options(parser: Any) -> None:
    """Add the options to a parser."""
    add = parser.add_argument
    add("--c", metavar="OUT", type=new_file, help="one file of C99, which needs libm at most")
    add("--onnx", metavar="OUT", type=new_file, help="an ONNX file (extra 'onnx'), sparse weights as such")
    add("--safetensors", metavar="OUT", type=new_file, help="the weights alone, sparse ones as CSR")
    add("--hub", metavar="DIR", type=new_folder, help="a folder for the Hugging Face Hub, with a model card")
    add("--name", metavar="NAME", help="what names in --c start with (that of the file)")
    add("--proba", action="store_true", help="--c and --onnx give probabilities, as nerva predict --proba does")
    add("--dense", action="store_true", help="--onnx and --safetensors have zeros where there is no weight")
    add("--overwrite", action="store_true", help="replace what is there")


def check_export(options: Namespace, error: Callable[[str], NoReturn]) -> None:
    """Call `error`, which exits, if there is nothing to write, or an option does not go with what there is."""
    asked = [name for name in FORMATS if getattr(options, name) is not None]
    if not asked:
        error(f"name what to write: {', '.join(f'--{name}' for name in FORMATS[:-1])} or --{FORMATS[-1]}")
    for option, formats in GO_WITH.items():
        if getattr(options, option) and not set(formats) & set(asked):
            error(f"--{option}: goes with {' or '.join(f'--{name}' for name in formats)}")
    if options.c is not None and not NAME.fullmatch(start := options.name or Path(options.c).stem):
        whose = "" if options.name else ", the name of the file,"
        error(f"--name: {start!r}{whose} is not a letter, and then letters, digits and underscores")
    paths = [Path(getattr(options, name)).resolve() for name in asked]
    for name, path in zip(asked, paths, strict=True):
        if path == Path(options.file).resolve():
            error(f"--{name}: {options.file} is the model itself")
        if paths.count(path) > 1:
            error(f"--{name}: {getattr(options, name)} is written twice")
