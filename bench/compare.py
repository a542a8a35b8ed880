"""Print how many times faster nerva is than its peers on this machine: medians of paired runs.

python bench/compare.py step --sparsity 0.9 0.99
python bench/compare.py step --sizes 3072 4096 4096 10 --dtype float64 --sparsity 0.99 --peers masked sparselab
python bench/compare.py products --density 0.01 --threads 1
python bench/compare.py shapes | epoch | data | inference | features
python bench/compare.py check
"""

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

from harness.check import check
from harness.pairs import PATIENCE, ROUNDS, Pairs
from harness.peer import Peer, installed
from harness.probe import Probe, probe
from harness.records import Table, Unit, document, record, save
from harness.tables import comparison, environment
from harness.workloads import (
    BATCH,
    DENSITIES,
    SHAPES,
    SIZES,
    SPARSITIES,
    SPARSITY,
    Epoch,
    Shape,
    network,
    product,
    samples,
    training_step,
)
from harness.workloads import PRODUCTS as KINDS
from peers import EPOCHS, FEATURES, GATHERS, PREDICTIONS, PRODUCTS, STEPS


class Comparison:
    """The tables of one command, and the processes that run its peers, one for each peer and number of threads."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options, self._stack = options, stack
        self._pairs: dict[int, Pairs] = {}
        self.probe: Probe | None = None if options.no_probe else probe()
        self.tables: list[Table] = []

    def among(self, peers: tuple[type[Peer], ...]) -> list[type[Peer]]:
        """Return the peers that are installed and selected by --peers, and always nerva."""
        first, *others = installed(peers)
        words = [word.lower() for word in self.options.peers or [""]]
        self.peers = [first, *(peer for peer in others if any(word in peer.name.lower() for word in words))]
        return self.peers

    def table(self, label: str, unit: Unit = "ms") -> Table:
        """Append a table."""
        self.tables.append(Table(label, unit))
        return self.tables[-1]

    def add(self, table: Table, name: str, peers: list[type[Peer]], work: object, threads: int | None = None) -> None:
        """Measure a row and append it to the table."""
        options, threads = self.options, threads or self.options.threads
        if threads not in self._pairs:
            self._pairs[threads] = self._stack.enter_context(Pairs(threads, options.rounds, options.patience))
        table.rows.append(record(name, work, self._pairs[threads].measure(peers, work), self.probe))

    def close(self, threads: int) -> None:
        """End the processes with this number of threads, which frees their memory."""
        if threads in self._pairs:
            self._pairs.pop(threads).close()


def steps(run: Comparison, options: argparse.Namespace) -> str:
    """Compare training steps."""
    peers, table = run.among(STEPS), run.table("sparsity")
    for sparsity in options.sparsity or SPARSITIES:
        work = training_step(sparsity, options.batch, sizes=options.sizes, dtype=options.dtype)
        run.add(table, f"{sparsity:g}", peers, work)
    return f"training step, {'-'.join(map(str, options.sizes))}, batch {options.batch}, {options.dtype}"


def shapes(run: Comparison, options: argparse.Namespace) -> str:
    """Compare training steps of other shapes, batch sizes and dtypes than the default ones."""
    peers = run.among(STEPS)
    chosen = [shape for shape in SHAPES if any(word in shape.name for word in options.rows or [""])]
    for sparsity in options.sparsity or [SPARSITY]:
        table = run.table(f"step, sparsity {sparsity:g}")
        for shape in chosen:
            _shape(run, table, peers, sparsity, shape)
    return "training steps; 3072-1024-512-10, batch 100, float32, two threads unless the row states otherwise"


def _shape(run: Comparison, table: Table, peers: list[type[Peer]], sparsity: float, shape: Shape) -> None:
    work = training_step(sparsity, shape.batch, sizes=shape.sizes, dtype=shape.dtype)
    threads = min(shape.threads, os.cpu_count() or 1)
    run.add(table, shape.name, peers, work, threads)
    if max(shape.sizes) > 4096 or threads == 1:
        run.close(threads)


def products(run: Comparison, options: argparse.Namespace) -> str:
    """Compare the three products."""
    peers = run.among(PRODUCTS)
    for batch in options.batch:
        for kind in KINDS:
            table = run.table(f"{kind}, batch {batch}, density")
            for density in options.density:
                run.add(table, f"{density:g}", peers, product(kind, density, batch=batch, dtype=options.dtype))
    return f"products, 1024 x 3072, {options.dtype}"


def epoch(run: Comparison, options: argparse.Namespace) -> str:
    """Compare epochs."""
    peers, table = run.among(EPOCHS), run.table("epoch, sparsity", "s")
    for sparsity in options.sparsity or [SPARSITY]:
        run.add(table, f"{sparsity:g}", peers, Epoch(network(sparsity)))
    return "an epoch of 50,000 samples, 3072-1024-512-10, batch 100; PyTorch's extrapolated from a twentieth of it"


def data(run: Comparison, options: argparse.Namespace) -> str:
    """Compare the gathering of mini-batches, and print its fraction of nerva's epoch."""
    peers, table = run.among(GATHERS), run.table("gathering", "ms")
    work = Epoch(network(options.sparsity[0] if options.sparsity else SPARSITY))
    run.add(table, f"{work.batch} of {work.samples:,} samples", peers, work)
    whole = run.table("epoch", "s")
    run.add(whole, "nerva alone", installed(EPOCHS[:1]), work)
    batches = -(-work.samples // work.batch)
    fraction = batches * table.rows[0]["seconds"]["nerva"] / whole.rows[0]["seconds"]["nerva"]
    table.rows[0]["fraction_of_epoch"] = fraction
    return f"mini-batches from uint8 samples in memory; gathering is {fraction:.0%} of nerva's epoch"


def features(run: Comparison, options: argparse.Namespace) -> str:
    """Compare the plain step with steps that have one feature more."""
    peers, table = run.among(FEATURES), run.table("sparsity")
    for sparsity in options.sparsity or [SPARSITY]:
        run.add(table, f"{sparsity:g}", peers, training_step(sparsity))
    return "training step, 3072-1024-512-10, batch 100, float32, nerva alone"


def inference(run: Comparison, options: argparse.Namespace) -> str:
    """Compare predictions."""
    peers = run.among(PREDICTIONS)
    for sparsity in options.sparsity or [SPARSITY]:
        table = run.table(f"predict, sparsity {sparsity:g}, samples", "µs")
        for count in (1, 100):
            run.add(table, str(count), peers, samples(count, sparsity))
    return "prediction of classes, 3072-1024-512-10, float32"


COMMANDS = {
    "step": steps,
    "products": products,
    "shapes": shapes,
    "epoch": epoch,
    "data": data,
    "inference": inference,
    "features": features,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=(function.__doc__ or "").rstrip("."))
        if name in ("step", "products"):
            command.add_argument("--dtype", choices=["float32", "float64"], default="float32")
        if name == "products":
            command.add_argument("--density", type=float, nargs="+", default=DENSITIES)
            command.add_argument("--batch", type=int, nargs="+", default=[BATCH])
        else:
            command.add_argument("--sparsity", type=float, nargs="+")
        if name == "step":
            command.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="layer sizes from input to output")
            command.add_argument("--batch", type=int, default=BATCH)
        if name == "shapes":
            command.add_argument("--rows", nargs="+", help="select rows whose names contain one of these words")
        command.add_argument("--peers", nargs="+", help="select peers whose names contain one of these words")
        command.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
        command.add_argument("--rounds", type=int, default=ROUNDS, help="rounds, at least 2")
        command.add_argument("--patience", type=float, default=PATIENCE, help="seconds to repeat disturbed rounds")
        command.add_argument("--json", type=Path, metavar="FILE", help="write the measurements to this file")
        command.add_argument("--no-probe", action="store_true", help="do not measure the machine's peak first")
    checks = commands.add_parser("check", help="check that all peers compute the same step")
    checks.add_argument("--sparsity", type=float, nargs="+", default=[SPARSITY])
    checks.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    return parser


def main() -> None:
    """Run the command line."""
    parser = _parser()
    options = parser.parse_args()
    if options.command == "check":
        raise SystemExit(check(STEPS, options.sparsity, options.threads))
    batches = options.batch if isinstance(getattr(options, "batch", 1), list) else [getattr(options, "batch", 1)]
    if options.rounds < 2 or options.threads < 1 or min(batches) < 1:
        parser.error("--rounds must be at least 2, --threads and --batch at least 1")
    with ExitStack() as stack:
        run = Comparison(options, stack)
        title = COMMANDS[options.command](run, options)
    about = environment(run.peers, None if options.command == "shapes" else options.threads)
    print(f"{title}; {about}\n")
    content = document(title, about, run.probe, run.tables)
    print("\n\n".join(comparison(table) for table in content["tables"]))
    if options.json:
        save(options.json, content)


if __name__ == "__main__":
    main()
