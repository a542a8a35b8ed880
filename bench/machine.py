"""Print the peak performance of one core of this machine.

    python bench/machine.py [--json]

harness/probe.py tells what is measured, and what it means for sparse products.
"""

import argparse
import json

from harness.probe import Probe, probe
from harness.tables import markdown


def table(found: Probe) -> str:
    """Return a table of what was measured, and the ceilings of sparse products that follow."""
    rows = [[f"multiply-add, {name}", f"{gflops:.0f} GFLOP/s"] for name, gflops in found.fma.items()]
    for name, gigabytes in found.read.items():
        size = f" ({found.caches[name] >> 10} KiB)" if name in found.caches else ""
        rows.append([f"reads from {name}{size}", f"{gigabytes:.0f} GB/s"])
    for name in found.fma:
        rows.append([f"hence sparse products, {name}", f"{found.sparse_ceiling(name, 1):.0f} GFLOP/s"])
    return markdown([f"one core, {found.instruction_set}", "at most"], rows)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = probe()
    print(json.dumps(found.as_dict(), indent=2) if options.json else table(found))


if __name__ == "__main__":
    main()
