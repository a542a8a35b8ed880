"""The options of the command `nerva reproduce`."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from nerva.cli.types import existing_path, list_of, new_folder, number, whole
from nerva.experiments.paper import parts

EXAMPLES = """examples:
  nerva reproduce paper --quick
  nerva reproduce paper --data cifar/ --out paper/
  nerva reproduce paper --part timing --part memory
  nerva reproduce paper --report-only --out paper/
"""


def add_reproduce(commands: Any) -> Any:
    """Add the command to the others, and return its parser."""
    about = "repeat the experiments of a paper, and write a report"
    parser = commands.add_parser(
        "reproduce",
        help=about,
        usage="nerva reproduce paper [options]",
        description=f"{about.capitalize()}: nerva beside PyTorch. Needs the extra 'compare'.",
        epilog=EXAMPLES,
    )
    add = parser.add_argument
    add("what", choices=("paper",), metavar="paper", help="arXiv 2407.17437")
    add("--quick", action="store_true", help="all parts, with less data and fewer epochs: a quarter of an hour")
    add(
        "--part",
        action="append",
        type=_part,
        metavar="NAME",
        help=f"this part, and others that are named so: {', '.join(parts.PARTS)} (all)",
    )
    add("--out", metavar="DIR", type=new_folder, default="paper", help="of records and report (%(default)s)")
    _add_data(parser.add_argument_group("data"))
    _add_settings(parser.add_argument_group("settings"))
    add = parser.add_argument_group("computation").add_argument
    add("--threads", metavar="N", type=whole(1, 1024), help="of what is timed (all processors)")
    add("--jobs", metavar="N", type=whole(1, 1024), help="at a time of what is not timed (all processors)")
    add = parser.add_argument_group("output").add_argument
    add("--report-only", action="store_true", help="write the report again, from the records in --out")
    add("--dry-run", action="store_true", help="print what is to do, and how long it will take")
    add("--quiet", action="store_true", help="print nothing but the result")
    return parser


def _add_data(group: Any) -> None:
    where = "a folder or archive of CIFAR-10 ($NERVA_DATA, or downloaded), or shapes, which nerva draws, to try it"
    group.add_argument("--data", metavar="DIR", type=_place, help=where)
    group.add_argument("--data-name", metavar="TEXT", type=_name, help="what the report calls them")


def _add_settings(group: Any) -> None:
    add = group.add_argument
    add("--epochs", metavar="N", type=whole(1), help="of training (100; --quick fewer)")
    add("--masked-epochs", metavar="N", type=whole(1), help="where PyTorch trains beside it (as --epochs)")
    add("--seeds", metavar="N,N", type=_several(list_of(whole(0))), help="of accuracies (1,2,3)")
    sparsity = number("from 0 to below 1", lambda x: 0 <= x < 1)
    add("--sparsities", metavar="S,S", type=_several(list_of(sparsity)), help="(0.5,0.8,0.9,0.95,0.99,0.995,0.999)")


def _place(text: str) -> str:
    return text if text == "shapes" else existing_path(text)


def _part(text: str) -> str:
    if text not in parts.PARTS:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(parts.PARTS)}")
    return text


def _name(text: str) -> str:
    if not (words := " ".join(text.split())):
        raise ArgumentTypeError("the name is empty")
    return words


def _several(convert: Any) -> Any:
    """Return a converter of values of which none stands twice, into a tuple."""

    def once(text: str) -> tuple[Any, ...]:
        values = tuple(convert(text))
        if len({*values}) < len(values):
            raise ArgumentTypeError(f"{text!r} has a value twice")
        return values

    return once
