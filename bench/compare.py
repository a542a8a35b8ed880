"""Print how many times faster nerva is than its peers here: medians of paired runs.

python bench/compare.py step --sparsity 0.9 0.99
python bench/compare.py products --density 0.01 --threads 1
"""

import argparse
import os

from pairs import PATIENCE, ROUNDS, Measurement, Pairs
from peers import DENSE_STEPS, PRODUCTS, STEPS, installed
from tables import comparison, surroundings
from workloads import BATCH, DENSITIES, SPARSITIES, product, training_step
from workloads import PRODUCTS as KINDS


def steps(pairs: Pairs, options: argparse.Namespace) -> None:
    """Compare training steps."""
    peers = installed(STEPS)
    print(f"training step, 3072-1024-512-10, batch {options.batch}; {surroundings(peers, pairs.threads)}\n")
    measurements: dict[str, Measurement] = {}
    for sparsity in options.sparsity:
        work = training_step(sparsity, options.batch)
        among = peers if work.sparse else [peer for peer in peers if peer in DENSE_STEPS]
        measurements[f"{sparsity:g}"] = pairs.measure(among, work)
    print(comparison("sparsity", measurements))


def products(pairs: Pairs, options: argparse.Namespace) -> None:
    """Compare the three products."""
    peers = installed(PRODUCTS)
    print(f"products, 1024 x 3072, batch {options.batch}; {surroundings(peers, pairs.threads)}\n")
    for kind in KINDS:
        measurements = {
            f"{density:g}": pairs.measure(peers, product(kind, density, batch=options.batch))
            for density in options.density
        }
        print(comparison(f"{kind}, density", measurements), end="\n\n")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    step = commands.add_parser("step", help="forward, backward and Nesterov's update")
    step.add_argument("--sparsity", type=float, nargs="+", default=SPARSITIES)
    single = commands.add_parser("products", help="spmm, spmm_t and sddmm")
    single.add_argument("--density", type=float, nargs="+", default=DENSITIES)
    for command in (step, single):
        command.add_argument("--batch", type=int, default=BATCH)
        command.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
        command.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each peer, at least 2")
        command.add_argument("--patience", type=float, default=PATIENCE, help="seconds to wait for quiet, each row")
    options = parser.parse_args()
    if options.rounds < 2 or options.threads < 1 or options.batch < 1:
        parser.error("--rounds must be at least 2, --threads and --batch at least 1")
    with Pairs(options.threads, options.rounds, options.patience) as pairs:
        (steps if options.command == "step" else products)(pairs, options)


if __name__ == "__main__":
    main()
