"""The options of `nerva sweep`: those of `nerva train`, each of which takes several values, and its own."""

from __future__ import annotations

from argparse import Action, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from nerva.cli.choices import DATA
from nerva.cli.types import names, whole
from nerva.experiments.engines import ENGINES
from nerva.experiments.grid import Value, read_toml

Error = Callable[[str], NoReturn]
EXAMPLES = """examples:
  nerva sweep --density 0.05,0.01 --seed 1,2 --epochs 1 --out runs
  nerva sweep --topology none,rigl,set --hidden '1024,512;512' --seed 1,2,3 --data cifar10 --out runs
  nerva sweep sweep.toml --dry-run
"""
# What a sweep decides itself for each run.
ITS_OWN = (
    "metrics", "overwrite", "checkpoint", "resume", "save_weights", "timer", "check_gradients", "distributed", "quiet",
    "help",
)  # fmt: skip
FIXED = ("checkpoint_every",)
IN_FILE = ("out", "engine", "jobs", "scheduler", "submitit", "save_weights")
SWITCHES: Mapping[str, Value] = {"on": True, "off": False}


def add_sweep(commands: Any, train: Any) -> Any:
    """Add `nerva sweep` to the commands, and return its parser; it takes the options of that of `nerva train`, too."""
    about = "train networks with every combination of values"
    usage = "nerva sweep [FILE.toml] [options]"
    parser = commands.add_parser(
        "sweep", help=about, usage=usage, description=f"{about.capitalize()}.", epilog=EXAMPLES
    )
    add = parser.add_argument
    add("file", metavar="FILE.toml", nargs="?", help="options by name, with a value or a list each")
    add("--out", metavar="DIR", help="the folder of the runs, a folder each (runs)")
    add("--engine", choices=ENGINES, metavar="NAME", help="that runs them: %(choices)s (loky, this machine)")
    add("--jobs", metavar="N", type=whole(1, 4096), help="runs at a time (as many as processors, which they share)")
    add("--scheduler", metavar="ADDRESS", help="of --engine dask, such as tcp://host:8786")
    add("--submitit", metavar="KEY=VALUE", type=parameters, help="of its jobs, as timeout_min=60,slurm_partition=cpu")
    add("--save-weights", action="store_true", help="write each network to model.safetensors in its folder")
    add("--retry-failed", action="store_true", help="try runs that failed again, from their last checkpoint")
    add("--dry-run", action="store_true", help="show the runs, and train nothing")
    add("--no-prediction", action="store_true", help="begin without measuring how long the runs will take")
    add("--quiet", action="store_true", help="print nothing but the result")
    group = parser.add_argument_group(
        "of nerva train, with several values by commas",
        "Of options that take a list themselves, ';' is between the values; none leaves an option out; on and off are "
        "for options without a value. See nerva train --help.",
    )
    for action in actions(train).values():
        if action.nargs == 0:
            group.add_argument(action.option_strings[0], metavar="on,off", nargs="?", const="on", action="append")
        else:
            group.add_argument(action.option_strings[0], metavar=action.metavar, action="append")
    return parser


def parameters(text: str) -> dict[str, int | str]:
    """Return names and values, which are numbers where they look like them.

    >>> parameters("timeout_min=60,slurm_partition=cpu")
    {'timeout_min': 60, 'slurm_partition': 'cpu'}
    """
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and equals for name, equals, _ in pairs):
        raise ArgumentTypeError(f"{text!r} is not KEY=VALUE, or several with commas between")
    return {name: int(value) if value.isdecimal() else value for name, _, value in pairs}


def actions(train: Any) -> dict[str, Action]:
    """Return the options of `nerva train` that a sweep takes, by name."""
    return {action.dest: action for action in train._actions if action.dest not in ITS_OWN}


def is_list(action: Action) -> bool:
    """Whether an option takes a list as one value."""
    return action.nargs != 0 and "," in str(action.metavar)


def settle(options: Namespace, train: Any, error: Error) -> None:
    """Set `grids`, the values of every option in each grid, and what the file says of the sweep itself.

    Calls `error`, which exits, for a wrong name or value.
    """
    known = actions(train)
    given = {name: _split(known[name], texts) for name in known if (texts := getattr(options, name)) is not None}
    top: dict[str, Any] = {}
    tables: list[dict[str, Any]] = []
    if options.file is not None:
        if not Path(options.file).is_file():  # checked here, behind unknown options, whose values look like files
            error(f"FILE.toml: there is no file {options.file}")
        try:
            top, tables = read_toml(options.file)
        except (OSError, ValueError) as problem:
            error(str(problem))
        _take_own(options, top, error)
    grids = []
    for table in tables or [{}]:
        listed = {name: _listed(known, name, value, options.file, error) for name, value in {**top, **table}.items()}
        merged = {**listed, **given}
        grids.append({name: _values(known[name], merged[name], error) for name in known if name in merged})
    options.grids, options.order = grids, list(known)
    options.out = options.out or "runs"
    options.engine = options.engine or "loky"
    for name in FIXED:
        if any(len(grid.get(name, ())) > 1 for grid in grids):
            error(f"--{name.replace('_', '-')}: has one value in a sweep")
    if (options.scheduler is None) == (options.engine == "dask"):
        error("--scheduler: goes with --engine dask" if options.scheduler else "--engine dask: needs --scheduler")
    if options.engine == "dask" and options.jobs is not None:
        error("--jobs: does not go with --engine dask, where the workers' threads are the runs at a time")
    if options.submitit and options.engine != "submitit":
        error("--submitit: goes with --engine submitit")
    if Path(options.out).exists() and not Path(options.out).is_dir():
        error(f"--out: {options.out} is a file, not a folder")


def _take_own(options: Namespace, top: dict[str, Any], error: Error) -> None:
    """Take the sweep's own options out of the top of a file, where the command line does not say other."""
    for name in IN_FILE:
        if name not in top:
            continue
        value = top.pop(name)
        wanted: type = {"jobs": int, "submitit": dict, "save_weights": bool}.get(name, str)
        known = name != "engine" or value in ENGINES
        if type(value) is not wanted or not known or (isinstance(value, int) and name == "jobs" and value < 1):
            error(f"{options.file}: {name} is {value!r}, which it cannot be")
        if not getattr(options, name):
            setattr(options, name, value)


def _split(action: Action, texts: Sequence[str]) -> list[str]:
    """Return the values in what the command line gives for an option."""
    if action.type is names:
        return list(texts)
    return [part for text in texts for part in text.split(";" if is_list(action) else ",")]


def _listed(known: Mapping[str, Action], name: str, value: Any, file: str, error: Error) -> list[str]:
    """Return the values in what a file gives for an option, as the command line would have them."""
    if name not in known:
        error(f"{file}: {name.replace('_', '-')} is no option of nerva train that a sweep takes")
    several = isinstance(value, list) and (not is_list(known[name]) or any(isinstance(item, list) for item in value))
    items = value if several else [value]
    return [_text(item, f"{file}: {name.replace('_', '-')}", error) for item in items]


def _text(item: Any, what: str, error: Error) -> str:
    if isinstance(item, bool):
        return "on" if item else "off"
    if isinstance(item, list) and all(isinstance(part, (int, float, str)) for part in item):
        return ",".join(str(part) for part in item) or "none"
    if not isinstance(item, (int, float, str)):
        error(f"{what} is {item!r}; a value is a number, a word, true or false")
    return str(item)


def _values(action: Action, texts: Sequence[str], error: Error) -> list[Value]:
    """Return values as they are in the command of a run; call `error` for a wrong one, or one that is there twice."""
    values = [_value(action, text, error) for text in texts]
    if not values:
        error(f"{action.option_strings[0]}: has no value")
    for i, value in enumerate(values):
        if value in values[:i]:
            error(f"{action.option_strings[0]}: {texts[i]} is there twice")
    return values


def _value(action: Action, text: str, error: Error) -> Value:
    name = action.option_strings[0]
    if action.nargs == 0:
        if text not in SWITCHES:
            error(f"{name}: {text!r} is neither on nor off")
        return SWITCHES[text]
    try:
        value = action.type(text) if callable(action.type) else text
    except ArgumentTypeError as problem:
        if text == "none" and action.default is None:
            return None
        error(f"{name}: {problem}")
    if action.choices is not None and value not in action.choices:
        if text == "none" and action.default is None:
            return None
        error(f"{name}: {text!r} is none of {', '.join(map(str, action.choices))}")
    if action.dest in ("data", "data_dir", "load_weights") and text not in DATA.rows:
        return str(Path(text).absolute())  # a worker may run in another folder
    return _written(value)


def _written(value: Any) -> str:
    """Return a value by one spelling: 1e-2 and 0.010 are 0.01."""
    if isinstance(value, list):
        return ",".join(f'"{item}"' if "," in str(item) else _written(item) for item in value) or "none"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
