"""Options that several commands have, and what the help of options says."""

from __future__ import annotations

from typing import Any

from nerva.cli.choices import DATA, OPTIMIZERS
from nerva.cli.types import data, existing_path, names, whole
from nerva.datasets.preprocess import PREPROCESS


def add_source(parser: Any) -> None:
    """Add the options that say which data to read to a parser or a group of one."""
    add = parser.add_argument
    files = "a FILE.npz, .csv or .parquet"
    add("--data", metavar="NAME", type=data, help=f"{', '.join(DATA.rows)} (shapes, which nerva draws), or {files}")
    add_target(parser, "of a .csv or .parquet that hold the targets, by name or number from 1 (the last)")
    add(
        "--data-dir", metavar="DIR", type=existing_path, help="where a downloaded data set is, or goes to ($NERVA_DATA)"
    )
    add("--preprocess", choices=tuple(PREPROCESS), metavar="NAME", help="of images: %(choices)s (standardize)")


def add_target(parser: Any, help: str) -> None:
    """Add --target and --drop to a parser or a group of one."""
    parser.add_argument("--target", metavar="NAME,NAME", type=names, help=f"columns {help}")
    parser.add_argument("--drop", metavar="NAME,NAME", type=names, help="columns of a .csv or .parquet to leave out")


def add_threads(parser: Any) -> None:
    """Add --threads to a parser or a group of one."""
    help = "how many ($OMP_NUM_THREADS, or all processors)"
    parser.add_argument("--threads", metavar="N", type=whole(1, 1024), help=help)


def default_rates() -> str:
    """Return the default learning rate, and those of the optimizers that have one of their own."""
    own: dict[float, list[str]] = {}
    for name, row in OPTIMIZERS.rows.items():
        if (rate := row.defaults.get("learning_rate")) is not None:
            own.setdefault(rate, []).append(name)
    others = (f"{rate:g} of {', '.join(names)}" for rate, names in own.items())
    return "; ".join([f"{OPTIMIZERS.defaults['learning_rate']:g}", *others])
