"""Measurements as JSON: times, ratios, floating-point operations per second, and the fraction of the ceiling.

A document is {"title", "environment", "probe", "tables"}, a table {"label", "unit", "rows"}, and a row what `record`
returns. Text tables and plots are made from documents alone.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.pairs import Measurement
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


def record(name: str, work: object, measurement: Measurement, probe: Probe | None) -> Record:
    """Return the row of a measured workload."""
    results = measurement.results
    row: Record = {
        "name": name,
        "threads": measurement.threads,
        "disturbed": measurement.disturbed,
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
    """Return the ratios of a document, or of a file of pytest-benchmark, by row and peer."""
    if "benchmarks" in content:
        pairs = [(bench["fullname"].split("::", 1)[-1], bench["extra_info"]) for bench in content["benchmarks"]]
    else:
        pairs = [(f"{table['label']} {row['name']}", row) for table in content["tables"] for row in table["rows"]]
    return {f"{name}: {peer}": ratio for name, row in pairs for peer, ratio in row.get("ratios", {}).items()}
