"""Measurements as JSON: times, ratios, floating-point operations per second, and the fraction of the ceiling.

A document is {"title", "environment", "probe", "tables"}, a table {"label", "unit", "rows"}, and the rows are what
`records` returns. Text tables and plots are made from documents alone.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.pairs import Group, Measurement
from harness.probe import Probe

Record = dict[str, Any]
Unit = Literal["s", "ms", "µs"]
UNITS: dict[Unit, float] = {"s": 1.0, "ms": 1e3, "µs": 1e6}


@dataclass
class Table:
    """Rows of one kind, the heading of their names, and the unit of their times."""

    label: str
    unit: Unit = "ms"
    rows: list[Record] = field(default_factory=list)


def records(name: str, work: object, measurement: Measurement, probe: Probe | None) -> list[Record]:
    """Return the rows of a measured workload: one for each distance of the cores that occurred."""
    return [_record(name, work, measurement, group, probe) for group in measurement.groups]


def _record(name: str, work: object, measurement: Measurement, group: Group, probe: Probe | None) -> Record:
    results = group.results
    row: Record = {
        "name": name,
        "threads": measurement.threads,
        "cores": group.apart,
        "rounds": group.rounds,
        "disturbed": group.disturbed,
        "seconds": {result.peer.name: result.seconds for result in results},
        "ratios": {result.peer.name: result.ratio for result in results[1:]},
        "quartiles": {result.peer.name: [result.low, result.high] for result in results[1:]},
        "left_out": measurement.left_out,
    }
    flops = getattr(work, "flops", None)
    if flops is None:
        return row
    dtype, sparse, least = np.dtype(work.dtype), bool(work.sparse), int(work.least_bytes)  # type: ignore[attr-defined]
    row |= {"flops": flops, "least_bytes": least, "dtype": dtype.name, "sparse": sparse}
    row["gflops"] = {result.peer.name: flops / result.seconds / 1e9 for result in results}
    if probe is not None:
        ceiling = probe.ceiling(sparse, dtype, measurement.threads)
        row["ceiling"] = ceiling
        row["of_ceiling"] = {name: gflops / ceiling for name, gflops in row["gflops"].items()}
    return row


def unreliable(row: Record) -> bool:
    """Return whether another process ran on the cores in all rounds of a row."""
    return bool(row["disturbed"]) and row["disturbed"] >= row.get("rounds", 0)


def most_measured(rows: list[Record]) -> list[Record]:
    """Return one row of each name: of those with the most threads, the one of the most undisturbed rounds."""
    best: dict[str, Record] = {}
    for row in rows:
        if row["name"] not in best or _weight(row) > _weight(best[row["name"]]):
            best[row["name"]] = row
    return list(best.values())


def _weight(row: Record) -> tuple[int, int]:
    return row["threads"], row.get("rounds", 0) - int(row["disturbed"])


def peers_of(rows: list[Record]) -> list[str]:
    """Return the names of a table's peers in order; a row may lack some."""
    fullest = sorted(rows, key=lambda row: -len(row["seconds"]))
    return list(dict.fromkeys(peer for row in fullest for peer in row["seconds"]))


def document(title: str, environment: str, probe: Probe | None, tables: list[Table]) -> Record:
    """Return the content of a file."""
    return {
        "title": title,
        "environment": environment,
        "probe": None if probe is None else probe.as_dict(),
        "tables": [vars(table) for table in tables],
    }


def save(path: Path, content: Record) -> None:
    """Write a document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def load(path: Path) -> Record:
    """Read a document."""
    content: Record = json.loads(path.read_text())
    return content


def ratios(content: Record) -> dict[str, float]:
    """Return the ratios of a document, or of a file of pytest-benchmark, by row, threads, cores and peer."""
    rows: list[tuple[str, Record]] = []
    for bench in content.get("benchmarks", []):
        found = bench["extra_info"]
        rows += [(bench["fullname"].split("::", 1)[-1], row) for row in found.get("rows", [found])]
    for table in content.get("tables", []):
        rows += [(f"{table['label']} {row['name']}", row) for row in table["rows"]]
    named = [(name + _where(row), row.get("ratios", {})) for name, row in rows]
    return {f"{name}: {peer}": ratio for name, found in named for peer, ratio in found.items()}


def _where(row: Record) -> str:
    """Return the threads and cores of a row; empty for what does not depend on them, such as memory."""
    return f", threads {row['threads']}, {row['cores']}" if "cores" in row else ""
