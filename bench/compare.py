"""Print how many times faster nerva is than its peers on this machine: medians of paired runs.

python bench/compare.py use                                       # what users run, about ten minutes
python bench/compare.py use --only fit train_step --rows 0.99 --threads 2 --data-dir DIR --out use.json
python bench/compare.py hot-step --sparsity 0.9 0.99              # the kernels, on one batch in the caches
python bench/compare.py hot-step --sizes 3072 4096 4096 10 --dtype float64 --sparsity 0.99 --peers masked sparselab
python bench/compare.py products --density 0.01 --threads 1
python bench/compare.py hot-shapes | data
python bench/compare.py check
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import parts
from harness.check import check
from harness.pairs import BUDGET, PATIENCE, ROUNDS, Pairs
from harness.peer import Peer, installed
from harness.probe import Probe, probe
from harness.records import Table, Unit, document, records, save
from harness.tables import comparison, environment
from harness.use import Use
from harness.workloads import (
    BATCH,
    DENSITIES,
    SHAPES,
    SIZES,
    SPARSITIES,
    SPARSITY,
    hot_step,
    network,
    product,
)
from harness.workloads import PRODUCTS as KINDS
from nerva.experiments.cores import allowed
from peers import GATHERS, HOT_STEPS, PRODUCTS


class Comparison:
    """The tables of one command, and the processes that run its peers."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options, self.stack = options, stack
        self.pairs = stack.enter_context(Pairs(options.threads, options.rounds, options.patience, options.seconds))
        self.probe: Probe | None = probe() if options.probe else None
        self.tables: list[Table] = []
        self.peers: list[type[Peer]] = []

    def among(self, peers: tuple[type[Peer], ...]) -> list[type[Peer]]:
        """Return the peers that are installed and selected by --peers, and always nerva."""
        first, *others = installed(peers)
        words = [word.lower() for word in self.options.peers or [""]]
        chosen = [first, *(peer for peer in others if any(word in peer.name.lower() for word in words))]
        self.peers += chosen
        return chosen

    def table(self, label: str, unit: Unit = "ms") -> Table:
        """Append a table."""
        self.tables.append(Table(label, unit))
        return self.tables[-1]

    def add(self, table: Table, name: str, peers: list[type[Peer]], work: object) -> None:
        """Measure a workload, and append its rows to the table; none where nerva cannot do it."""
        reason = peers[0].unsupported(work)
        if reason:
            print(f"{table.label} {name}: left out, {reason}", file=sys.stderr, flush=True)
            return
        started = time.monotonic()
        for measurement in self.pairs.measure(peers, work):
            table.rows += records(name, work, measurement, self.probe)
        print(f"{table.label} {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def use(run: Comparison, options: argparse.Namespace) -> str:
    """Compare what users run: epochs of fit, training steps on rows, prediction and evaluation."""
    file = ""
    if options.data_dir is not None:
        folder = run.stack.enter_context(tempfile.TemporaryDirectory())
        file = parts.cifar10(options.data_dir, Path(folder))
    for name in options.only or parts.PARTS:
        part = parts.PARTS[name]
        rows = list(parts.selected(part, options.rows))
        if not rows:
            continue
        peers, table = run.among(part.peers), run.table(part.label, part.unit)
        for row in rows:
            run.add(table, row.name, peers, row.work(file))
    return parts.title(file)


def hot_steps(run: Comparison, options: argparse.Namespace) -> str:
    """Compare hot training steps: again and again on one batch, which stays in the caches."""
    peers, table = run.among(HOT_STEPS), run.table("hot step, sparsity")
    for sparsity in options.sparsity or SPARSITIES:
        work = hot_step(sparsity, options.batch, sizes=options.sizes, dtype=options.dtype)
        run.add(table, f"{sparsity:g}", peers, work)
    sizes = "-".join(map(str, options.sizes))
    return f"hot training step on one batch in the caches, {sizes}, batch {options.batch}, {options.dtype}"


def hot_shapes(run: Comparison, options: argparse.Namespace) -> str:
    """Compare hot training steps of other shapes, batch sizes and dtypes than the default ones."""
    peers = run.among(HOT_STEPS)
    chosen = [shape for shape in SHAPES if any(word in shape.name for word in options.rows or [""])]
    for sparsity in options.sparsity or [SPARSITY]:
        table = run.table(f"hot step, sparsity {sparsity:g}")
        for shape in chosen:
            work = hot_step(sparsity, shape.batch, sizes=shape.sizes, dtype=shape.dtype)
            run.add(table, shape.name, peers, work)
    return (
        "hot training steps on one batch in the caches; 3072-1024-512-10, batch 100, float32 unless the row states "
        "otherwise"
    )


def products(run: Comparison, options: argparse.Namespace) -> str:
    """Compare the three products."""
    peers = run.among(PRODUCTS)
    for batch in options.batch:
        for kind in KINDS:
            table = run.table(f"{kind}, batch {batch}, density")
            for density in options.density:
                run.add(table, f"{density:g}", peers, product(kind, density, batch=batch, dtype=options.dtype))
    return f"products, 1024 x 3072, {options.dtype}"


def data(run: Comparison, options: argparse.Namespace) -> str:
    """Compare the gathering of mini-batches."""
    peers, table = run.among(GATHERS), run.table("gathering")
    work = Use(network(SPARSITY))
    run.add(table, f"{work.batch} of {work.data.samples:,} samples", peers, work)
    return "mini-batches from uint8 samples in memory"


COMMANDS = {
    "use": use,
    "hot-step": hot_steps,
    "hot-shapes": hot_shapes,
    "products": products,
    "data": data,
}


def numbers_of_threads(text: str) -> tuple[int, ...]:
    """Return the numbers in a text such as 1,2."""
    numbers = text.split(",")
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers of threads, such as 1,2")
    return tuple(map(int, numbers))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="\n".join(__doc__.splitlines()[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=(function.__doc__ or "").rstrip("."))
        _own_options(name, command)
        command.add_argument("--peers", nargs="+", help="select peers whose names contain one of these words")
        command.add_argument(
            "--threads", type=numbers_of_threads, default=(1, 2)[: len(allowed())], metavar="N,N", help="such as 1,2"
        )
        command.add_argument("--rounds", type=int, default=ROUNDS, help="rounds, at least 2")
        command.add_argument("--seconds", type=float, default=BUDGET, help="a row's rounds, if so many take longer")
        command.add_argument("--patience", type=float, default=PATIENCE, help="seconds to repeat disturbed rounds")
        command.add_argument("--out", "--json", type=Path, metavar="FILE", help="write the measurements to this file")
        if name == "use":
            command.set_defaults(probe=False)  # its rows have no ceiling
        else:
            command.add_argument("--no-probe", action="store_false", dest="probe", help="do not measure the ceilings")
    checks = commands.add_parser("check", help="check that all peers compute the same step")
    checks.add_argument("--sparsity", type=float, nargs="+", default=[SPARSITY])
    checks.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    return parser


def _own_options(name: str, command: argparse.ArgumentParser) -> None:
    if name == "use":
        command.add_argument("--only", nargs="+", choices=parts.PARTS, help="parts to measure")
        command.add_argument("--rows", nargs="+", help="names of rows to measure, such as 0.99")
        command.add_argument("--data-dir", type=Path, help="a folder that holds CIFAR-10, instead of noise")
    if name in ("hot-step", "products"):
        command.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    if name == "products":
        command.add_argument("--density", type=float, nargs="+", default=DENSITIES)
        command.add_argument("--batch", type=int, nargs="+", default=[BATCH])
    if name in ("hot-step", "hot-shapes"):
        command.add_argument("--sparsity", type=float, nargs="+")
    if name == "hot-step":
        command.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="layer sizes from input to output")
        command.add_argument("--batch", type=int, default=BATCH)
    if name == "hot-shapes":
        command.add_argument("--rows", nargs="+", help="select rows whose names contain one of these words")


def main() -> None:
    """Run the command line."""
    parser = _parser()
    options = parser.parse_args()
    if options.command == "check":
        raise SystemExit(check(HOT_STEPS, options.sparsity, options.threads))
    batches = options.batch if isinstance(getattr(options, "batch", 1), list) else [getattr(options, "batch", 1)]
    if options.rounds < 2 or min(batches) < 1:
        parser.error("--rounds must be at least 2, --batch at least 1")
    with ExitStack() as stack:
        run = Comparison(options, stack)
        title = COMMANDS[options.command](run, options)
    about = environment(run.peers, options.threads)
    print(f"{title}; {about}\n")
    content = document(title, about, run.probe, [table for table in run.tables if table.rows])
    print("\n\n".join(comparison(table) for table in content["tables"]))
    if options.out:
        save(options.out, content)


if __name__ == "__main__":
    main()
