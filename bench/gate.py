"""Fail if a kernel or the hot training step has become slower, in less than a minute.

    python bench/gate.py            # compare with gate.json; exit code 1 if a ratio fell by more than a tenth
    python bench/gate.py --update   # write gate.json

A figure is the ratio of the time of MKL's dense product of the same shape (1024 x 3072 times 3072 x 100) to that of the
kernel, in the same run and with the same number of threads. Both are the best of many repetitions in short turns, so
that short disturbances do not matter. A row that looks slower is measured again before it fails. Ratios hold for one
kind of machine; on another one they are printed, and fail only with --strict.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.tables import markdown
from harness.workloads import PRODUCTS as KINDS
from harness.workloads import Product, Step, hot_step, product
from peers import NervaProduct, NervaStep

FILE = Path(__file__).with_name("gate.json")
DENSITIES, SPARSITIES = (0.01, 0.1, 0.5), (0.99, 0.9)
FALL = 0.1  # relative fall of a ratio above which it fails
TURN, TURNS = 0.02, 5  # seconds of repetitions in a turn, and turns of each
SECONDS = 40.0  # after which no row is repeated
Work = Callable[[], object]


class Row:
    """A workload and its dense reference, with the best time of each so far."""

    def __init__(self, name: str, make: Callable[[], Work], reference: Work) -> None:
        self.name, self._make, self._reference = name, make, reference
        self._best = [float("inf"), float("inf")]

    @property
    def ratio(self) -> float:
        """How many times faster than the reference the workload is."""
        return self._best[1] / self._best[0]

    def measure(self) -> None:
        """Run further turns with newly allocated arrays, since their addresses influence the time."""
        pair = (self._make(), self._reference)
        counts = [max(3, round(TURN / _fastest(run, 3))) for run in pair]
        for _ in range(TURNS):
            times = [_fastest(run, count) for run, count in zip(pair, counts, strict=True)]
            self._best = [min(both) for both in zip(self._best, times, strict=True)]


def _fastest(work: Work, count: int) -> float:
    work()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def rows(threads: int) -> list[Row]:
    """Return the rows."""
    from nerva._kernels import products

    A = np.random.default_rng(0).standard_normal((1024, 3072), dtype=np.float32)
    B, C = np.ones((3072, 100), np.float32), np.zeros((1024, 100), np.float32)

    def reference() -> None:
        products.gemm(A, B, C)

    def kernel(work: Product) -> Callable[[], Work]:
        return lambda: NervaProduct(work, threads).product

    def step(work: Step) -> Callable[[], Work]:
        return lambda: NervaStep(work, threads).step

    made = [
        Row(f"{kind} {density:g}", kernel(product(kind, density)), reference) for kind in KINDS for density in DENSITIES
    ]
    return made + [Row(f"hot step {sparsity:g}", step(hot_step(sparsity)), reference) for sparsity in SPARSITIES]


def machine() -> dict[str, str]:
    """Return the kind of machine that the ratios hold for."""
    import nerva

    config = nerva.config()
    return {"processor": config["processor"], "instruction set": config["instruction set"].split()[0]}


def judge(found: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """Return the relative fall of each ratio that fell too far; that of a missing one is 1."""
    falls = {name: 1 - found.get(name, 0.0) / ratio for name, ratio in before.items()}
    return {name: fall for name, fall in falls.items() if fall > FALL}


def measure(threads: int, before: dict[str, float]) -> dict[str, float]:
    """Return the ratios, repeating the rows that look slower than before; without `before`, all rows."""
    made, until = rows(threads), time.monotonic() + SECONDS
    again = made
    while again and time.monotonic() < until:
        for row in again:
            row.measure()
        if before:
            slower = judge({row.name: row.ratio for row in made}, before)
            again = [row for row in made if row.name in slower]
    return {row.name: row.ratio for row in made}


def main() -> int:
    """Run the command line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--update", action="store_true", help="write gate.json")
    parser.add_argument("--strict", action="store_true", help="fail on another kind of machine than gate.json's too")
    options = parser.parse_args()
    here = machine() | {"threads": str(options.threads)}
    if options.update:
        found = measure(options.threads, {})
        written = {"machine": here, "ratios": {name: round(ratio, 3) for name, ratio in found.items()}}
        FILE.write_text(json.dumps(written, indent=2) + "\n")
        print(f"{FILE.name} written\n\n{table(found, found)}")
        return 0
    if not FILE.exists():
        print(f"{FILE.name} does not exist: write it with --update")
        return 1
    content: dict[str, Any] = json.loads(FILE.read_text())
    before = content["ratios"]
    same = content["machine"] == here
    found = measure(options.threads, before if same or options.strict else {})
    print(table(found, before))
    if not same:
        there = ", ".join(f"{name}: {value}" for name, value in content["machine"].items())
        print(f"\n{FILE.name} is of another machine ({there}); this one is {', '.join(here.values())}")
        if not options.strict:
            print("not judged; --strict does so nevertheless")
            return 0
    falls = judge(found, before)
    for name, fall in falls.items():
        print(
            f"\n{name} is SLOWER by {fall:.0%}: {before[name]:.3g} times as fast as dense, now {found.get(name, 0):.3g}"
        )
    print(f"\n{'failed' if falls else 'passed'}: {len(falls)} of {len(before)} rows are slower by more than {FALL:.0%}")
    return 1 if falls else 0


def table(found: dict[str, float], before: dict[str, float]) -> str:
    """Return a table of the ratios now and before."""
    lines = []
    for name, ratio in found.items():
        change = f"{ratio / before[name] - 1:+.0%}" if name in before else "new"
        lines.append([name, f"{ratio:.3g}", f"{before[name]:.3g}" if name in before else "-", change])
    return markdown(["", "times as fast as dense", "gate.json", "change"], lines)


if __name__ == "__main__":
    raise SystemExit(main())
